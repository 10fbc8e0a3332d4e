"""What a claim costs on the disk, before and after the upkeep.

`python benchmarks/growth.py [CLAIMS] [NOTES]` makes that many one-claim commits over so many
notes and prints bytes per claim in the laptop's clone and in the hub (docs/numbers.md).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "sync"))

from twovaults import Desk

from nightdesk.sync.upkeep import pack


def size(folder: Path) -> int:
    """Bytes that the objects take on the disk, in whole blocks."""
    return sum(file.lstat().st_blocks * 512 for file in (folder / "objects").rglob("*"))


def main(claims: int, notes: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        for n in range(notes):
            desk.local.write(f"Notes/{n % 20}/n{n}.md", f"note {n}\n")
        for n in range(claims):
            desk.local.write(f"Needs_Action/general/t{n}.md", f'---\nid: "t{n}"\n---\ntask {n}\n')
        desk.local.sync()
        places = {"the laptop's clone": desk.local.vault / ".git", "the hub": desk.hub}
        for place in places.values():
            pack(place)
        start = {name: size(place) for name, place in places.items()}
        begun = time.perf_counter()
        for n in range(claims):
            assert desk.local.engine.claim([f"Needs_Action/general/t{n}.md"])
        took = (time.perf_counter() - begun) / claims
        print(f"{claims} claims over {notes} notes, {took * 1000:.0f} ms each, one a push")
        print(f"{'bytes on disk per claim':<26}{'loose':>10}{'packed':>10}{'packing (s)':>14}")
        for name, place in places.items():
            loose = size(place) - start[name]
            begun = time.perf_counter()
            assert pack(place)
            took = time.perf_counter() - begun
            packed = size(place) - start[name]
            print(f"{name:<26}{loose / claims:>10.0f}{packed / claims:>10.0f}{took:>14.2f}")
        desk.close()


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["300", "10000"][len(sys.argv) - 1 :])))

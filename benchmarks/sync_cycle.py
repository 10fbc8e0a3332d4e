"""How long one sync cycle takes in a vault of so many notes, when one of them changed.

A warm engine with its watcher, real git, a bare hub on the same disk.
`python benchmarks/sync_cycle.py [NOTES ...]` prints a table (docs/numbers.md).
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nightdesk.config import SyncSettings
from nightdesk.policy import Role
from nightdesk.sync.engine import Engine, create_root
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import signing_key
from nightdesk.vault.watch import Signal, Watch

ROUNDS = 15
FOLDERS = [f"Notes/{n:03}" for n in range(200)] + [
    f"Done/{2024 + n // 12}-{n % 12 + 1:02}" for n in range(30)
]


def make(root: Path, notes: int) -> None:
    """A hub, the laptop's vault with so many notes, and the cloud's copy of it."""
    vault = root / "local"
    for number in range(notes):
        path = vault / FOLDERS[number % len(FOLDERS)] / f"note-{number:06}.md"
        if number < len(FOLDERS):
            path.parent.mkdir(parents=True)
        path.write_text(f'---\nid: "note-{number:06}"\n---\nNote {number}\n' + "text " * 60)
    for number in range(ROUNDS * 2):
        task = vault / "Needs_Action" / "general" / f"task-{number}.md"
        task.parent.mkdir(parents=True, exist_ok=True)
        task.write_text(f'---\nid: "task-{number}"\n---\nTask {number}\n')
    (root / "template").mkdir()
    create_root(vault, str(root / "hub.git"), root / "local-state", "local", root / "template")
    shutil.copytree(vault, root / "cloud", symlinks=True)


def engine_of(root: Path, role: Role) -> Engine:
    """An open engine of one half, without rescans by time in the middle of the measurement."""
    settings = SyncSettings(full_scan_seconds=86_400)
    states = {half: root / f"{half}-state" for half in Role}
    for state in states.values():
        state.mkdir(exist_ok=True)
    keys = {half: signing_key(state, half) for half, state in states.items()}
    trust = Trust(owner=(keys[Role.LOCAL],), cloud=(keys[Role.CLOUD],))
    engine = Engine(
        root / role, str(root / "hub.git"), states[role], role, role, settings, trust=trust
    )
    engine.open()
    return engine


def measure(
    name: str,
    notes: int,
    prepare: Callable[[int], None],
    act: Callable[[int], object],
    rounds: int = ROUNDS,
) -> None:
    """Print the median and the worst of some rounds, and the median of the processor's time."""
    took: list[float] = []
    busy: list[float] = []
    for number in range(rounds):
        prepare(number)
        start, used = time.perf_counter(), processor_time()
        act(number)
        took.append(time.perf_counter() - start)
        busy.append(processor_time() - used)
    row = (sorted(took)[rounds // 2], max(took), sorted(busy)[rounds // 2])
    print(f"{notes:>8} {name:<34}" + "".join(f"{value:>9.3f}" for value in row), flush=True)


def processor_time() -> float:
    """Seconds that this process and its git processes have computed; a busy machine adds none."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, whose))


def main(notes: int) -> None:
    """Measure one vault."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # Processes of their own, so that the memory told is that of one engine.
        subprocess.run([sys.executable, __file__, "make", folder, str(notes)], check=True)
        cloud = subprocess.Popen(
            [sys.executable, __file__, "cloud", folder], stdin=-1, stdout=-1, text=True
        )

        def tell(*words: str) -> None:
            assert cloud.stdin
            assert cloud.stdout
            print(*words, file=cloud.stdin, flush=True)
            assert cloud.stdout.readline() == "done\n"

        tell("cycle")
        local = engine_of(root, Role.LOCAL)
        vault = root / Role.LOCAL
        with Watch([vault], Signal(), follow=vault) as watch:
            local.watched(watch.take)
            measure("first (hashes everything)", notes, lambda n: None, lambda n: local.cycle(), 1)

            def edit(number: int) -> None:
                with (vault / FOLDERS[number] / f"note-{number:06}.md").open("a") as file:
                    file.write("more\n")
                time.sleep(0.1)

            measure("idle", notes, lambda n: None, lambda n: local.cycle())
            measure("one note changed here", notes, edit, lambda n: local.cycle())
            measure(
                "one note new in the hub", notes,
                lambda n: tell("write", f"Plans/plan-{n}.md"), lambda n: local.cycle(),
            )  # fmt: skip
            measure(
                "one claim of the cloud's", notes,
                lambda n: tell("claim", f"Needs_Action/general/task-{n}.md"),
                lambda n: local.cycle(),
            )  # fmt: skip
            tasks = [f"Needs_Action/general/task-{ROUNDS + n}.md" for n in range(ROUNDS)]
            measure("claim() and the cycle after it", notes, lambda n: None,
                    lambda n: (local.claim([tasks[n]]), local.cycle()))  # fmt: skip
        local.close()
        tell("end")
        print(f"{notes:>8} {'most memory, MB':<34}"
              f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10:>9}")  # fmt: skip


def be_the_cloud(root: Path) -> None:
    """Do what is asked for on standard input, one command a line."""
    cloud = engine_of(root, Role.CLOUD)
    for line in sys.stdin:
        match line.split():
            case ["write", path]:
                (root / Role.CLOUD / path).parent.mkdir(exist_ok=True)
                (root / Role.CLOUD / path).write_text(f"{path}\n")
            case ["claim", path]:
                assert cloud.claim([path])
            case ["end"]:
                print("done", flush=True)
                break
        cloud.cycle()
        print("done", flush=True)
    cloud.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["cloud"]:
        be_the_cloud(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(f"{'notes':>8} {'what':<34}{'p50 (s)':>9}{'worst':>9}{'CPU p50':>9}")
        for count in map(int, sys.argv[1:] or ["1000", "10000", "100000"]):
            main(count)

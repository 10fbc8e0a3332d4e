"""Rewrites cards as fast as it can, in bursts; a process of its own.

    python swapper.py MANNER

One line of paths (JSON) on the input begins a round, any further line ends it; then it prints how
often it wrote each, and in how many seconds. Every version differs in a six-digit
number that stands all over the card.
MANNER: "in place" (as a sync tool may do it), "replace" (as an editor does it), "symlink" and
"hardlink" (replaced by a link to a card outside the vault, and back).
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import sys
import time
from pathlib import Path

VERSION = b"000000"
EVIL = b"666666"
"""The number in the card that only a link leads to."""

QUIET = 0.01
"""Seconds; the pauses between bursts are spread around this quiet period."""


def _in_place(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def _replace(path: Path, data: bytes) -> None:
    if not path.exists():
        raise FileNotFoundError(path)
    beside = path.with_name(f".swap-{path.stem}")
    beside.unlink(missing_ok=True)  # two names of one file do not change places
    beside.write_bytes(data)
    os.replace(beside, path)


def _link(path: Path, data: bytes, how: str) -> None:
    evil = path.parents[4] / "evil" / path.name
    if random.random() < 0.5 or not path.exists():
        _replace(path, data)
        return
    beside = path.with_name(f".swap-{path.stem}")
    beside.unlink(missing_ok=True)
    if how == "symlink":
        os.symlink(evil, beside)
    else:
        os.link(evil, beside)
    os.replace(beside, path)


def _write(manner: str, path: Path, data: bytes) -> bool:
    try:
        if manner == "in place":
            _in_place(path, data)
        elif manner == "replace":
            _replace(path, data)
        else:
            _link(path, data, manner)
    except OSError:  # it has moved on
        return False
    return True


def swap(manner: str, paths: list[Path]) -> tuple[int, float]:
    """Swap until a line comes in; returns how often, and in how many seconds without pauses."""
    texts = {path: path.read_bytes() for path in paths}
    number = rounds = 0
    busy = 0.0
    while True:
        begun = time.monotonic()
        burst = begun + random.uniform(0.005, 0.05)
        while time.monotonic() < burst:
            number += 1
            writes = 0
            for path, text in texts.items():
                version = b"%06d" % (number % 600_000)
                writes += _write(manner, path, re.sub(VERSION, version, text))
            rounds += bool(writes)
        busy += time.monotonic() - begun
        pause = random.uniform(0, 12 * QUIET)
        if select.select([sys.stdin], [], [], pause)[0]:
            return rounds, busy


def main() -> None:
    """Serve rounds until the input ends."""
    for line in iter(sys.stdin.readline, ""):
        done = swap(sys.argv[1], [Path(path) for path in json.loads(line)])
        sys.stdin.readline()
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()

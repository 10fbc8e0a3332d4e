"""Round after round: memory, descriptors and children stay flat.

150 rounds in the ordinary run, 10,000 with `TRIAL_LONG=1` (`TRIAL_ROUNDS` for another
number); the figures are printed.
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import psutil
import pytest
from twovaults import Desk

ROUNDS = int(os.environ.get("TRIAL_ROUNDS", "10000" if os.environ.get("TRIAL_LONG") else "150"))


def measured(me: psutil.Process) -> tuple[int, int, int, int]:
    gc.collect()
    return (
        me.memory_info().rss >> 10,
        me.num_fds(),
        len(me.children(recursive=True)),
        len(zombies()),
    )


def zombies() -> list[str]:
    """Processes that were started from here and never waited for."""
    found: list[str] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if words[0] == "Z" and int(words[1]) == os.getpid():
            found.append(stat.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")
@pytest.mark.timeout(max(240, ROUNDS * 5))
def test_rounds_leave_nothing_behind(desk: Desk) -> None:
    desk.settle()
    me = psutil.Process()
    warm = max(20, ROUNDS // 10)
    start = time.monotonic()
    before = (0, 0, 0, 0)
    for number in range(ROUNDS + warm):
        if number == warm:
            before = measured(me)
        if number % 5 == 0:
            desk.local.write(f"Notes/n{number % 50}.md", f"{number}\n")
        if number % 25 == 0:
            desk.local.engine.beat({"state": "well"})
        desk.local.sync()
        if ROUNDS >= 1000 and number % 500 == 0:
            print(number, *measured(me), f"{time.monotonic() - start:.0f}s", flush=True)
    after = measured(me)
    print(f"{ROUNDS} rounds in {time.monotonic() - start:.0f} s: {before} -> {after}")
    assert after[1] == before[1], "descriptors"
    assert after[2:] == (0, 0), "children"
    # A leak of one small object a round would show: 1 KiB a round, and what the allocator keeps.
    assert after[0] - before[0] < 4096 + ROUNDS, "memory"

"""The executor killed at every system call, and its disk failing there: once, or told.

Judged by the far side's own record. What dies is the real process: the executor's own thread,
its talker with the MCP server, or that server. Every action type is a row of `kinds.KINDS`.
The ordinary run takes a sample of the points and prints its seed (`TRIAL_SEED`);
`make sweep` takes them all. Skipped, and said so, where strace is missing or may not watch.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from farside import FarSide
from killer import Killer, points
from kinds import KINDS, MANNERS, Kind
from sweeper import LONG, SEED, chosen, strace_fault
from trial import Trial

MORE = int(os.environ.get("TRIAL_POINTS", "0"))
SAMPLE = {"executor": max(5, MORE), "talker": max(1, MORE), "server": max(2, MORE)}
DISK = {
    "fsync": ("EIO",), "fdatasync": ("EIO", "ENOSPC"), "pwrite64": ("EIO", "ENOSPC"),
    "write": ("ENOSPC", "EIO"), "rename": ("ENOSPC", "EIO"), "renameat2": ("EIO", "ENOSPC"),
    "openat": ("ENOSPC",), "mkdir": ("ENOSPC",), "unlink": ("EIO",), "ftruncate": ("EIO",),
}  # fmt: skip
"""What a failing or full disk answers, by call."""

pytestmark = [
    pytest.mark.skipif(bool(strace_fault()), reason=strace_fault() or "-"),
    pytest.mark.timeout(8 * 3600 if LONG or MORE else 240),
    pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys()),
]


class Stage:
    """Makes trials, and knows the points of a life."""

    def __init__(self, folder: Path, far_side: FarSide) -> None:
        self.folder, self.far_side = folder, far_side
        self.killer = Killer()
        self._points: dict[tuple[str, ...], list[tuple[str, int]]] = {}

    def trial(self, kind: Kind, manner: str = "plain") -> Trial:
        return Trial(self.folder, self.killer, self.far_side, kind, manner)

    def points(self, kind: Kind, watch: str, manner: str = "plain") -> list[tuple[str, int]]:
        key = (kind.name, watch, manner)
        if key not in self._points:
            recorded = self.trial(kind, manner).live(watch=watch)
            assert recorded["code"] == 0, recorded
            self._points[key] = points(str(recorded["log"]))
            assert self._points[key], f"nothing was recorded of the {watch}"
        return self._points[key]


@pytest.fixture(scope="module")
def stage(memory: Path, far_side: FarSide) -> Iterator[Stage]:
    made = Stage(memory, far_side)
    yield made
    made.killer.close()


@pytest.mark.parametrize("watch", SAMPLE)
def test_killed_at_every_system_call(stage: Stage, kind: Kind, watch: str) -> None:
    ends: Counter[str] = Counter()
    for manner in MANNERS if LONG else ("plain",):
        every = stage.points(kind, watch, manner)
        missed = []
        for call, when in chosen(every, SAMPLE[watch]):
            what = f"seed {SEED}: {kind.name}, {manner}: {watch} killed at {call} {when}"
            trial = stage.trial(kind, manner)
            result = trial.live(watch=watch, call=call, when=str(when))
            if not result["fired"]:  # opens for reading come and go, and are counted with others
                missed.append((call, when))
            dies = {-9} if watch != "server" and result["fired"] else {0}
            assert result["code"] in dies, (what, result)
            ends[" ".join(trial.judge(what))] += 1
        assert len(missed) <= 1 + len(every) // (4 if watch == "server" else 20), missed
        print(f"seed {SEED}: {watch}, {manner}: {len(every)} points, {dict(ends)}, not: {missed}")
        for call in {call for call, _ in every} - {"openat"} if LONG else ():
            beyond = 20 + max(n for name, n in every if name == call)
            assert not stage.trial(kind, manner).live(watch=watch, call=call, when=str(beyond))[
                "fired"
            ], call


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("watch", ["executor", "server"])
def test_a_failing_disk_at_every_system_call(
    stage: Stage, kind: Kind, watch: str, lasting: bool
) -> None:
    every = [
        (call, when, error)
        for call, when in stage.points(kind, watch)
        for error in DISK.get(call, ())[: None if LONG else 1]
        if (watch, call) != ("server", "write")  # its pipe, which no disk fills
    ]
    for call, when, error in chosen(every, max(2 if watch == "executor" else 1, MORE)):
        what = f"seed {SEED}: {kind.name}: {error} at {call} {when}{'+' * lasting} of the {watch}"
        trial = stage.trial(kind)
        result = trial.live(
            watch=watch, call=call, when=f"{when}{'+' * lasting}", fault=f"error={error}"
        )
        assert result["code"] in ({0, 3} if lasting else {0}), (what, result)
        place, said = trial.place(), result["said"]
        if place.what not in {"sent", "asked"}:  # somebody must have said why not
            assert isinstance(said, dict), what
            assert said["troubles"] or place.what == "back", (what, place, result)
        trial.judge(what)

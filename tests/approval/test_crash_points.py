"""K0 to K15, each by name: where the process dies, and what must have come of it.

Each point is a kill of the real process at a named place in the code, or, for what happens
after a restart, at the system calls of that life. The far side's own record is the judge.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from farside import SLOW_SECONDS, FarSide
from killer import Killer, points
from kinds import KINDS, Kind
from sweeper import LONG, SEED, chosen, strace_fault
from trial import Trial

POINTS = {
    "K0": ("before the proposal is recorded", 0, ["sent"]),
    "K1": ("recorded, its card not written", 0, ["sent"]),
    "K2": ("the card written, the journal not told", 0, ["sent"]),
    "K3": ("moved by the person, not claimed", 0, ["sent"]),
    "K4": ("before the private copy", 0, ["sent"]),
    "K5": ("copied, not claimed", 0, ["sent"]),
    "K6": ("claimed, no intent", 0, ["sent"]),
    "K7": ("intent, not connected", 0, ["in doubt"]),
    "K8": ("sent, no answer read", 1, ["in doubt"]),
    "K9": ("answer read, the effect not recorded", 1, ["in doubt"]),
    "K10": ("recorded, its note not in Done/", 1, ["sent"]),
    "K11": ("its note in Done/, the task not", 1, ["sent"]),
    "K12": ("before the commit for the hub", 1, ["sent"]),
    "K13": ("before and after the push", 1, ["sent"]),
}
"""Point -> where, effects when the process has died, and what the next life makes of it."""

SYNC = {"K12": ("before_commit", "after_merge"), "K13": ("after_push", "before_push")}

pytestmark = pytest.mark.timeout(8 * 3600 if LONG else 120)
no_strace = pytest.mark.skipif(bool(strace_fault()), reason=strace_fault() or "-")
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    made = Killer()
    yield made
    made.close()


@every_kind
@pytest.mark.parametrize("point", [point for point in POINTS if point not in SYNC])
def test_at(memory: Path, killer: Killer, far_side: FarSide, kind: Kind, point: str) -> None:
    where, effects, then = POINTS[point]
    trial = Trial(memory, killer, far_side, kind)
    assert trial.live(point=point)["code"] == -9, (point, where)
    assert trial.effects == effects, (point, where)
    _check(trial, point, then)


@every_kind
@pytest.mark.parametrize(
    ("point", "name"),
    [(point, name) for point, names in SYNC.items() for name in names[: None if LONG else 1]],
)
def test_around_the_commit_and_the_push(
    memory: Path, killer: Killer, far_side: FarSide, kind: Kind, point: str, name: str
) -> None:
    where, effects, then = POINTS[point]
    trial = Trial(memory, killer, far_side, kind, hub=True)
    assert trial.live(point=name)["code"] == -9, (point, where)
    assert trial.effects == effects, (point, where)
    _check(trial, point, then)
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "main"],
        cwd=trial.hub, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    there = [path for path in listed.splitlines() if path.endswith(f"/{trial.card}.md")]
    assert [path.split("/")[0] for path in there] == ["Done"], listed


@no_strace
@every_kind
@pytest.mark.parametrize("before", ["K8", "K7"] if LONG else ["K8"])
@pytest.mark.parametrize("point", ["K14", "K15"])
def test_during_the_next_lives(
    memory: Path, killer: Killer, far_side: FarSide, kind: Kind, point: str, before: str
) -> None:
    """K14: while the doubt is being settled. K15: while a start recovers, and again at the next."""
    recording = Trial(memory, killer, far_side, kind)
    recording.live(point=before)
    every = points(str(recording.live(watch="executor")["log"]))
    half = len(every) // 2
    for call, when in chosen(every[half:] if point == "K14" else every[:half], 1):
        what = f"seed {SEED}: {before}, then {point}: killed at {call} {when}"
        trial = Trial(memory, killer, far_side, kind)
        assert trial.live(point=before)["code"] == -9, what
        for _ in range(1 if point == "K14" else 2):
            trial.live(watch="executor", call=call, when=str(when))
            assert trial.effects == (before == "K8"), what
        seen = trial.judge(what)
        assert seen[0] == ("sent" if kind.probe and before == "K8" else "asked"), (what, seen)


def _check(trial: Trial, point: str, then: list[str]) -> None:
    effects = trial.effects
    seen = trial.judge(point)
    if then == ["in doubt"]:
        found = trial.kind.probe and effects
        assert seen[0] == ("sent" if found else "asked"), (point, seen)
    else:
        assert seen == then, (point, seen)


def test_a_call_under_way_does_not_outlive_its_executor(
    memory: Path, killer: Killer, far_side: FarSide
) -> None:
    """Killed while the mail server thinks: what has not left then must not leave later.

    Else the person looks, sees nothing, says so, and it goes out twice.
    """
    trial = Trial(memory, killer, far_side, KINDS["email.send"], "slow")
    result: list[dict[str, object]] = []
    life = threading.Thread(target=lambda: result.append(trial.live()))
    life.start()
    end = time.monotonic() + 30
    while not far_side.was_asked(trial.address) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(int((trial.root / "scratch/pid").read_text()), signal.SIGKILL)
    killed = time.monotonic()
    before = trial.effects
    life.join()
    print(f"the last process ended {time.monotonic() - killed:.1f} s after the kill")
    time.sleep(max(0.0, killed + SLOW_SECONDS + 1 - time.monotonic()))
    assert result[0]["code"] == -9
    assert before == trial.effects == 0
    trial.judge("killed while the mail server thought")

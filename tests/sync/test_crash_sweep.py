"""One whole cycle, killed at every system call that changes something, then started again.

The ordinary run takes a sample of the points and prints its seed (`TRIAL_SEED`,
`TRIAL_POINTS` for another number); `make sweep` takes them all. Skipped, and said so, where
strace is missing or may not watch.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeper import LONG, SEED, Run, Sweeper, chosen, points, strace_fault
from twovaults import Desk, Side

from nightdesk.errors import HubRefused
from nightdesk.sync.storage import cannot_for_now
from nightdesk.vault.layout import Folder, conflict_name, place_of

SAMPLE = int(os.environ.get("TRIAL_POINTS", "3"))
ERRORS = [
    ("fsync", "error=EIO"), ("fdatasync", "error=EIO"), ("write", "error=ENOSPC"),
    ("renameat2", "error=EIO"), ("unlink", "error=EIO"), ("rename", "error=ENOSPC"),
    ("mkdir", "error=ENOSPC"),
]  # fmt: skip
CLAIMS = [f"Needs_Action/general/c{n}.md" for n in range(2)]


pytestmark = [
    pytest.mark.skipif(bool(strace_fault()), reason=strace_fault() or "-"),
    pytest.mark.second_device,
    pytest.mark.timeout(8 * 3600 if LONG else 240 + 20 * SAMPLE),
]

LINES = [b"line %d\n" % n for n in range(9)]
EXPECTED = {
    "Notes/conflict.md": b"the other's\n",
    conflict_name("Notes/conflict.md", b"the laptop's\n"): b"the laptop's\n",
    "Notes/text.md": b"".join([b"other\n", *LINES[1:-1], b"laptop\n"]),
    "Notes/in-edit.md": b"edited there\n",
    "Notes/there/in-move.md": b"in-move\n",
    "Notes/in-new.md": b"made there\n",
    "Notes/out-edit.md": b"edited here\n",
    "Notes/here/out-move.md": b"out-move\n",
    "Notes/out-new.md": b"made here\n",
    "Needs_Action/email/new.md": b'---\nid: "new"\n---\na new task\n',
    # t: claimed there and edited here. Where it ends, the run that nobody kills says.
    "Pending_Approval/email/c.md": b'---\nid: "c"\n---\nrendered\n',
    "In_Progress/local/c0.md": b'---\nid: "c0"\n---\ntask\n',
    "In_Progress/local/c1.md": b'---\nid: "c1"\n---\ntask\n',
}


def both_have_changed(desk: Desk) -> None:
    """Everything in one cycle: both directions, a conflict, a card, tasks to claim."""
    here, there = desk.local, desk.cloud
    for name in ("conflict", "in-edit", "in-move", "in-gone", "out-edit", "out-move", "out-gone"):
        here.write(f"Notes/{name}.md", f"{name}\n")
    here.write("Notes/text.md", b"".join(LINES))
    here.write("Needs_Action/email/t.md", '---\nid: "t"\n---\ntask\n')
    for path in CLAIMS:
        here.write(path, f'---\nid: "{place_of(path).stem}"\n---\ntask\n')
    desk.settle()
    there.write("Notes/conflict.md", "the other's\n")
    there.write("Notes/text.md", b"".join([b"other\n", *LINES[1:]]))
    there.write("Notes/in-edit.md", "edited there\n")
    there.move("Notes/in-move.md", "Notes/there/in-move.md")
    there.write("Notes/in-new.md", "made there\n")
    (there.vault / "Notes/in-gone.md").unlink()
    there.write("Needs_Action/email/new.md", '---\nid: "new"\n---\na new task\n')
    there.move("Needs_Action/email/t.md", "In_Progress/cloud/t.md")
    there.write("Pending_Approval/email/c.md", '---\nid: "c"\n---\nraw\n')
    there.sync()
    here.write("Notes/conflict.md", "the laptop's\n")
    here.age("Notes/conflict.md", 500)
    here.write("Notes/text.md", b"".join([*LINES[:-1], b"laptop\n"]))
    here.write("Notes/out-edit.md", "edited here\n")
    here.move("Notes/out-move.md", "Notes/here/out-move.md")
    here.write("Notes/out-new.md", "made here\n")
    (here.vault / "Notes/out-gone.md").unlink()
    here.write("Needs_Action/email/t.md", '---\nid: "t"\n---\nedited\n')
    desk.close()


class Stage:
    """The desk before the cycle, again and again."""

    def __init__(self, desk: Desk, sweeper: Sweeper) -> None:
        both_have_changed(desk)
        self.desk = desk
        self.sweeper = sweeper
        self.saved = desk.root.with_name(desk.root.name + ".saved")
        subprocess.run(["cp", "-a", str(desk.root), str(self.saved)], check=True)
        self.tip = desk.git("rev-parse", "main").strip()
        self.expected = EXPECTED
        local = desk.local
        self.where = {
            "vault": str(local.vault), "hub": str(desk.hub), "state": str(local.state),
            "trust": pickle.dumps(local.options["trust"]).hex(), "claims": json.dumps(CLAIMS),
            "scratch": str(desk.root.with_name(desk.root.name + ".scratch")),
        }  # fmt: skip

    def run(self, **fault: Any) -> dict[str, Any]:
        """Set the stage up anew and let the agent run on it."""
        self.desk.close()
        shutil.rmtree(self.desk.root)
        subprocess.run(["cp", "-a", str(self.saved), str(self.desk.root)], check=True)
        return self.sweeper(Run(self.where, **fault))

    def agent_points(self, **options: Any) -> list[tuple[str, int]]:
        """Every point of the agent's own process."""
        recorded = self.run(**options)
        assert recorded["code"] == 0, recorded["said"]
        return points(recorded["log"])

    def git_points(self, *, pipes: bool = True) -> list[tuple[int, str, int]]:
        """Every point of every git command that the agent starts."""
        recorded = self.run(command=-1)
        assert recorded["code"] == 0, recorded["said"]
        logs = Path(self.where["scratch"]).glob("git.*")
        found = [
            (int(log.suffix[1:]), call, when)
            for log in logs
            for call, when in points(log.read_text(errors="replace"), pipes=pipes)
        ]
        return sorted(found)


T = {f"{folder}/t.md": b'---\nid: "t"\n---\nedited\n' for folder in (
    "In_Progress/cloud", "Needs_Action/email",
)}  # fmt: skip


@pytest.fixture
def stage(desk: Desk) -> Iterator[Stage]:
    sweeper = Sweeper()
    try:
        made = Stage(desk, sweeper)
        assert made.run()["code"] == 0
        recover(desk)
        [place] = T.keys() & desk.local.files().keys()
        made.expected = EXPECTED | {place: T[place]}
        verify(made, made.expected, "nobody killed it")
        yield made
    finally:
        sweeper.close()


def recover(desk: Desk, incoming: Any = None) -> None:
    """Start again, as the agents do, until nothing moves."""
    local = desk.local
    local.open(incoming=incoming or (lambda path, data: data.replace(b"raw", b"rendered")))
    for _ in range(8):
        try:
            moved = [local.sync()]
        except HubRefused as e:  # the hub's disk could not: it is asked again before long
            if not cannot_for_now(e.what):
                raise
            local.open(incoming=incoming or (lambda path, data: data.replace(b"raw", b"rendered")))
            continue
        _look_at_locks(desk, local, moved[0].offline)
        left = [path for path in CLAIMS if (local.vault / path).exists()]
        claimed = local.engine.claim(left) if left else []
        moved.append(desk.cloud.sync())
        if not claimed and not any(m.changed or m.offline for m in moved):
            return
    raise AssertionError(f"it does not come to rest: {moved}")


def _look_at_locks(desk: Desk, side: Side, offline: str) -> None:
    """A lock that a killed git left: told with its name, and gone once it is old."""
    left = [*desk.hub.rglob("*.lock"), *side.vault.glob(".git/**/*.lock")]
    for lock in left:
        if lock.name in {"nightdesk.lock", "index.lock"}:
            continue
        if desk.hub in lock.parents and lock.name == "main.lock" and offline:
            assert str(lock) in offline, offline
        then = time.time() - 16 * 60
        os.utime(lock, (then, then))


def verify(stage: Stage, expected: dict[str, bytes], what: str) -> None:
    """Look at all of it from outside."""
    desk = stage.desk
    files = desk.local.files()
    assert files == desk.cloud.files(), what
    assert not [path for path in files if "/.nightdesk-" in path], what
    notes = {p: d for p, d in files.items() if p not in {"Handbook.md", ".gitignore"}}
    assert notes == expected, what
    assert desk.hub_files() == set(files), what
    for commit in desk.git("rev-list", f"{stage.tip}..main").split():
        state = [place_of(p) for p in desk.hub_files(commit)]
        names = [p.name for p in state if p.is_state and p.is_note and p.folder != Folder.DONE]
        assert len(names) == len(set(names)), (what, commit)
    subjects = desk.git("log", "--format=%s", f"{stage.tip}..main").splitlines()
    # One commit carries the notes and one the claims; a person's save that came in between
    # travels in one more.
    assert sum("claim" in s for s in subjects) == 1, (what, subjects)
    for where in (desk.hub, desk.local.vault):
        assert desk.git("fsck", "--strict", "--no-dangling", cwd=where) == "", what
    git_folder = desk.local.vault / ".git"
    desk.local.close()  # the person's branch and index are brought into step at the latest now
    assert desk.git("status", "--porcelain", cwd=desk.local.vault) == "", what
    # A lock on the packed refs is in nobody's way before one is packed; then it goes.
    spared = {"nightdesk.lock", "packed-refs.lock"}
    locks = {p.name for p in git_folder.rglob("*.lock")} - spared
    assert not locks, (what, locks)


def test_the_agent_killed_at_every_system_call(stage: Stage) -> None:
    every = stage.agent_points()
    assert len(every) > 60, every
    last = dict(every)
    some = chosen(every, SAMPLE)
    missed: list[tuple[str, int]] = []
    for call, when in some:
        what = f"seed {SEED}: agent killed at {call} {when}"
        result = stage.run(call=call, when=when)
        if not result["fired"]:  # opens for reading come and go, and are counted with the others
            missed.append((call, when))
            continue
        assert result["code"] == -9, (what, result)
        recover(stage.desk)
        verify(stage, stage.expected, what)
    print(f"seed {SEED}: {len(some)} of {len(every)} points of the agent, not reached: {missed}")
    assert len(missed) <= 1 + len(every) // 20, missed
    for call in last if LONG else []:
        beyond = 1 + max(when for name, when in every if name == call)
        if call != "openat":  # opens for reading are not counted
            assert not stage.run(call=call, when=beyond + 50)["fired"], call


@pytest.mark.parametrize("lives", [False, True], ids=["with the agent", "alone"])
def test_a_git_command_killed_at_every_system_call(stage: Stage, lives: bool) -> None:
    every = stage.git_points()
    assert len(every) > 60, every
    some = chosen(every, SAMPLE)
    print(f"seed {SEED}: {len(some)} of {len(every)} points of git")
    for command, call, when in some:
        what = f"seed {SEED}: git command {command} killed at {call} {when}"
        result = stage.run(command=command, call=call, when=when, lives=lives)
        if not result["fired"]:  # a helper of git's takes a call more or less each time
            continue
        assert result["code"] in ({0, 3} if lives else {-9}), (what, result)
        recover(stage.desk)
        verify(stage, stage.expected, what)


@pytest.mark.parametrize("of_git", [False, True], ids=["agent", "git"])
def test_a_failing_disk_at_every_system_call(stage: Stage, of_git: bool) -> None:
    faults = dict(ERRORS)
    found = (
        stage.git_points(pipes=False) if of_git else [(0, *point) for point in stage.agent_points()]
    )
    every = [point for point in found if point[1] in faults]
    some = chosen(every, SAMPLE)
    print(f"seed {SEED}: {len(some)} of {len(every)} failures")
    for command, call, when in some:
        fault = faults[call]
        what = f"seed {SEED}: {fault} at {call} {when} of command {command}"
        result = stage.run(command=command, call=call, when=when, fault=fault, lives=True)
        assert result["code"] in {0, 3}, (what, result["said"])
        if result["code"] == 3:
            kind, _, said = result["said"].partition(":")
            assert kind in {"VaultUnavailable", "SyncHalted", "HubUnreachable", "HubRefused"}, said
        recover(stage.desk)
        verify(stage, stage.expected, what)


@pytest.mark.parametrize("deed", ["saves", "saves and removes"])
def test_what_is_typed_in_the_moment_of_the_exchange_outlives_every_kill(
    stage: Stage, deed: str
) -> None:
    # Somebody types at the first exchange and at the first removal: every call on those notes.
    for name in ("Notes/conflict.md", "Notes/in-gone.md"):
        path = f"{stage.where['vault']}/{name}"
        recorded = stage.run(person=deed, path=path)
        assert recorded["code"] == 0, recorded["said"]
        every = points(recorded["log"], reads=True)
        first = next(n for n, (call, _) in enumerate(every) if call == "renameat2")
        near = every if LONG else every[max(0, first - 1) : first + 4]
        print(f"{name}, {deed}: killed at", *(f"{call} {when}" for call, when in near))
        for call, when in near:
            what = f"agent killed at {call} {when} of {name} while a person {deed}"
            stage.run(call=call, when=when, person=deed, path=path)
            recover(stage.desk)
            nothing_typed_is_lost(stage, what)


def nothing_typed_is_lost(stage: Stage, what: str) -> None:
    """Everything that the person saved is in the vault or in its history."""
    files = stage.desk.local.files()
    assert files == stage.desk.cloud.files(), what
    assert not list(stage.desk.local.vault.rglob(".nightdesk-*")), what
    known = [*files.values(), *blobs_in(stage.desk)]
    typed = Path(stage.where["scratch"], "typed")
    for words in typed.read_bytes().splitlines() if typed.exists() else []:
        assert words in known or not words, (what, words)


def blobs_in(desk: Desk) -> list[bytes]:
    """The bytes of every note that the hub's history holds."""
    rows = desk.git("rev-list", "--objects", "main").splitlines()
    named = [row.split(" ", 1)[0] for row in rows if row.endswith(".md")]
    return [desk.git("cat-file", "blob", oid).encode() for oid in named]

"""Killed at every point of the cycle, and disturbed by a person while it writes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import git
import pytest
from twovaults import Desk, Side

from nightdesk.sync.engine import CycleReport
from nightdesk.vault.layout import conflict_name

CRASHER = Path(__file__).with_name("crasher.py")
POINTS = [
    ("after_snapshot", 1), ("after_fetch", 1), ("after_merge", 1), ("during_apply", 1),
    ("during_apply", 3), ("during_apply", 5), ("after_apply", 1), ("before_commit", 1),
    ("before_push", 1), ("after_push", 1), ("after_ref", 1),
]  # fmt: skip


def run_and_die(side: Side, point: str, number: int) -> int:
    side.close()
    trust = pickle.dumps(side.options["trust"]).hex()
    arguments = [side.vault, side.hub, side.state, side.role, trust, point, number]
    return subprocess.run(
        [sys.executable, str(CRASHER), *map(str, arguments)], timeout=60, check=False
    ).returncode


def both_have_changed(desk: Desk) -> None:
    """A conflict, a merge of text, a move against an edit, a new card, a removal, new notes."""
    lines = [f"line {n}\n" for n in range(9)]
    desk.local.write("Notes/conflict.md", "one\n")
    desk.local.write("Notes/text.md", "".join(lines))
    desk.local.write("Notes/gone.md", "gone")
    desk.local.write("Needs_Action/email/t.md", '---\nid: "t"\n---\ntask\n')
    desk.settle()
    desk.cloud.write("Notes/conflict.md", "the cloud's\n")
    desk.cloud.write("Notes/text.md", "".join(["cloud\n", *lines[1:]]))
    desk.cloud.engine.claim(["Needs_Action/email/t.md"])
    desk.cloud.write("Pending_Approval/email/c.md", '---\nid: "c"\n---\nraw\n')
    (desk.cloud.vault / "Notes/gone.md").unlink()
    desk.cloud.sync()
    desk.local.write("Notes/conflict.md", "the laptop's\n")
    desk.local.age("Notes/conflict.md", 500)
    desk.local.write("Notes/text.md", "".join([*lines[:-1], "laptop\n"]))
    desk.local.write("Needs_Action/email/t.md", '---\nid: "t"\n---\nedited\n')
    desk.local.write("Notes/new.md", "new\n")
    desk.close()


EXPECTED = {
    "Notes/conflict.md": b"the cloud's\n",
    conflict_name("Notes/conflict.md", b"the laptop's\n"): b"the laptop's\n",
    "Notes/text.md": b"".join([b"cloud\n", *[b"line %d\n" % n for n in range(1, 8)], b"laptop\n"]),
    "In_Progress/cloud/t.md": b'---\nid: "t"\n---\nedited\n',
    "Pending_Approval/email/c.md": b'---\nid: "c"\n---\nrendered\n',
    "Notes/new.md": b"new\n",
}


@pytest.mark.second_device
@pytest.mark.parametrize(("point", "number"), POINTS)
def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(
    desk: Desk, point: str, number: int
) -> None:
    both_have_changed(desk)
    assert run_and_die(desk.local, point, number) == 9
    assert run_and_die(desk.local, "", 1) == 0
    desk.cloud.sync()
    desk.local.open(incoming=lambda path, data: pytest.fail("the card is here already"))
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    notes = {p: d for p, d in desk.local.files().items() if p not in {"Handbook.md", ".gitignore"}}
    assert notes == EXPECTED
    subjects = Counter(desk.git("log", "--format=%s").splitlines())
    assert subjects["local: 5 notes"] == 1, subjects
    assert not list(desk.local.vault.rglob(".nightdesk-*"))
    # The killed run's own commit may be left over, unreferenced; nothing may be broken.
    assert desk.git("fsck", "--strict", "--no-dangling", cwd=desk.local.vault) == ""


def test_killed_with_stale_locks_left_behind(desk: Desk) -> None:
    desk.settle()
    desk.local.close()
    git_folder = desk.local.vault / ".git"
    (git_folder / "refs/nightdesk/base.lock").touch()
    (git_folder / "refs/heads/main.lock").touch()
    (desk.local.state / "index.lock").touch()
    desk.local.write("Notes/a.md", "a")
    desk.local.sync()
    assert "Notes/a.md" in desk.hub_files()


@pytest.mark.second_device
def test_a_save_between_snapshot_and_apply_is_kept_and_merged_next(desk: Desk) -> None:
    lines = [f"line {n}\n" for n in range(9)]
    desk.local.write("Notes/n.md", "".join(lines))
    desk.settle()
    desk.cloud.write("Notes/n.md", "".join(["cloud\n", *lines[1:]]))
    desk.cloud.sync()
    saved: list[str] = []

    def person_saves(point: str) -> None:
        if point == "after_merge" and not saved:
            saved.append(point)
            desk.local.write("Notes/n.md", "".join([*lines[:-1], "saved just now\n"]))

    desk.local.open(crash=person_saves)
    report = desk.local.sync()
    assert saved
    assert report.conflicts == ()
    assert desk.local.read("Notes/n.md").decode() == "".join(
        ["cloud\n", *lines[1:-1], "saved just now\n"]
    )


@pytest.mark.second_device
@pytest.mark.parametrize("deed", ["save", "move", "create", "recreate"])
def test_what_a_person_does_while_the_plan_is_carried_out_wins(desk: Desk, deed: str) -> None:
    desk.local.write("Notes/n.md", "one\n")
    desk.local.write("Notes/gone.md", "gone\n")
    desk.settle()
    desk.cloud.write("Notes/n.md", "the cloud's\n")
    desk.cloud.write("Notes/new.md", "the cloud's new\n")
    (desk.cloud.vault / "Notes/gone.md").unlink()
    desk.cloud.sync()
    done: list[str] = []

    def person(point: str) -> None:
        if point != "after_merge" or done:
            return
        done.append(deed)
        match deed:
            case "save":
                desk.local.write("Notes/gone.md", "saved again\n")
            case "move":
                desk.local.move("Notes/n.md", "Notes/renamed.md")
            case "create":
                desk.local.write("Notes/new.md", "the laptop's new\n")
            case "recreate":
                (desk.local.vault / "Notes/n.md").unlink()
                desk.local.write("Notes/n.md/inside.md", "in a folder now\n")

    desk.local.open(crash=person)
    desk.local.sync()
    desk.settle()
    files = desk.local.files()
    assert files == desk.cloud.files()
    everything = set(files.values())
    assert b"the cloud's new\n" in everything
    assert b"the cloud's\n" in everything
    match deed:
        case "save":
            assert files["Notes/gone.md"] == b"saved again\n"
        case "move":
            assert files["Notes/renamed.md"] == b"one\n"
        case "create":
            assert b"the laptop's new\n" in everything
        case "recreate":
            assert files["Notes/n.md/inside.md"] == b"in a folder now\n"


def test_a_silent_hub_does_not_keep_the_engine_from_stopping(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settle()
    script = desk.root / "git"
    script.write_text(f'#!/bin/sh\ncase " $* " in *" fetch "*) touch {desk.root}/talking; '
                      f'exec sleep 300;; esac\nexec git "$@"\n')  # fmt: skip
    script.chmod(0o755)
    monkeypatch.setattr(git.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))
    reports: list[CycleReport] = []
    thread = threading.Thread(target=lambda: reports.append(desk.local.sync()))
    thread.start()
    deadline = time.monotonic() + 20
    while not (desk.root / "talking").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.local.engine.interrupt()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert reports[0].offline


def test_no_descriptors_or_processes_are_left_behind(desk: Desk) -> None:
    desk.settle()
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for n in range(3):
        desk.local.write("Notes/n.md", str(n))
        desk.local.sync()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)

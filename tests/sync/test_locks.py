"""Git's lock files that a killed process left: young, old, and held by somebody alive."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from twovaults import Desk

from nightdesk.errors import SyncHalted
from nightdesk.sync import locks
from nightdesk.sync.git import Git

LOCKS = ["HEAD.lock", "packed-refs.lock", "refs/heads/main.lock", "config.lock", "shallow.lock"]


def made(path: Path, minutes: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    then = time.time() - minutes * 60
    os.utime(path, (then, then))
    return path


def git_of(desk: Desk) -> Git:
    return Git(desk.local.vault, desk.local.state, str(desk.hub), "local")


def words_of(lock: Path) -> str:
    return f"fatal: Unable to create '{lock}': File exists.\n\nAnother git process seems ..."


def collide(git: Git, name: str) -> None:
    """Run the command that needs this lock."""
    head = git.resolve("refs/nightdesk/base")
    assert head
    match name:
        case "packed-refs.lock":
            git.update_refs(("refs/heads/other", head))
            git.call("pack-refs", "--all")
        case "config.lock":
            git.call("config", "--local", "nightdesk.test", "1")
        case _:
            git.update_refs(("refs/heads/main", head))


@pytest.mark.parametrize("name", LOCKS[:4])
def test_an_old_lock_of_nobody_is_removed_and_the_command_goes_on(desk: Desk, name: str) -> None:
    git = git_of(desk)
    lock = made(git.folder / name, 16)
    collide(git, name)
    assert not lock.exists()


def test_all_locks_of_one_killed_git_go_in_one_go(desk: Desk) -> None:
    git = git_of(desk)
    left = [made(git.folder / name, 16) for name in ("HEAD.lock", "refs/heads/main.lock")]
    collide(git, "refs/heads/main.lock")
    assert not any(lock.exists() for lock in left)


@pytest.mark.parametrize("name", LOCKS[:4])
def test_a_young_lock_stays_and_is_told_with_age_and_remedy(desk: Desk, name: str) -> None:
    git = git_of(desk)
    lock = made(git.folder / name, 14)
    with pytest.raises(SyncHalted) as caught:
        collide(git, name)
    assert lock.exists()
    assert caught.value.where == str(lock)
    assert "14 minutes" in caught.value.what
    assert "delete that file" in caught.value.remedy


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")
@pytest.mark.parametrize("name", LOCKS[:4])
def test_an_old_lock_that_somebody_holds_stays(desk: Desk, name: str) -> None:
    git = git_of(desk)
    lock = made(git.folder / name, 90)
    with lock.open("rb"), pytest.raises(SyncHalted) as caught:
        collide(git, name)
    assert lock.exists()
    assert "holds this lock" in caught.value.what
    assert "Wait" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "minutes", "goes"),
    [(name, 16, True) for name in LOCKS]
    + [(name, 14, False) for name in LOCKS]
    + [
        ("refs/nightdesk/hub.lock", 0, True),
        ("refs/nightdesk/snapshots/2026-01-01.lock", 0, True),
        ("index.lock", 9999, False),
        ("gc.pid.lock", 9999, False),
    ],
)
def test_which_locks_go(tmp_path: Path, name: str, minutes: float, goes: bool) -> None:
    lock = made(tmp_path / ".git" / name, minutes)
    assert locks.remove_stale(words_of(lock), [tmp_path / ".git"]) is goes
    assert lock.exists() is not goes


def test_only_what_git_names_in_a_repository_of_ours_goes(tmp_path: Path) -> None:
    lock = made(tmp_path / "elsewhere" / "HEAD.lock", 9999)
    other = made(tmp_path / ".git" / "HEAD.lock", 9999)
    for said in (
        words_of(lock),
        words_of(tmp_path / ".git" / ".." / "elsewhere" / "HEAD.lock"),
        "fatal: something else; HEAD.lock",
    ):
        assert not locks.remove_stale(said, [tmp_path / ".git"])
    assert lock.exists()
    assert other.exists()


def test_the_persons_index_lock_stays_and_sync_goes_on(desk: Desk) -> None:
    desk.settle()
    lock = made(desk.local.vault / ".git" / "index.lock", 9999)
    desk.local.write("Notes/n.md", "n")
    assert desk.local.sync().pushed
    assert lock.exists()
    lock.unlink()
    desk.local.sync()
    desk.local.calm()
    assert desk.git("status", "--porcelain", cwd=desk.local.vault) == ""


def test_a_lock_in_a_hub_on_this_machine_is_told_and_goes_when_it_is_old(desk: Desk) -> None:
    desk.settle()
    lock = made(desk.hub / "refs/heads/main.lock", 2)
    desk.local.write("Notes/n.md", "n")
    report = desk.local.sync()
    assert str(lock) in report.offline
    assert "2 minutes" in report.offline
    assert lock.exists()
    made(lock, 20)
    assert desk.local.sync().pushed
    assert not lock.exists()

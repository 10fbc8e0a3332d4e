"""The object store stays small: packed when it is due, beside running agents, nothing dropped."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import git as gitpython
import pytest
from twovaults import Desk

from nightdesk.errors import SyncHalted
from nightdesk.policy import Role
from nightdesk.sync import process, upkeep
from nightdesk.sync.git import Git
from nightdesk.sync.upkeep import EVERY_SECONDS, Upkeep, loose_objects, pack, packs

LOOSE = upkeep.LOOSE_OBJECTS


def git_of(desk: Desk) -> Git:
    return Git(desk.local.vault, desk.local.state, str(desk.hub), "local")


def loose(folder: Path) -> int:
    return sum(len(os.listdir(f)) for f in (folder / "objects").iterdir() if len(f.name) == 2)


def objects_of(desk: Desk, folder: Path) -> set[str]:
    out = desk.git(
        "cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered", cwd=folder
    )
    return set(out.split())


def fill(git: Git, number: int) -> None:
    """Loose objects that no ref reaches, as lost races and old snapshots leave them."""
    for n in range(number):
        git.write([b"loose %d" % n])


def test_it_is_looked_at_once_an_hour_and_packed_when_there_is_enough(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settle()
    git = git_of(desk)
    now = [0.0]
    keeper = Upkeep(git, Role.LOCAL, lambda: now[0])
    before = {folder: objects_of(desk, folder) for folder in (git.folder, desk.hub)}
    assert not keeper.after_cycle(pushed=True)  # a few loose objects: not worth it
    monkeypatch.setattr(upkeep, "LOOSE_OBJECTS", 0)
    now[0] += EVERY_SECONDS - 1
    assert not keeper.after_cycle(pushed=True)
    assert loose(git.folder)
    now[0] += 2
    assert keeper.after_cycle(pushed=True)
    for folder, objects in before.items():
        assert loose(folder) == 0
        assert packs(folder) == 1
        assert objects_of(desk, folder) == objects, "something was dropped"
    assert desk.git("fsck", "--strict", cwd=desk.local.vault).count("missing") == 0


def test_many_pushes_make_it_due_and_the_cloud_leaves_the_hub_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settle()
    monkeypatch.setattr(upkeep, "PUSHES", 3)
    now = [0.0]
    git = Git(desk.cloud.vault, desk.cloud.state, str(desk.hub), "cloud")
    keeper = Upkeep(git, Role.CLOUD, lambda: now[0])
    for _ in range(3):
        keeper.after_cycle(pushed=True)
    now[0] += EVERY_SECONDS
    there = loose(desk.hub)
    assert there
    assert not keeper.after_cycle(pushed=False)  # the first look had counted one of the three
    for _ in range(3):
        keeper.after_cycle(pushed=True)
    now[0] += EVERY_SECONDS
    assert keeper.after_cycle(pushed=False)
    assert loose(git.folder) == 0
    assert loose(desk.hub) == there


def test_unreachable_objects_are_packed_and_kept(desk: Desk) -> None:
    git = git_of(desk)
    fill(git, 5)
    before = objects_of(desk, git.folder)
    assert pack(git.folder)
    assert objects_of(desk, git.folder) == before
    assert loose(git.folder) == 0


def test_many_small_packs_become_few(desk: Desk) -> None:
    git = git_of(desk)
    for n in range(6):
        git.write([b"pack %d" % n])
        assert pack(git.folder)
    assert packs(git.folder) <= 4


def test_interrupted_it_ends_at_once_and_leaves_nothing_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = git_of(desk)
    fill(git, 3)
    script = desk.root / "git"
    real = shutil.which("git")
    script.write_text(
        f"#!/bin/sh\ntouch {git.folder}/objects/pack/tmp_pack_XXXXXX {desk.root}/packing\n"
        f'case " $* " in *" repack "*) exec sleep 60;; esac\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(gitpython.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))
    start = time.monotonic()
    assert not pack(git.folder, (desk.root / "packing").exists)
    assert time.monotonic() - start < 30
    monkeypatch.undo()
    assert not list((git.folder / "objects").rglob("tmp_*"))
    assert not list((git.folder / "objects").rglob(".tmp-*"))
    assert pack(git.folder)


def test_only_old_remains_of_a_killed_git_are_removed(desk: Desk) -> None:
    objects = desk.local.vault / ".git" / "objects"
    old, young = objects / "pack" / "tmp_pack_AAAAAA", objects / "pack" / "tmp_pack_BBBBBB"
    quarantine = objects / "tmp_objdir-incoming-CCCCCC"
    quarantine.mkdir()
    busy = objects / "incoming-DDDDDD"
    busy.mkdir()
    for file in (old, young, quarantine / "x", busy / "x", objects / "17x"):
        file.write_bytes(b"x")
    then = time.time() - 2 * 3600
    for path in (old, quarantine / "x", quarantine, busy):
        os.utime(path, (then, then))
    upkeep.remove_abandoned(desk.local.vault / ".git")
    assert not old.exists()
    assert not quarantine.exists()
    assert young.exists()
    assert (busy / "x").exists()
    assert (objects / "17x").exists()


def test_packing_in_both_places_while_both_agents_work(desk: Desk) -> None:
    desk.settle()
    stop = threading.Event()
    faults: list[object] = []
    rounds = [0]

    def pack_again_and_again() -> None:
        while not stop.is_set():
            for folder in (desk.local.vault / ".git", desk.cloud.vault / ".git", desk.hub):
                if not pack(folder):
                    faults.append(folder)
                rounds[0] += 1

    packer = threading.Thread(target=pack_again_and_again)
    packer.start()
    try:
        for n in range(8):
            desk.local.write(f"Notes/l{n}.md", f"{n}")
            desk.cloud.write(f"Inbox/c{n}.md", f"{n}")
            desk.local.sync()
            desk.cloud.sync()
    finally:
        stop.set()
        packer.join()
    desk.settle()
    assert rounds[0] >= 6
    assert faults == []
    assert desk.local.files() == desk.cloud.files()
    assert {f"Notes/l{n}.md" for n in range(8)} <= desk.hub_files()
    for folder in (desk.hub, desk.local.vault, desk.cloud.vault):
        assert desk.git("fsck", "--strict", "--no-dangling", cwd=folder) == ""


def test_a_folder_that_a_repack_took_away_in_between_is_no_fault(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settle()
    script, real = desk.root / "git", shutil.which("git")
    script.write_text(
        f'#!/bin/sh\ncase " $* " in *" commit-tree "*) if [ ! -e {desk.root}/once ]; then '
        f"touch {desk.root}/once; "
        "echo 'error: unable to create temporary file: No such file or directory' >&2; exit 128; "
        f'fi;; esac\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(gitpython.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))
    desk.local.write("Notes/n.md", "n")
    assert desk.local.sync().pushed
    assert (desk.root / "once").exists()


def test_a_pack_that_never_ends_fills_no_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.settle()
    clone = desk.outsider()
    (clone / "Attachments").mkdir()
    (clone / "Attachments/big.pdf").write_bytes(os.urandom(3 << 20))
    desk.git("add", "-A", cwd=clone)
    desk.git("commit", "-q", "-m", "big", cwd=clone)
    desk.git("push", "-q", "origin", "main", cwd=clone)
    capped = ("sh", "-c", f'ulimit -f {(1 << 20) // 512}; exec "$@"', "sh")
    monkeypatch.setattr("nightdesk.sync.git.CAPPED", capped)
    before = loose_objects(desk.local.vault / ".git")
    with pytest.raises(SyncHalted, match="at once") as caught:
        desk.local.sync()
    assert "by hand" in caught.value.remedy
    left = [p for p in (desk.local.vault / ".git/objects").rglob("tmp_*") if p.is_file()]
    assert left == []
    assert loose_objects(desk.local.vault / ".git") == before


def test_the_cap_stands_before_every_child(tmp_path: Path) -> None:
    said = process.run(
        tmp_path,
        ["-c", "alias.cap=!ulimit -f", "cap"],
        environment={},
        through=process.CAPPED,
    )
    assert int(said.out) * 512 == process.FETCH_BYTES or int(said.out) * 1024 == process.FETCH_BYTES


def test_no_round_outlasts_its_deadline(desk: Desk) -> None:
    desk.settle()
    engine = desk.local.open()
    git = engine._git
    git.deadline = time.monotonic()
    with pytest.raises(SyncHalted, match="in time"):
        git.refs("refs/heads")
    engine.cycle()  # each round has its own
    assert git.deadline > time.monotonic() + 1e9

"""The person's clone: whether it can be worked in, one daemon at a time, and in step at the end."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO

from nightdesk.errors import ConfigError, NightdeskError, SyncHalted, VaultUnavailable
from nightdesk.sync.git import Git
from nightdesk.sync.refs import BASE, KEPT, MAIN
from nightdesk.sync.storage import unavailable

__all__ = [
    "BASE",
    "KEPT",
    "MAIN",
    "check_clone",
    "check_idle",
    "lock",
    "remove_own_locks",
    "step_along",
]

_BUSY = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
}


def lock(path: Path) -> IO[bytes]:
    """Take a lock that ends with the process.

    Raises:
        NightdeskError: another process has it.
        VaultUnavailable: its folder cannot be written.
    """
    try:
        file = _open(path)
    except OSError as e:
        raise unavailable(path.parent, e.strerror or str(e)) from e
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        file.close()
        raise NightdeskError(
            "another agent is already at work here",
            remedy="Stop it first; `run` may be started once for each vault",
            where=str(path),
        ) from e
    return file


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as e:
        if e.errno != errno.EROFS:
            raise
        return path.open("rb")  # a daemon may start on a disk that is read-only for a while


def check_clone(git: Git) -> None:
    """See that the vault is a clone of this hub, and that nobody is in the middle of something.

    Raises:
        VaultUnavailable: the folder is missing or unmounted.
        ConfigError: it is no clone, or one of another hub.
        SyncHalted: a merge or rebase is open, or another branch is checked out.
    """
    if not git.vault.is_dir():
        raise VaultUnavailable(
            "the vault's folder is not there",
            remedy="Mount it, or correct `vault` in the configuration",
            where=str(git.vault),
        )
    if not (git.folder / "HEAD").is_file():
        raise ConfigError(
            "the vault is not connected to a hub yet",
            remedy="If it lies on another disk, mount that; else run `init` of the same command",
            where=str(git.vault),
        )
    if git.origin() != git.hub:
        raise ConfigError(
            f"the vault belongs to another hub ({git.origin() or 'none'})",
            remedy="Correct `hub.url` in the configuration, or run"
            f" `git -C {git.vault} remote set-url origin {git.hub}` if the hub has moved",
            where=str(git.vault),
        )
    check_idle(git)


def check_idle(git: Git) -> None:
    """See that no merge, rebase or other branch is open in the person's own git.

    Raises:
        VaultUnavailable: the vault has vanished.
        SyncHalted: it is; sync goes on by itself once that is finished.
    """
    for name, what in _BUSY.items():
        if (git.folder / name).exists():
            raise SyncHalted(
                f"{what} is open in the vault's own git",
                remedy="Finish or abort it with git; sync then goes on by itself",
                where=str(git.vault),
            )
    try:
        head = (git.folder / "HEAD").read_text("utf-8", "replace").strip()
    except OSError as e:
        raise VaultUnavailable(
            f"the vault cannot be read ({e.strerror})",
            remedy="Check that the folder is there, mounted and yours",
            where=str(git.vault),
        ) from e
    if head != f"ref: {MAIN}":
        raise SyncHalted(
            "the vault's own git is not on the branch main",
            remedy=f"Run `git -C {git.vault} switch main`; sync then goes on by itself",
            where=str(git.vault),
        )


def remove_own_locks(git: Git) -> None:
    """Remove lock files that a killed run left on refs that only Nightdesk writes."""
    for stale in (git.folder / "refs" / "nightdesk").rglob("*.lock"):
        stale.unlink(missing_ok=True)


def step_along(git: Git, commit: str) -> bool:
    """Bring the person's branch and index into step, so that their `git status` is clean.

    Best effort: sync rests on neither. A commit that the person made is kept under a ref of
    its own (its files are on the disk and sync as they are); an index in use stays untouched.

    Returns:
        Whether both are in step; otherwise it is worth trying again later.
    """
    main = git.resolve(MAIN)
    if main and main != commit and not git.is_ancestor(main, commit):
        git.update_refs((f"{KEPT}/{main[:12]}", main))
    moved = main == commit or git.call("update-ref", MAIN, commit, ok=(0, 1, 128)).code == 0
    return _renew_index(git, commit) and moved


def _renew_index(git: Git, commit: str) -> bool:
    """Build the index beside the person's and put it there under git's own lock.

    The lock is made last, as a second name of our file: a run that is killed in between leaves
    a lock that can be told from the person's.
    """
    index, ours = git.folder / "index", git.folder / "nightdesk-index"
    lock_file = git.folder / "index.lock"
    _give_lock_back(lock_file, ours)
    ours.unlink(missing_ok=True)
    if lock_file.exists():
        return False
    with suppress(OSError):
        shutil.copyfile(index, ours)  # with what git knows of the files' times
        ours.chmod(index.stat().st_mode & 0o777)
    ours.with_name(ours.name + ".lock").unlink(missing_ok=True)
    done = git.call("read-tree", "--reset", commit, index=ours, ok=(0, 1, 128))
    renewed = done.code == 0
    if renewed:
        try:
            os.link(ours, lock_file)
            lock_file.rename(index)
        except OSError:  # somebody has just begun to work, or the disk is full
            _give_lock_back(lock_file, ours)
            renewed = False
    ours.unlink(missing_ok=True)
    return renewed


def _give_lock_back(lock_file: Path, ours: Path) -> None:
    with suppress(FileNotFoundError):
        if lock_file.lstat().st_ino == ours.lstat().st_ino:
            lock_file.unlink()

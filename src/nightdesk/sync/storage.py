"""Trouble of a disk: how git and the system say it, and what a person can do about it.

A full or read-only disk passes. It is told apart from broken objects and from a hub that does
not answer, because the remedy is another one, and because sync goes on by itself afterwards.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightdesk.errors import VaultUnavailable

FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""What stops every write to a disk, not only that of one path."""

_FULL = ("no space left on device", "out of diskspace", "disk quota exceeded")
_LOCKED = ("read-only file system", "insufficient permission for adding an object")
_DENIED = "permission denied"
_AT_HUB = ("unpacker error", "unable to migrate objects")
_LEFT_BY_GIT = (
    "fast_import_crash_*",
    "objects/pack/tmp_*",
    "objects/??/tmp_obj_*",
    "objects/incoming-*",
    "objects/tmp_objdir-incoming-*",
)


def told_by_git(said: str, *, talks: bool = False) -> str:
    """What git's own words say about the disk under it: a short clause, or "".

    Args:
        said: the error output; lines of a far side ("remote: …") do not count.
        talks: whether another program (ssh) may have said some of it, in words that mean
            something else there.
    """
    own = "\n".join(line for line in said.casefold().splitlines() if "remote:" not in line)
    if any(words in own for words in _FULL):
        return "the disk is full"
    words = _LOCKED if talks else (*_LOCKED, _DENIED)
    return next((found for found in words if found in own), "")


def cannot_for_now(said: str) -> bool:
    """Whether a hub that took nothing says that its own disk or quota is at fault."""
    lower = said.casefold()
    return any(words in lower for words in (*_FULL, *_LOCKED, _DENIED, *_AT_HUB))


def unavailable(where: Path | str, reason: str) -> VaultUnavailable:
    """The error for a disk that cannot be written at the moment."""
    return VaultUnavailable(
        f"the disk cannot be written ({reason})",
        remedy="Free space on it, or make it writable for this user; sync goes on by itself",
        where=str(where),
    )


@contextmanager
def told_of_disks(where: Path) -> Iterator[None]:
    """Turn what the system says of a disk into the error that a person reads."""
    try:
        yield
    except OSError as e:
        raise unavailable(e.filename or where, e.strerror or str(e)) from e


def gone(folder: Path, what: str = "the vault") -> VaultUnavailable:
    """The error for a folder that vanished: a disk was unmounted, or somebody moved it away."""
    return VaultUnavailable(
        f"{what} is not there",
        remedy="Mount it again or put it back; sync goes on by itself",
        where=str(folder),
    )


def remove_leftovers(folder: Path, since: float) -> None:
    """Remove the temporary files of a git that could not finish for want of space.

    Without this every attempt on a full disk would leave one more, and a large note could keep
    the disk full by its own remains.

    Args:
        folder: the repository.
        since: files that were changed before this time are somebody else's, seconds since the
            epoch.
    """
    for pattern in _LEFT_BY_GIT:
        for left in folder.glob(pattern):
            with suppress(OSError):  # gone by itself, or the disk is read-only
                if left.is_file() and left.stat().st_mtime >= since:
                    left.unlink()


def remove_skeleton(folder: Path) -> None:
    """Remove what git made anew of a repository that vanished while git wrote into it.

    Without this the place to which a vault is to come back would not be empty.

    Args:
        folder: the vault's `.git`; nothing is touched where anything else is in it.
    """
    try:
        inside = {found.name for found in folder.iterdir()}
    except OSError:
        inside = set()
    if not all(name == "objects" or name.startswith("fast_import_crash_") for name in inside):
        return
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # somebody's file is in it
        folder.parent.rmdir()

"""Git's lock files that a killed process left behind: recognised by owner and age.

Looked at only when git says that one is in the way. A lock goes when nobody alive has it open
and it is a quarter of an hour old, or at once where only Nightdesk writes. The person's
`index.lock` is never touched: somebody is at work.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from nightdesk.errors import SyncHalted

OLD_SECONDS = 15 * 60.0

_SAID = re.compile(r"Unable to create '(?P<path>[^']+\.lock)': File exists")
_SAID_OF_CONFIG = re.compile(r"could not lock config file (?P<path>.+): File exists")
_OWN = "refs/nightdesk/"
_REMOVABLE = frozenset({"HEAD.lock", "packed-refs.lock", "shallow.lock", "config.lock"})


def in_the_way(said: str) -> Path | None:
    """The lock file that git's error output names, or None."""
    if found := _SAID.search(said):
        return Path(os.path.normpath(found["path"]))
    if found := _SAID_OF_CONFIG.search(said):
        return Path(os.path.normpath(found["path"] + ".lock"))
    return None


def remove_stale(said: str, repositories: Sequence[Path]) -> bool:
    """Remove the lock that git's error names, if it is nobody's any more.

    Args:
        said: git's error output.
        repositories: the clone's git folder and, on this machine, the hub; no lock anywhere
            else is touched.

    Returns:
        Whether the same command is worth running again at once.
    """
    lock = in_the_way(said)
    if lock is None:
        return False
    for folder in repositories:
        try:
            name = lock.relative_to(os.path.normpath(folder)).as_posix()
        except ValueError:
            continue
        own = name.startswith(_OWN)
        if not (own or name in _REMOVABLE or name.startswith("refs/")):
            return False
        return _remove(lock, 0.0 if own else OLD_SECONDS)
    return False


def blocked(said: str) -> SyncHalted | None:
    """The error for a lock that stays: file, age and remedy; None where no lock is meant."""
    lock = in_the_way(said)
    if lock is None:
        return None
    what, remedy = words(lock)
    return SyncHalted(what, remedy=remedy, where=str(lock))


def words(lock: Path) -> tuple[str, str]:
    """What is in the way, and what to do about it."""
    age = _age(lock)
    since = "" if age is None else f", made {_told(age)} ago"
    if is_open(lock):
        return (
            f"another git process holds this lock{since}",
            "Wait until it is finished, or end it; sync then goes on by itself",
        )
    return (
        f"a lock of git's is in the way{since}, and no running process holds it",
        "Sync removes it by itself once it is 15 minutes old; if no git is running there, you"
        " may delete that file now",
    )


def is_open(lock: Path) -> bool:
    """Whether a process that can be looked at has the file open (Linux only, best effort)."""
    wanted = os.path.realpath(lock)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for handle in (process / "fd").iterdir():
                if os.readlink(handle) == wanted:  # noqa: PTH115 - the plain text is compared
                    return True
        except OSError:  # not ours to look at, or over by now
            continue
    return False


def _remove(lock: Path, old: float) -> bool:
    try:
        before = lock.lstat()
        if (_age(lock) or 0.0) < old or is_open(lock):
            return False
        now = lock.lstat()
        if (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns):
            return False
        lock.unlink()
    except FileNotFoundError:  # given back in between
        return True
    except OSError:
        return False
    return True


def _age(lock: Path) -> float | None:
    try:
        return max(0.0, time.time() - lock.lstat().st_mtime)
    except OSError:
        return None


def _told(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours >= 48:
        return f"{hours // 24} days"
    if hours >= 2:
        return f"{hours} hours"
    return f"{minutes} minutes" if minutes >= 2 else f"{int(seconds)} seconds"

"""Keeping git's object store small: packed in the background of a day, nothing ever dropped.

A claim or a note leaves a few loose objects of a file-system block each (docs/numbers.md). They
are packed in geometric steps, so that the work grows with what is new, not with the vault. What
no ref reaches is packed too and never pruned here: it may be somebody's only copy.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nightdesk.policy import Role
from nightdesk.sync.address import local_path
from nightdesk.sync.git import Git
from nightdesk.sync.process import Result, run
from nightdesk.sync.storage import remove_leftovers

EVERY_SECONDS = 3600.0
LOOSE_OBJECTS = 2000
PUSHES = 500
PACKS = 40
LIMIT_SECONDS = 120.0
ABANDONED_SECONDS = 3600.0
_QUARANTINES = ("incoming-", "tmp_objdir-")
_CLOCK_GRAIN = 2.0
"""Time stamps of a file system may be this much coarser than the clock, in seconds."""

_GENTLE = ("nice", "-n", "19")
_SETTINGS = (
    "-c",
    "pack.threads=1",
    "-c",
    "pack.windowMemory=64m",
    "-c",
    "repack.writeBitmaps=false",
)


class Upkeep:
    """The upkeep of one clone, and by Local of the hub where that lies on the same machine.

    A hub elsewhere has its own: a hosted one by its host, a bare one on a server by the
    `git gc --auto` that git runs there after a push.

    Args:
        git: its `interrupted` ends what is under way.
        clock: seconds, monotonic.
    """

    def __init__(self, git: Git, role: Role, clock: Callable[[], float] = time.monotonic) -> None:
        hub = local_path(git.hub)
        self._folders = [git.folder, *([hub] if hub and role is Role.LOCAL else [])]
        self._interrupted = git.interrupted.is_set
        self._clock = clock
        self._pushes = 0
        self._looked: float | None = None

    def after_cycle(self, *, pushed: bool) -> bool:
        """Look whether packing is due, at most once an hour; never during a push.

        Returns:
            Whether anything was packed.
        """
        self._pushes += pushed
        now = self._clock()
        if self._looked is not None and now - self._looked < EVERY_SECONDS:
            return False
        self._looked = now
        often, self._pushes = self._pushes >= PUSHES, 0
        done = False
        for folder in self._folders:
            remove_abandoned(folder)
            if often or loose_objects(folder) >= LOOSE_OBJECTS or packs(folder) >= PACKS:
                done = pack(folder, self._interrupted) or done
        return done


def pack(folder: Path, interrupted: Callable[[], bool] = lambda: False) -> bool:
    """Pack a repository's loose objects and small packs, and its refs.

    Returns:
        Whether it came to its end; otherwise the next time goes on from where things are.
    """

    def git(*arguments: str) -> Result:
        return run(
            folder,
            [*_SETTINGS, *arguments],
            environment={"GIT_DIR": str(folder)},
            timeout=LIMIT_SECONDS,
            cancelled=interrupted,
            through=_GENTLE,
        )

    if interrupted():
        return False
    begun = time.time() - _CLOCK_GRAIN
    done = git("repack", "--geometric=2", "-d", "-l", "-q").code == 0
    if not done:
        remove_leftovers(folder, begun)
    return done and git("pack-refs", "--all").code == 0


def loose_objects(folder: Path) -> int:
    """About how many loose objects a repository has: those of one in 256 folders, 256 times."""
    return 256 * len(_names(folder / "objects" / "17"))


def packs(folder: Path) -> int:
    """How many packs it has."""
    return sum(name.endswith(".pack") for name in _names(folder / "objects" / "pack"))


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary objects and quarantines of a git that was killed over an hour ago."""
    objects = folder / "objects"
    old = time.time() - ABANDONED_SECONDS
    for name in _names(objects):
        place = objects / name
        if name.startswith(_QUARANTINES):
            if all(_changed(file) < old for file in (place, *place.rglob("*"))):
                shutil.rmtree(place, ignore_errors=True)
        elif len(name) == 2 or name == "pack":
            for left in _names(place):
                if left.startswith(("tmp_", ".tmp-")) and _changed(place / left) < old:
                    with suppress(OSError):
                        (place / left).unlink()


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:  # gone by itself
        return 0.0


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []

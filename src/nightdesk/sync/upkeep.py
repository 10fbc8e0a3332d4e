"""Keeping git's object store small: packed in the background of a day, nothing ever dropped.

A claim or a note leaves a few loose objects of a file-system block each (docs/numbers.md). They
are packed in geometric steps, so that the work grows with what is new, not with the vault. What
no ref reaches is packed too and never pruned here: it may be somebody's only copy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from nightdesk.sync.process import Result, run

EVERY_SECONDS = 3600.0
LOOSE_OBJECTS = 2000
PUSHES = 500
PACKS = 40
LIMIT_SECONDS = 120.0
ABANDONED_SECONDS = 3600.0
_GENTLE = ("nice", "-n", "19")
_SETTINGS = ("-c", "pack.threads=1", "-c", "pack.windowMemory=64m", "-c", "repack.writeBitmaps=false")


class Upkeep:
    """The upkeep of one clone, and of the hub where that lies on the same machine.

    Args:
        folders: the repositories, each the folder that holds `objects/`.
        interrupted: asked a few times a second; then git is ended and its files removed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        folders: list[Path],
        interrupted: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = folders
        self._interrupted = interrupted
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

    begun = time.time()
    done = git("repack", "--geometric=2", "-d", "-l", "-q").code == 0
    if not done:
        remove_abandoned(folder, since=begun)
    return done and git("pack-refs", "--all").code == 0


def loose_objects(folder: Path) -> int:
    """About how many loose objects a repository has: those of one in 256 folders, 256 times."""
    return 256 * len(_names(folder / "objects" / "17"))


def packs(folder: Path) -> int:
    """How many packs it has."""
    return sum(name.endswith(".pack") for name in _names(folder / "objects" / "pack"))


def remove_abandoned(folder: Path, *, since: float | None = None) -> int:
    """Remove the temporary objects that a killed git left (`tmp_obj_*`, `tmp_pack_*` ...).

    Args:
        since: seconds since the epoch: those made after it, by our own command that has just
            ended; else those that nobody has written to for an hour.

    Returns:
        The number of bytes that came free.
    """
    freed = 0
    objects = folder / "objects"
    places = [objects, *(objects / name for name in _names(objects) if len(name) == 2)]
    for place in [*places, objects / "pack"]:
        for name in _names(place):
            if not name.startswith(("tmp_", ".tmp-")):
                continue
            path = place / name
            try:
                status = path.lstat()
                abandoned = time.time() - status.st_mtime > ABANDONED_SECONDS
                if path.is_file() and (abandoned if since is None else status.st_mtime >= since):
                    path.unlink()
                    freed += status.st_size
            except FileNotFoundError:
                continue
    return freed


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except FileNotFoundError:
        return []

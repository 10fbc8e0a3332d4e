"""One executor a laptop: a lock beside the journal."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path
from typing import Any

from nightdesk.errors import NightdeskError


class Alone:
    """Held by the one executor that runs; given back by `release`, or when the process ends.

    Args:
        folder: the journal's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "executor.lock"
        self._held: weakref.finalize[Any, Any] | None = None

    def take(self) -> None:
        """Make sure that no other executor runs.

        Raises:
            NightdeskError: another one does.
        """
        if self._held:
            return
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(handle)
            raise NightdeskError(
                "another agent-local is running on this laptop",
                remedy="Stop it first, or let it do the work",
                where=str(self._path),
            ) from e
        self._held = weakref.finalize(self, os.close, handle)

    def release(self) -> None:
        """Let another executor run."""
        if self._held:
            self._held()
            self._held = None

"""The watcher: something changed in a folder, look again. It never says what changed.

Watches are set before the first scan, and a rescan by time stands behind them, so a lost
event costs time and nothing else.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

_CHANGES = frozenset({"created", "modified", "moved", "deleted"})


class Signal:
    """A look-again flag that any thread may raise and one loop waits for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._last = 0.0

    def set(self) -> None:
        """Say: look again."""
        self._last = time.monotonic()
        self._event.set()

    def wait(self, timeout: float, *, quiet: float = 0.1, at_most: float = 2.0) -> bool:
        """Wait for the flag, then until nothing has changed for a moment.

        Args:
            timeout: seconds after which to look anyway.
            quiet: seconds without a further change that end the wait.
            at_most: seconds after which a stream of changes no longer delays the look.

        Returns:
            True if the flag was raised, False on time-out.
        """
        if not self._event.wait(timeout):
            return False
        first = time.monotonic()
        while time.monotonic() - self._last < quiet and time.monotonic() - first < at_most:
            time.sleep(min(quiet, 0.05))
        self._event.clear()
        return True


class Watch(FileSystemEventHandler):
    """Raises a signal when anything but a dot-path changes below the given folders."""

    def __init__(self, folders: list[Path], signal: Signal) -> None:
        self.signal = signal
        self._folders = folders
        self._observer = Observer()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in its own thread."""
        if event.event_type not in _CHANGES:
            return
        paths = [str(p) for p in (event.src_path, event.dest_path) if p]
        if any(not self._hidden(path) for path in paths):
            self.signal.set()

    def _hidden(self, path: str) -> bool:
        for folder in self._folders:
            try:
                parts = Path(path).relative_to(folder).parts
            except ValueError:
                continue
            return any(part.startswith(".") for part in parts)
        return False

    def __enter__(self) -> Self:
        for folder in self._folders:
            self._observer.schedule(self, str(folder), recursive=True)
        self._observer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._observer.stop()
        self._observer.join(timeout=2)

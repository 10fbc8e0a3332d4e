"""The watcher: something changed in a folder, look again. It never says what changed.

Watches are set before the first scan, and a rescan by time stands behind them, so a lost
event costs time and nothing else.
"""

from __future__ import annotations

import errno
import queue
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from nightdesk.errors import VaultUnavailable

# watchdog tells, at great length, of a race that it handles: a new folder is met twice.
warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)

_CHANGES = frozenset({"created", "modified", "moved", "deleted"})


class Signal:
    """A look-again flag that any thread, or a signal handler, may raise and one loop waits for."""

    def __init__(self) -> None:
        # Not threading.Event: its lock would hang a signal handler that interrupts a wait.
        self._raised: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._last = 0.0

    def set(self) -> None:
        """Say: look again."""
        self._last = time.monotonic()
        if self._raised.empty():
            self._raised.put(None)

    def wait(self, timeout: float, *, quiet: float = 0.1, at_most: float = 2.0) -> bool:
        """Wait for the flag, then until nothing has changed for a moment.

        What was said before this returns is covered by the look that follows it.

        Args:
            timeout: seconds after which to look anyway.
            quiet: seconds without a further change that end the wait.
            at_most: seconds after which a stream of changes no longer delays the look.

        Returns:
            True if the flag was raised, False on time-out.
        """
        try:
            self._raised.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return False
        deadline = time.monotonic() + at_most
        while (now := time.monotonic()) < min(deadline, self._last + quiet):
            time.sleep(min(deadline, self._last + quiet) - now)
        with suppress(queue.Empty):
            while True:
                self._raised.get_nowait()
        return True


class Watch(FileSystemEventHandler):
    """Raises a signal when anything but a dot-path changes below the given folders.

    Attributes:
        problem: why changes are not seen, or "". Work goes on then, by the rescan alone.
    """

    def __init__(self, folders: list[Path], signal: Signal) -> None:
        self.signal = signal
        self.problem = ""
        self._folders = folders
        self._observer = Observer()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in its own thread."""
        # A folder is "modified" by any temporary file in it; its entries tell for themselves.
        if event.event_type not in _CHANGES or (
            event.is_directory and event.event_type == "modified"
        ):
            return
        paths = [str(p) for p in (event.src_path, event.dest_path) if p]
        if any(not self._hidden(path) for path in paths):
            self.signal.set()

    def _hidden(self, path: str) -> bool:
        # A watched folder may itself lie in another's dot-path (a ref below `.git`).
        within = [folder for folder in self._folders if Path(path).is_relative_to(folder)]
        return all(
            any(part.startswith(".") for part in Path(path).relative_to(folder).parts)
            for folder in within
        )

    def __enter__(self) -> Self:
        for folder in self._folders:
            if not folder.is_dir():
                raise VaultUnavailable(
                    "the folder is not there",
                    remedy="Check its path and that its disk is mounted",
                    where=str(folder),
                )
            self._observer.schedule(self, str(folder), recursive=True)
        try:
            self._observer.start()
        except OSError as e:
            self._observer.unschedule_all()
            if e.errno not in {errno.ENOSPC, errno.EMFILE}:
                raise
            self.problem = (
                "the system watches too many files already; raise fs.inotify.max_user_watches "
                "and max_user_instances (changes are still found, but later)"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=2)

"""The watcher: something changed in a folder, look again; and, where asked, at which paths.

Watches are set before the first scan, and a rescan by time stands behind them, so a lost
event costs time and nothing else. What a watcher cannot tell it does not guess: then the
answer is "anywhere".
"""

from __future__ import annotations

import errno
import logging
import queue
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from nightdesk.errors import VaultUnavailable

# watchdog tells, at great length, of a race that it handles: a new folder is met twice.
warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)

# ... and of a race when a watcher stops.
logging.getLogger("watchdog.observers.inotify").addFilter(
    lambda record: "thread is inactive" not in record.getMessage()
)

_CHANGES = frozenset({"created", "modified", "moved", "deleted"})
_TOLD: list[type[FileSystemEvent]] = [
    FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileDeletedEvent,
    DirCreatedEvent, DirMovedEvent, DirDeletedEvent,
    FileAttribEvent, DirAttribEvent, FileClosedEvent,
]  # fmt: skip
"""What the kernel is asked to tell. Reading is not among it, so a scan of ours wakes nothing; a
changed permission or a write through memory is, but wakes nobody. A folder is "modified" by any
temporary file in it; its entries tell for themselves."""

MOST_PATHS = 20_000
"""More changed paths than this are "anywhere"."""
_COOKIE = ".nightdesk-look-"
_COOKIE_SECONDS = 2.0


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

    Args:
        follow: one of the folders, whose changed paths are collected for `take`.

    Attributes:
        problem: why changes are not seen, or "". Work goes on then, by the rescan alone.
    """

    def __init__(self, folders: list[Path], signal: Signal, *, follow: Path | None = None) -> None:
        self.signal = signal
        self.problem = ""
        self._folders = folders
        self._observer = Observer()
        self._follow = follow
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._anywhere = True
        self._new_folders = False
        self._late = 0
        self._cookie = ""
        self._cookie_seen = threading.Event()
        self._lost_events = _Lost(self)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in its own thread."""
        paths = [str(p) for p in (event.src_path, event.dest_path) if p]
        if self._follow:
            if event.event_type == "created" and self._cookie in paths:
                self._cookie_seen.set()
            else:
                self._collect(event, paths)
        if event.event_type in _CHANGES and any(not self._hidden(path) for path in paths):
            self.signal.set()

    def take(self) -> frozenset[str] | None:
        """The paths below the followed folder that changed since this was last called.

        Everything that changed before the call is among them: a file of our own is made in
        that folder's `.git`, and its event comes after theirs. Files and folders, relative
        to it; of a folder that moved, came or went, only the folder.

        Returns:
            None where the watcher cannot tell: then anything may have changed.
        """
        if self.problem or not self._follow or not self._observer.is_alive():
            return None
        in_time = self._wait_for_cookie(self._follow)
        with self._lock:
            changed, self._changed = frozenset(self._changed), set()
            anywhere, self._anywhere = self._anywhere, False
            new_folders, self._new_folders = self._new_folders, False
        if new_folders and not _has_room(self._follow):
            self.problem = _NO_ROOM
        if anywhere or self.problem or not in_time:
            return None
        return changed

    def lost(self) -> None:
        """Events were lost: what changed may lie anywhere."""
        with self._lock:
            self._anywhere = True
        self.signal.set()

    def _collect(self, event: FileSystemEvent, paths: list[str]) -> None:
        with self._lock:
            for path in paths:
                if path == str(self._follow):
                    self._anywhere = True
                within = path.removeprefix(f"{self._follow}/")
                hidden = any(part.startswith(".") for part in within.split("/"))
                if within == path or (hidden and within != ".gitignore"):
                    continue
                self._changed.add(within)
                self._new_folders |= event.is_directory
            if len(self._changed) > MOST_PATHS:
                self._changed.clear()
                self._anywhere = True

    def _wait_for_cookie(self, folder: Path) -> bool:
        """Wait until the events of all that happened so far have come in; False if too long."""
        self._cookie_seen.clear()
        hidden = folder / ".git"
        cookie = (hidden if hidden.is_dir() else folder) / f"{_COOKIE}{time.monotonic_ns()}"
        self._cookie = str(cookie)
        try:
            cookie.touch()
            seen = self._cookie_seen.wait(_COOKIE_SECONDS)
        except OSError:  # a full disk: it cannot be known then
            return False
        finally:
            self._cookie = ""
            cookie.unlink(missing_ok=True)
        self._late = 0 if seen else self._late + 1
        if self._late > 1:  # the folder was unmounted, or replaced by another: watch it anew
            self._late = 0
            self._observer.unschedule_all()
            with suppress(OSError):
                self._schedule()
        return seen

    def _hidden(self, path: str) -> bool:
        # A watched folder may itself lie in another's dot-path (a ref below `.git`).
        within = [folder for folder in self._folders if Path(path).is_relative_to(folder)]
        return all(
            any(part.startswith(".") for part in Path(path).relative_to(folder).parts)
            for folder in within
        )

    def _schedule(self) -> None:
        for folder in self._folders:
            self._observer.schedule(self, str(folder), recursive=True, event_filter=_TOLD)

    def __enter__(self) -> Self:
        for folder in self._folders:
            if not folder.is_dir():
                raise VaultUnavailable(
                    "the folder is not there",
                    remedy="Check its path and that its disk is mounted",
                    where=str(folder),
                )
        self._schedule()
        logging.getLogger("watchdog").addHandler(self._lost_events)
        try:
            self._observer.start()
        except OSError as e:
            self._observer.unschedule_all()
            if e.errno not in _LIMITS:
                raise
            self.problem = _NO_ROOM
        if self._follow:
            for left in (self._follow / ".git").glob(f"{_COOKIE}*"):
                left.unlink(missing_ok=True)
            if not self.problem and not _has_room(self._follow):
                self.problem = _NO_ROOM
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        logging.getLogger("watchdog").removeHandler(self._lost_events)
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=2)


_LIMITS = frozenset({errno.ENOSPC, errno.EMFILE})
_NO_ROOM = (
    "the system watches too many files already; raise fs.inotify.max_user_watches "
    "and max_user_instances (changes are still found, but later)"
)


def _has_room(folder: Path) -> bool:
    """Whether one more folder could be watched.

    watchdog passes over subfolders that it could not watch without a word. They have used up
    the last watch then, so another one cannot be had either.
    """
    probe = Observer()
    probe.schedule(FileSystemEventHandler(), str(folder), recursive=False)
    try:
        probe.start()
    except OSError as e:
        return e.errno not in _LIMITS
    finally:
        probe.stop()
        if probe.is_alive():
            probe.join(timeout=2)
    return True


class _Lost(logging.Handler):
    """Listens to what watchdog warns of: an overflow of the kernel's queue is told nowhere else."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.WARNING)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        self._watch.lost()

"""One line whenever the hub's branch moves, over a held connection: "fetch now", nothing more.

The words are those of `sync.notice`. Without an answer for 60 s, at the end of the input, on a
broken pipe or when the parent is gone, the watch ends, so that none outlives its connection.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

from nightdesk.sync.notice import ALIVE, GREETING, HEARTBEAT_SECONDS, MOVED, SILENCE_SECONDS

_BRANCH = "refs/heads/main"
_LOOK_SECONDS = 0.1

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Branch:
    """The branch `main` of a bare repository, read without git.

    A look costs one `stat` a file; the files are read only when one of them has changed.
    """

    def __init__(self, repository: Path) -> None:
        self._loose = repository / _BRANCH
        self._packed = repository / "packed-refs"
        # The other storage that git knows: its list of tables changes with every ref.
        self._tables = repository / "reftable" / "tables.list"
        self._stamp: _Stamp = ()
        self._value = b""
        self.has_moved()

    def has_moved(self) -> bool:
        """Whether the branch points elsewhere than at the last look."""
        stamp = tuple(_stamp(file) for file in (self._loose, self._packed, self._tables))
        if stamp == self._stamp:
            return False
        # First the stamp, then the value: a change in between is seen by the next look.
        before, self._stamp = self._value, stamp
        self._value = self._read()
        return self._value != before

    def _read(self) -> bytes:
        if loose := _content(self._loose).strip():
            return loose
        for line in _content(self._packed).splitlines():
            oid, _, name = line.partition(b" ")
            if name == _BRANCH.encode():
                return oid
        return _content(self._tables)


def watch_refs(repository: Path, arguments: Sequence[str]) -> int:
    """Write a line to standard output whenever the branch moves, until nobody listens.

    Returns:
        The exit code, 0.
    """
    branch = Branch(repository)
    parent = os.getppid()
    heard = beaten = time.monotonic()
    try:
        _say(GREETING)
        while os.getppid() == parent:
            if select.select([0], [], [], _LOOK_SECONDS)[0]:
                if not os.read(0, 4096):
                    break
                heard = time.monotonic()
            if branch.has_moved():
                _say(MOVED)
            now = time.monotonic()
            if now - heard > SILENCE_SECONDS:
                break
            if now - beaten >= HEARTBEAT_SECONDS:
                beaten = now
                _say(ALIVE)
    except OSError:  # a broken pipe, a closed input: nobody is there any more
        pass
    return 0


def _say(word: str) -> None:
    os.write(1, word.encode() + b"\n")


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""

"""The snapshot: the work tree as a path map, read through the guard.

Every file is looked at, its bytes are read only when size, times or inode changed, and what
is stored are the very bytes that passed the guard.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nightdesk.errors import VaultUnavailable
from nightdesk.sync.canary import CANARY_FILE
from nightdesk.sync.entries import Entry, HeldBack, entry_of, printable
from nightdesk.sync.exclude import GITIGNORE, excluded, fault_in_path
from nightdesk.sync.git import Git
from nightdesk.sync.secrets import Guard
from nightdesk.vault.files import read_regular
from nightdesk.vault.layout import Folder

MAX_FILE_BYTES = 32 * 1024 * 1024
_BATCH_BYTES = 32 * 1024 * 1024
_RACY_NS = 1_000_000_000
"""A file changed less than a second before it was read may change again unseen: read it again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look at one file found.

    Attributes:
        entry: what it holds; None where it could not be read or must not be stored.
        reason: why it is held back; "" where it is not.
        leaves_hub: whether the hub's version of it goes too.
        ignored: whether the vault's ignore file names it.
    """

    entry: Entry | None
    reason: str = ""
    line: int = 0
    leaves_hub: bool = False
    ignored: bool = False
    key: tuple[int, int, int] = (0, 0, 0)
    read_at: int = 0


@dataclass(slots=True)
class Snapshot:
    """The work tree as sync sees it.

    Attributes:
        entries: what takes part in sync.
        times: path -> modification time, seconds since the epoch.
        held: what stays on this machine, and why.
        stuck: held files whose version in the hub stays as it is.
        occupied: paths of this disk that sync may not write over -> the id of the bytes there,
            "" where it is not known.
        waiting: files in `Approved/` that the journal has not recorded yet.
        unread: folders that could not be listed ("a/b/").
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    held: list[HeldBack] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    occupied: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, Entry] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


class Scanner:
    """Looks at one vault again and again.

    Args:
        withhold: whether a path in `Approved/` must not be told yet.
    """

    def __init__(
        self,
        vault: Path,
        git: Git,
        guard: Guard,
        withhold: Callable[[str], bool] | None = None,
    ) -> None:
        self._vault = vault
        self._git = git
        self._guard = guard
        self._withhold = withhold
        self._seen: dict[str, Seen] = {}
        self._stored: set[str] = set()
        self._ignore_file: Entry | None = None

    def scan(self, base: Mapping[str, Entry], *, full: bool = False) -> Snapshot:
        """Look at the work tree.

        Args:
            base: what the vault held when it was last in step; its bytes are stored already.
            full: read every file, whatever its times say.

        Raises:
            VaultUnavailable: the folder is missing, cannot be listed, or is empty while
                `base` is not.
        """
        snapshot = Snapshot()
        found = self._list(snapshot)
        if base and not found:
            raise VaultUnavailable(
                "the vault is empty, but it was not",
                remedy="Mount it again or put its files back; nothing was removed elsewhere",
                where=str(self._vault),
            )
        ignore_file = self._look_at_ignore_file(found)
        if full or ignore_file != self._ignore_file:
            self._seen.clear()
        self._ignore_file = ignore_file
        self._read_changed(found, base)
        for path, status in found.items():
            seen = self._seen.get(path)
            if seen and seen.ignored:
                snapshot.occupied[path] = ""
            elif seen:
                self._place(snapshot, path, seen, status)
        return snapshot

    def _list(self, snapshot: Snapshot) -> dict[str, os.stat_result]:
        try:
            if not (self._vault / ".git").exists():
                raise FileNotFoundError(errno.ENOENT, "the folder or its .git is missing")
            return dict(self._walk("", snapshot))
        except OSError as e:
            raise VaultUnavailable(
                f"the vault cannot be read ({e.strerror})",
                remedy="Check that the folder is there, mounted and yours",
                where=str(self._vault),
            ) from e

    def _walk(self, prefix: str, snapshot: Snapshot) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(self._vault / prefix) as listing:
                entries = list(listing)
        except OSError as e:
            if not prefix:
                raise
            if e.errno not in {errno.ENOENT, errno.ENOTDIR}:
                self._hold(
                    snapshot, prefix.rstrip("/"), f"the folder cannot be listed ({e.strerror})"
                )
                snapshot.unread.append(prefix)
            return
        if prefix and self._is_private_copy(prefix, entries):
            self._hold(snapshot, prefix.rstrip("/"), "it is a copy of an agent's state folder")
            return
        for entry in entries:
            if entry.name.startswith(".") and (prefix or entry.name != GITIGNORE):
                continue
            path = prefix + entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since it was listed
            if stat.S_ISDIR(status.st_mode):
                reason = excluded(path)
                if reason:
                    self._hold(snapshot, path, reason)
                else:
                    yield from self._walk(f"{path}/", snapshot)
            elif stat.S_ISREG(status.st_mode):
                yield path, status
            else:
                kind = "a link" if stat.S_ISLNK(status.st_mode) else "no ordinary file"
                self._hold(snapshot, path, f"it is {kind}")
                snapshot.stuck.add(path)

    def _is_private_copy(self, prefix: str, entries: list[os.DirEntry[str]]) -> bool:
        """Whether the canary lies in this folder: then it is a state folder, or a copy of one."""
        if not any(entry.name == CANARY_FILE for entry in entries):
            return False
        try:
            return self._guard.marks_copy(read_regular(self._vault / prefix / CANARY_FILE, 1024))
        except OSError:
            return False

    def _hold(self, snapshot: Snapshot, path: str, reason: str, line: int = 0) -> None:
        snapshot.held.append(HeldBack(printable(self._guard.shown(path)), reason, line))
        snapshot.occupied.setdefault(path, "")

    def _look_at_ignore_file(self, found: Mapping[str, os.stat_result]) -> Entry | None:
        if GITIGNORE not in found:
            return None
        try:
            return entry_of(read_regular(self._vault / GITIGNORE, MAX_FILE_BYTES))
        except OSError:
            return None

    def _read_changed(self, found: Mapping[str, os.stat_result], base: Mapping[str, Entry]) -> None:
        for path in self._seen.keys() - found.keys():
            del self._seen[path]
        changed: list[str] = []
        for path, status in found.items():
            seen = self._seen.get(path)
            if not (seen and seen.key == _key(status) and seen.read_at - seen.key[1] > _RACY_NS):
                changed.append(path)
        new = [p for p in changed if p not in base and not excluded(p) and not fault_in_path(p)]
        ignored = self._git.ignored(new)
        if not self._stored:
            self._stored = {entry.oid for entry in base.values()}
        blobs: dict[str, bytes] = {}
        size = 0
        in_hub = cache(lambda: {entry.oid for entry in base.values()})
        for path in changed:
            self._seen.pop(path, None)
            if path in ignored:
                self._seen[path] = Seen(
                    None, ignored=True, key=_key(found[path]), read_at=time.time_ns()
                )
                continue
            seen, data = self._read(path, found[path], in_hub)
            if seen is None:
                continue
            self._seen[path] = seen
            if data is None or seen.entry is None or seen.entry == base.get(path):
                continue
            if seen.entry.oid not in self._stored:
                blobs[seen.entry.oid] = data
                size += len(data)
                if size > _BATCH_BYTES:
                    self._store(blobs)
                    size = 0
        self._store(blobs)

    def _store(self, blobs: dict[str, bytes]) -> None:
        self._git.write(list(blobs.values()))
        self._stored.update(blobs)
        blobs.clear()

    def _read(
        self, path: str, status: os.stat_result, in_hub: Callable[[], set[str]]
    ) -> tuple[Seen | None, bytes | None]:
        key, now = _key(status), time.time_ns()
        reason = excluded(path) or (None if path == GITIGNORE else fault_in_path(path))
        if reason:
            return Seen(None, reason, leaves_hub=True, key=key, read_at=now), None
        try:
            data = read_regular(self._vault / path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return None, None
        except OSError as e:
            large = e.errno == errno.EFBIG
            why = (
                f"larger than {MAX_FILE_BYTES >> 20} MiB" if large else f"unreadable ({e.strerror})"
            )
            return Seen(None, f"it is {why}", key=key, read_at=now), None
        hit = self._guard.check(path, data)
        if hit and not (hit.known_is_fine and entry_of(data).oid in in_hub()):
            entry = entry_of(data)
            return Seen(entry, hit.reason, hit.line, hit.leaves_hub, key=key, read_at=now), None
        return Seen(entry_of(data), key=key, read_at=now), data

    def _place(self, snapshot: Snapshot, path: str, seen: Seen, status: os.stat_result) -> None:
        if seen.reason:
            self._hold(snapshot, path, seen.reason, seen.line)
            snapshot.occupied[path] = seen.entry.oid if seen.entry else ""
            if not seen.leaves_hub:
                snapshot.stuck.add(path)
            return
        assert seen.entry is not None
        snapshot.times[path] = status.st_mtime
        if self._withhold and path.startswith(f"{Folder.APPROVED}/") and self._withhold(path):
            snapshot.waiting[path] = seen.entry
            snapshot.occupied[path] = seen.entry.oid
        else:
            snapshot.entries[path] = seen.entry


def _key(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino

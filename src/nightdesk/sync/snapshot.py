"""The snapshot: the work tree as a path map, read through the guard.

A file's bytes are read only when size, times or inode changed, and what is stored are the
very bytes that passed the guard. What is known of the other files is kept from look to look,
so a look at a few paths costs what they cost.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nightdesk.errors import VaultUnavailable
from nightdesk.sync.canary import CANARY_FILE
from nightdesk.sync.disk import Found, Key, Seen, list_at, places_to_look
from nightdesk.sync.entries import Entry, HeldBack, PathMap, entry_of, printable
from nightdesk.sync.exclude import GITIGNORE, excluded, fault_in_path
from nightdesk.sync.git import Git
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Paths
from nightdesk.sync.secrets import Guard
from nightdesk.vault.files import read_regular
from nightdesk.vault.layout import Folder

MAX_FILE_BYTES = 32 * 1024 * 1024
_BATCH_BYTES = 32 * 1024 * 1024
_RACY_NS = 1_000_000_000
"""A file changed less than a second before it was read may change again unseen: read it again."""


@dataclass(slots=True)
class Snapshot:
    """The work tree as sync sees it; good until the next look.

    Attributes:
        entries: what takes part in sync.
        held: what stays on this machine, and why.
        stuck: held files whose version in the hub stays as it is.
        occupied: paths of this disk that sync may not write over -> the id of the bytes there,
            "" where it is not known.
        waiting: files in `Approved/` that the journal has not recorded yet.
        unread: folders that could not be listed ("a/b").
        seen: everything that was found.
    """

    entries: Paths[Entry] = field(default_factory=Paths)
    held: Collection[HeldBack] = ()
    stuck: Collection[str] = ()
    occupied: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, Entry] = field(default_factory=dict)
    unread: Collection[str] = ()
    seen: Paths[Seen] = field(default_factory=Paths)

    def time_of(self, path: str) -> float:
        """When a file was last changed, seconds since the epoch; 0 for one that is not there."""
        seen = self.seen.get(path)
        return seen.key[1] / 1e9 if seen and seen.key else 0.0


class Scanner:
    """Looks at one vault again and again.

    Args:
        withhold: whether a path in `Approved/` must not be told yet.
        note: told the path, id and bytes of every file that is read and may be stored.
    """

    def __init__(
        self,
        vault: Path,
        git: Git,
        guard: Guard,
        withhold: Callable[[str], bool] | None = None,
        note: Callable[[str, str, bytes], None] = lambda path, oid, data: None,
    ) -> None:
        self._vault = vault
        self._git = git
        self._guard = guard
        self._withhold = withhold
        self._note = note
        self._seen: Paths[Seen] = Paths()
        self._entries: Paths[Entry] = Paths()
        self._held: dict[str, HeldBack] = {}
        self._stuck: set[str] = set()
        self._occupied: dict[str, str] = {}
        self._unread: set[str] = set()
        # Looked at again each time: what may have changed unseen, and what no watch reaches.
        self._again: set[str] = set()
        self._racy: set[str] = set()
        self._unwatched: set[str] = set()
        self._everything = True
        self._stored: set[str] = set()
        self._ignore_file: Entry | None = None

    def look_again(self, paths: Iterable[str]) -> None:
        """Have these paths looked at by the next scan, whoever changed them."""
        self._again.update(paths)

    def scan(
        self, base: PathMap, *, full: bool = False, changed: Iterable[str] | None = None
    ) -> Snapshot:
        """Look at the work tree.

        Args:
            base: what the vault held when it was last in step; its bytes are stored already.
            full: read every file, whatever its times say.
            changed: the paths (files or folders) that may have changed since the last scan;
                None to list the whole vault. They are hints: the disk says what is there.

        Raises:
            VaultUnavailable: the folder is missing, cannot be listed, or is empty while
                `base` is not.
        """
        if changed is None:
            self._everything = True
        else:
            self._again.update(changed)
        ignore_file = self._look_at_ignore_file()
        reread = full or ignore_file != self._ignore_file
        places = [""]
        if not (self._everything or reread):
            looks = self._again | self._racy | self._unwatched
            places = places_to_look(self._vault, looks, self._is_private_copy)
        found, gone = self._list(places)
        if base and not self._any_file(found, gone, places):
            raise VaultUnavailable(
                "the vault is empty, but it was not",
                remedy="Mount it again or put its files back; nothing was removed elsewhere",
                where=str(self._vault),
            )
        if reread:
            self._ignore_file = None  # until all of it was read
        self._take_in(self._read_changed(found, base, reread=reread), gone)
        self._entries = self._entries.sharing(Paths.of(base))
        self._ignore_file = ignore_file
        self._again.clear()
        self._everything = False
        return self._snapshot()

    def _list(self, places: Iterable[str]) -> tuple[dict[str, Found], list[str]]:
        try:
            if not (self._vault / ".git").exists():
                raise FileNotFoundError(errno.ENOENT, "the folder or its .git is missing")
            found: dict[str, Found] = {}
            gone: list[str] = []
            for place in places:
                found.update(list_at(self._vault, place, self._is_private_copy))
                gone += [path for path, _ in self._seen.below(place) if path not in found]
                if place in self._seen and place not in found:
                    gone.append(place)
        except OSError as e:
            raise VaultUnavailable(
                f"the vault cannot be read ({e.strerror})",
                remedy="Check that the folder is there, mounted and yours",
                where=str(self._vault),
            ) from e
        return found, gone

    def _is_private_copy(self, folder: str) -> bool:
        """Whether the canary lies in this folder: then it is a state folder, or a copy of one."""
        try:
            return self._guard.marks_copy(read_regular(self._vault / folder / CANARY_FILE, 1024))
        except OSError:
            return False

    def _any_file(
        self, found: Mapping[str, Found], gone: Iterable[str], places: Sequence[str]
    ) -> bool:
        """Whether an ordinary file is left in the vault."""
        if any(not isinstance(what, Seen) for what in found.values()):
            return True
        if places == [""]:
            return False
        left = self._seen.updated(dict.fromkeys([*gone, *found]))
        return any(seen.key for _, seen in left.below(""))

    def _look_at_ignore_file(self) -> Entry | None:
        try:
            return entry_of(read_regular(self._vault / GITIGNORE, MAX_FILE_BYTES))
        except OSError:
            return None

    def _read_changed(
        self, found: Mapping[str, Found], base: PathMap, *, reread: bool
    ) -> dict[str, Seen | None]:
        """Read what is new or not as it was; None for what vanished meanwhile."""
        looked: dict[str, Seen | None] = {}
        keys: dict[str, Key] = {}
        new: list[str] = []
        for path, what in found.items():
            seen = self._seen.get(path)
            if isinstance(what, Seen):
                looked[path] = what
            elif reread or not seen or seen.key != what or seen.racy:
                keys[path] = what
                unchanged = not reread and seen and seen.key == what and seen.entry
                if not (unchanged or path in base or excluded(path) or fault_in_path(path)):
                    new.append(path)
        ignored = self._git.ignored(new)
        if not self._stored:
            self._stored = {entry.oid for entry in base.values()}
        blobs: dict[str, bytes] = {}
        size = 0
        in_hub = cache(lambda: {entry.oid for entry in base.values()})
        for path, key in keys.items():
            if path in ignored:
                looked[path] = Seen(None, ignored=True, key=key)
                continue
            seen, data = self._read(path, key, base.get(path), in_hub)
            looked[path] = seen
            if seen is None or seen.entry is None or data is None:
                continue
            self._note(path, seen.entry.oid, data)
            if seen.entry != base.get(path) and seen.entry.oid not in self._stored:
                blobs[seen.entry.oid] = data
                size += len(data)
                if size > _BATCH_BYTES:
                    self._store(blobs)
                    size = 0
        self._store(blobs)
        return looked

    def _store(self, blobs: dict[str, bytes]) -> None:
        self._git.write(list(blobs.values()))
        self._stored.update(blobs)
        blobs.clear()

    def _read(
        self, path: str, key: Key, base: Entry | None, in_hub: Callable[[], set[str]]
    ) -> tuple[Seen | None, bytes | None]:
        racy = time.time_ns() - key[1] <= _RACY_NS
        if base is None:  # what is in step has a name that may be
            reason = excluded(path) or (None if path == GITIGNORE else fault_in_path(path))
            if reason:
                return Seen(None, reason, leaves_hub=True, key=key, racy=racy), None
        try:
            data = read_regular(self._vault / path, MAX_FILE_BYTES)
        except FileNotFoundError:
            return None, None
        except OSError as e:
            large = e.errno == errno.EFBIG
            why = (
                f"larger than {MAX_FILE_BYTES >> 20} MiB" if large else f"unreadable ({e.strerror})"
            )
            return Seen(None, f"it is {why}", key=key, racy=racy), None
        entry = entry_of(data)
        if entry == base:
            entry = base  # one object for both: less memory, and compared at once
        hit = self._guard.check(path, data)
        if hit and not (hit.known_is_fine and entry.oid in in_hub()):
            return Seen(entry, hit.reason, hit.line, hit.leaves_hub, key=key, racy=racy), None
        return Seen(entry, key=key, racy=racy), data

    def _take_in(self, looked: Mapping[str, Seen | None], gone: Iterable[str]) -> None:
        """Make what was found part of what is known."""
        changes: dict[str, Seen | None] = {**dict.fromkeys(gone), **looked}
        self._seen = self._seen.updated(changes)
        self._entries = self._entries.updated(
            {p: s.entry if s and not s.reason and not s.ignored else None
             for p, s in changes.items()}
        )  # fmt: skip
        for path, seen in changes.items():
            self._held.pop(path, None)
            self._occupied.pop(path, None)
            for marked in (self._stuck, self._unread, self._racy):
                marked.discard(path)
            if seen is None:
                continue
            if seen.racy:
                self._racy.add(path)
            if seen.reason:
                shown = printable(self._guard.shown(path))
                self._held[path] = HeldBack(shown, seen.reason, seen.line)
                if not seen.leaves_hub:
                    self._stuck.add(path)
            if seen.reason or seen.ignored:
                self._occupied[path] = seen.entry.oid if seen.entry else ""
            if seen.unread:
                self._unread.add(path)
                self._unwatched.add(path)

    def _snapshot(self) -> Snapshot:
        withheld = self._withhold or (lambda path: False)
        approved = self._entries.below(Folder.APPROVED)
        waiting = {p: e for p, e in approved if is_state_note(p) and withheld(p)}
        occupied = {**self._occupied, **{p: e.oid for p, e in waiting.items()}}
        return Snapshot(
            entries=self._entries.updated(dict.fromkeys(waiting)),
            held=self._held.values(),
            stuck=self._stuck,
            occupied=occupied if waiting else self._occupied,
            waiting=waiting,
            unread=self._unread,
            seen=self._seen,
        )

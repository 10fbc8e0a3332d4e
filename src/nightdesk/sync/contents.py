"""The bytes behind the ids: read in batches, kept while they are small and wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.frontmatter import id_of
from nightdesk.sync.git import Git
from nightdesk.sync.index import Index
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import changes_between
from nightdesk.vault.layout import place_of

_AT_ONCE = 500


class Contents:
    """Reads blobs, and remembers which id each note in a state folder carries."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._ids: dict[str, str] = {}
        self._blobs: dict[str, bytes] = {}
        self._by_id = Index(lambda path, entry: self.ident(path, entry)[0])
        self._by_name = Index(lambda path, _: place_of(path).name)

    def note(self, path: str, oid: str, data: bytes) -> None:
        """Learn the id of a note whose bytes are at hand."""
        if oid not in self._ids and is_state_note(path):
            name, said = id_of(place_of(path), data)
            self._ids[oid] = name if said else ""

    def learn(self, *sides: PathMap) -> None:
        """Read, in batches, every note of the state folders whose id is not known yet.

        The index of ids then stands at the first side; the others should be near it.
        """
        unknown = {
            entry.oid: path
            for side in sides
            for path, entry in changes_between(self._by_id.at, side).items()
            if entry and entry.oid not in self._ids and is_state_note(path)
        }
        oids = list(unknown)
        for start in range(0, len(oids), _AT_ONCE):
            for oid, data in self._git.read(oids[start : start + _AT_ONCE]).items():
                self.note(unknown[oid], oid, data)
        for side in sides[:1]:
            self._by_id.follow(side)

    def find(self, side: PathMap, ids: Collection[str]) -> Mapping[str, list[str]]:
        """The paths of the state notes that carry each of these ids in a map, in order."""
        return self._by_id.find(side, ids)

    def named(self, side: PathMap, name: str) -> list[str]:
        """The paths of the state notes with this file name in a map, in order."""
        if not self._by_name.at:
            self._by_name.follow(side)
        return self._by_name.find(side, [name])[name]

    def ident(self, path: str, entry: Entry) -> tuple[str, bool]:
        """The id of a note in a state folder, and whether the note itself says it."""
        if entry.oid not in self._ids:
            self.note(path, entry.oid, self._git.read([entry.oid])[entry.oid])
        said = self._ids[entry.oid]
        return (said, True) if said else (place_of(path).stem, False)

    def read(self, oid: str) -> bytes:
        """The bytes of one blob."""
        return self.read_all([oid])[oid]

    def read_all(self, oids: Iterable[str]) -> Mapping[str, bytes]:
        """The bytes of many blobs, in one go."""
        wanted = set(oids)
        self._blobs.update(self._git.read([oid for oid in wanted if oid not in self._blobs]))
        return {oid: self._blobs[oid] for oid in wanted}

    def forget(self) -> None:
        """Drop the bytes (not the ids) that a cycle has read."""
        self._blobs.clear()

"""The bytes behind the ids: read in batches, kept while they are small and wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.frontmatter import id_of
from nightdesk.sync.git import Git
from nightdesk.sync.pairing import is_state_note
from nightdesk.vault.layout import place_of

_AT_ONCE = 500


class Contents:
    """Reads blobs, and remembers which id each note in a state folder carries."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._ids: dict[str, str] = {}
        self._blobs: dict[str, bytes] = {}

    def learn(self, *sides: PathMap) -> None:
        """Read, in batches, every note of the state folders whose id is not known yet."""
        unknown = {
            entry.oid: path
            for side in sides
            for path, entry in side.items()
            if entry.oid not in self._ids and is_state_note(path)
        }
        oids = list(unknown)
        for start in range(0, len(oids), _AT_ONCE):
            for oid, data in self._git.read(oids[start : start + _AT_ONCE]).items():
                name, said = id_of(place_of(unknown[oid]), data)
                self._ids[oid] = name if said else ""

    def ident(self, path: str, entry: Entry) -> tuple[str, bool]:
        """The id of a note in a state folder, and whether the note itself says it."""
        if entry.oid not in self._ids:
            self.learn({path: entry})
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

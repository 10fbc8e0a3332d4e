"""Finding notes of the state folders by what they are called, not where they lie.

The index stands at one map and answers for any map near it: the few paths that differ are
looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Paths, changes_between

NEAR = 1000
"""A map that differs in more paths is not near: the index moves to it."""


class Index:
    """Name -> the paths of the state notes that bear it.

    Args:
        name_of: the name of a note: the id that it carries, or its file name.
    """

    def __init__(self, name_of: Callable[[str, Entry], str]) -> None:
        self._name_of = name_of
        self._paths: dict[str, frozenset[str]] = {}
        self.at: Paths[Entry] = Paths()

    def follow(self, side: PathMap) -> None:
        """Stand at this map from now on."""
        side = Paths.of(side)
        for path, entry in changes_between(self.at, side).items():
            if not is_state_note(path):
                continue
            was = self.at.get(path)
            if was is not None:
                name = self._name_of(path, was)
                left = self._paths.pop(name, frozenset()) - {path}
                if left:
                    self._paths[name] = left
            if entry is not None:
                name = self._name_of(path, entry)
                self._paths[name] = self._paths.get(name, frozenset()) | {path}
        self.at = side

    def find(self, side: PathMap, names: Collection[str]) -> dict[str, list[str]]:
        """The paths that bear each of these names in a map, in order; none is an empty list."""
        side = Paths.of(side)
        changes = changes_between(self.at, side)
        if len(changes) > NEAR:
            self.follow(side)
            changes = {}
        found = {name: set(self._paths.get(name, ())) - changes.keys() for name in names}
        for path, entry in changes.items():
            if entry is not None and is_state_note(path):
                name = self._name_of(path, entry)
                if name in found:
                    found[name].add(path)
        return {name: sorted(paths) for name, paths in found.items()}

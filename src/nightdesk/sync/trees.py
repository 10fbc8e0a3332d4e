"""Trees: git's form of a path map, built with an index of our own, never the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nightdesk.sync.entries import Entry
from nightdesk.sync.git import Git
from nightdesk.sync.parsing import ZERO


class Trees:
    """Writes trees through one private index file, changing only what differs.

    Args:
        index: its file, in the agent's state folder.
    """

    def __init__(self, git: Git, index: Path) -> None:
        self._git = git
        self._index = index
        self._at: str | None = None
        self._last: tuple[str | None, Mapping[str, Entry | None], str] | None = None
        # We hold the daemon's lock, so a lock or an index of a killed run is nobody's.
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
        index.unlink(missing_ok=True)

    def write(self, start: str | None, changes: Mapping[str, Entry | None]) -> str:
        """Make the tree that differs from `start` by `changes`.

        Args:
            start: a tree or commit; None for the empty tree.
            changes: path -> new entry, None to remove.

        Returns:
            The id of the new tree.
        """
        if self._last and self._last[:2] == (start, changes):
            return self._last[2]
        if self._at is None or self._at != start:
            self._at = None
            self._git.call("read-tree", *([start] if start else ["--empty"]), index=self._index)
        self._at = None
        if changes:
            # Removals first: a file may take the place of a folder.
            removed = [path for path, entry in changes.items() if entry is None]
            lines = [f"0 {ZERO}\t{path}\0" for path in removed]
            lines += [f"{e.mode} {e.oid}\t{path}\0" for path, e in changes.items() if e]
            stream = "".join(lines).encode("utf-8", "surrogateescape")
            self._git.call("update-index", "-z", "--index-info", stdin=stream, index=self._index)
        tree = self._git.call("write-tree", index=self._index).out.decode().strip()
        self._at = tree
        self._last = (start, dict(changes), tree)
        return tree

    def stands_at(self, start: str) -> None:
        """Tell that the tree last written is also the tree of this commit, to save a re-read."""
        if self._at is not None:
            self._at = start


def changes_between(
    start: Mapping[str, Entry], end: Mapping[str, Entry]
) -> dict[str, Entry | None]:
    """What turns one path map into another."""
    changes: dict[str, Entry | None] = dict.fromkeys(start.keys() - end.keys())
    return changes | dict(end.items() - start.items())


def patched(start: Mapping[str, Entry], changes: Mapping[str, Entry | None]) -> dict[str, Entry]:
    """A path map after changes (None: removed)."""
    result = dict(start)
    for path, entry in changes.items():
        if entry is None:
            result.pop(path, None)
        else:
            result[path] = entry
    return result

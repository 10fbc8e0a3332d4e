"""Trees: git's form of a path map, made by git itself out of another tree and what changed.

`git fast-import` reads only the folders on the way to the changed paths, so a tree of 100,000
notes costs no more than one of a thousand. Nothing here touches the person's index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nightdesk.errors import SyncHalted
from nightdesk.sync.entries import Entry
from nightdesk.sync.git import Git
from nightdesk.sync.parsing import ZERO

_SCRATCH = "refs/nightdesk/scratch"
"""What fast-import calls its branch; the same call removes it."""


class Trees:
    """Writes trees; remembers the last one, which is often wanted twice."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._last: tuple[str | None, Mapping[str, Entry | None], str] | None = None

    def write(self, start: str | None, changes: Mapping[str, Entry | None]) -> str:
        """Make the tree that differs from `start` by `changes`.

        Args:
            start: a commit; None for the empty tree.
            changes: path -> new entry, None to remove.

        Returns:
            The id of the new tree.

        Raises:
            SyncHalted: git could not make it (a full disk, a missing object).
        """
        if self._last and self._last[:2] == (start, changes):
            return self._last[2]
        stream = "".join(_commands(start, changes)).encode("utf-8", "surrogateescape")
        said = self._git.call("fast-import", "--quiet", "--force", stdin=stream).out.decode()
        kind, _, tree = said.partition("\t")[0].rpartition(" ")
        if kind != "040000 tree":
            raise SyncHalted(
                f"git made no tree: {said.strip() or 'it said nothing'}",
                remedy="Run `git fsck` in the vault",
                where=str(self._git.vault),
            )
        self._last = (start, dict(changes), tree)
        return tree


def _commands(start: str | None, changes: Mapping[str, Entry | None]) -> Iterator[str]:
    """The words of git-fast-import(1): a commit that nobody keeps, and the id of its root."""
    yield f"commit {_SCRATCH}\ncommitter nightdesk <nightdesk@nightdesk.invalid> 0 +0000\ndata 0\n"
    if start:
        yield f"from {start}\n"
    # Removals first: a file may take the place of a folder.
    for path, entry in changes.items():
        if entry is None:
            yield f"D {_quoted(path)}\n"
    for path, entry in changes.items():
        if entry is not None:
            yield f"M {entry.mode} {entry.oid} {_quoted(path)}\n"
    yield f'ls ""\nreset {_SCRATCH}\nfrom {ZERO}\n\n'


def _quoted(path: str) -> str:
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'

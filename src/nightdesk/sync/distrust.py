"""What a cloud agent does not believe: paths of the hub that its owner has not written.

The laptop undoes what the gate refuses. A cloud agent may not write there, so it goes on seeing
what was there before, until the laptop has put the path right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from nightdesk.sync.commits import Listing
from nightdesk.sync.entries import Entry
from nightdesk.vault.files import write


class Distrust:
    """Paths with two states: what the hub has, and what this agent goes on seeing.

    Args:
        file: where it is kept across restarts.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._paths: dict[str, tuple[Entry | None, Entry | None]] = {}
        with suppress(FileNotFoundError, ValueError):
            for path, (bad, good) in json.loads(file.read_text("utf-8")).items():
                self._paths[path] = (_entry(bad), _entry(good))
        self._kept = dict(self._paths)

    def lay_over(self, listing: Listing) -> Listing:
        """The listing as this agent sees it."""
        hidden = {
            path: good
            for path, (bad, good) in self._paths.items()
            if listing.vault.get(path) == bad and bad != good
        }
        return Listing(listing.vault.updated(hidden), listing.alien) if hidden else listing

    def settled_by(self, owners: Mapping[str, Entry]) -> dict[str, Entry | None]:
        """What the owner's newest judged commit makes of the paths that were not believed.

        The owner has looked since: what stands there now is the owner's word, also where it is
        just what the stranger had made of it.

        Args:
            owners: what that commit holds.
        """
        said = {path: owners.get(path) for path in self._paths}
        self._paths.clear()
        return said

    def learn(
        self, refused: Iterable[str], tip: Mapping[str, Entry], seen: Mapping[str, Entry]
    ) -> None:
        """Note refused paths, and forget those that are right again.

        Args:
            refused: paths whose last change was not allowed.
            tip: what the hub holds.
            seen: what the allowed changes make of it.
        """
        for path in refused:
            if tip.get(path) != seen.get(path):
                self._paths[path] = (tip.get(path), seen.get(path))
        for path, (bad, _) in list(self._paths.items()):
            if tip.get(path) != bad:
                del self._paths[path]
        if self._paths != self._kept:
            write(self._file, json.dumps(self._paths, ensure_ascii=True).encode())
            self._kept = dict(self._paths)


def _entry(kept: list[str] | None) -> Entry | None:
    return Entry(*kept) if kept else None

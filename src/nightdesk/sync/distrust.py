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

Doubts = Mapping[str, tuple[Entry | None, Entry | None]]
"""Path -> what the hub has there, and what this agent goes on seeing."""


class Distrust:
    """Doubts about the commit that this disk has merged, and about the one it is merging.

    A run may be killed between the two: what is not believed belongs to a commit, and changes
    together with it.

    Args:
        file: where it is kept across restarts.
        base: the commit that this disk has merged.
    """

    def __init__(self, file: Path, base: str | None) -> None:
        self._file = file
        self._here: Doubts = {}
        self._coming: tuple[str, Doubts] | None = None
        with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            kept = json.loads(file.read_text("utf-8"))
            self._here = _doubts(kept["here"])
            self._coming = (kept["coming"], _doubts(kept["then"])) if kept["coming"] else None
        if base:
            self.stands_at(base)

    def lay_over(self, listing: Listing, commit: str | None) -> Listing:
        """The listing of a commit as this agent sees it."""
        coming = self._coming is not None and commit == self._coming[0]
        doubts = self._coming[1] if coming and self._coming else self._here
        hidden = {
            path: good
            for path, (bad, good) in doubts.items()
            if listing.vault.get(path) == bad and bad != good
        }
        return Listing(listing.vault.updated(hidden), listing.alien) if hidden else listing

    def said_by(self, owners: Mapping[str, Entry]) -> dict[str, Entry | None]:
        """What the owner's newest judged commit makes of the paths that were not believed.

        The owner has looked since: what stands there now is the owner's word, also where it is
        just what the stranger had made of it.

        Args:
            owners: what that commit holds.
        """
        return {path: owners.get(path) for path in self._here}

    def learn(
        self,
        tip: str,
        refused: Iterable[str],
        *,
        there: Mapping[str, Entry],
        seen: Mapping[str, Entry],
        settled: bool,
    ) -> None:
        """Note what is not believed of the commit that is about to be merged.

        Args:
            tip: that commit.
            refused: paths whose last change was not allowed.
            there: what the commit holds.
            seen: what the allowed changes make of it.
            settled: the owner has judged what was not believed before.
        """
        doubts = {} if settled else dict(self._here)
        doubts.update({path: (there.get(path), seen.get(path)) for path in refused})
        doubts = {
            path: (bad, good)
            for path, (bad, good) in doubts.items()
            if bad != good and there.get(path) == bad
        }
        if (tip, doubts) != self._coming and (doubts or self._here or self._coming):
            self._coming = (tip, doubts)
            self._save()

    def stands_at(self, commit: str) -> None:
        """This disk has merged a commit."""
        if self._coming and self._coming[0] == commit:
            changed = self._here != self._coming[1]
            self._here, self._coming = self._coming[1], None
            if changed:
                self._save()

    def _save(self) -> None:
        coming, then = self._coming or ("", {})
        kept = {"here": self._here, "coming": coming, "then": then}
        write(self._file, json.dumps(kept, ensure_ascii=True).encode())


def _doubts(kept: Mapping[str, tuple[list[str] | None, list[str] | None]]) -> Doubts:
    return {path: (_entry(bad), _entry(good)) for path, (bad, good) in kept.items()}


def _entry(kept: list[str] | None) -> Entry | None:
    return Entry(*kept) if kept else None

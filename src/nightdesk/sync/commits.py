"""The hub's commits as path maps, kept in memory: a whole listing once, differences after."""

from __future__ import annotations

from dataclasses import dataclass, field

from nightdesk.sync.entries import Entry
from nightdesk.sync.gate import divide, fault
from nightdesk.sync.git import Git
from nightdesk.sync.pathmaps import Paths

_KEEP = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """One commit's paths.

    Attributes:
        vault: those that can be part of the vault.
        alien: those that never are (links, hidden files, forbidden names).
    """

    vault: Paths[Entry] = field(default_factory=Paths)
    alien: Paths[Entry] = field(default_factory=Paths)


class Commits:
    """Lists commits."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._known: dict[str, Listing] = {}

    def at(self, commit: str | None) -> Listing:
        """The paths of a commit; none where there is no commit."""
        if commit is None:
            return Listing()
        if commit not in self._known:
            near = next(reversed(self._known), None)
            self.learn(commit, self._from(near, commit) if near else self._whole(commit))
        self._known[commit] = self._known.pop(commit)  # the last used is the last to go
        return self._known[commit]

    def learn(self, commit: str, listing: Listing) -> None:
        """Note what a commit is known to hold."""
        self._known[commit] = listing
        while len(self._known) > _KEEP:
            del self._known[next(iter(self._known))]

    def _whole(self, commit: str) -> Listing:
        return Listing(*map(Paths.of, divide(self._git.tree_of(commit))))

    def _from(self, near: str, commit: str) -> Listing:
        vault: dict[str, Entry | None] = {}
        alien: dict[str, Entry | None] = {}
        for path, entry in self._git.diff(near, commit).items():
            vault[path] = alien[path] = None
            if entry:
                (alien if fault(path, entry) else vault)[path] = entry
        known = self._known[near]
        return Listing(known.vault.updated(vault), known.alien.updated(alien))

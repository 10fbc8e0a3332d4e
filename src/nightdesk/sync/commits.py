"""The hub's commits as path maps, kept in memory: a whole listing once, differences after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightdesk.sync.entries import Entry
from nightdesk.sync.gate import divide, fault
from nightdesk.sync.git import Git

_KEEP = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """One commit's paths.

    Attributes:
        vault: those that can be part of the vault.
        alien: those that never are (links, hidden files, forbidden names).
    """

    vault: Mapping[str, Entry] = field(default_factory=dict)
    alien: Mapping[str, Entry] = field(default_factory=dict)


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
        return Listing(*divide(self._git.tree_of(commit)))

    def _from(self, near: str, commit: str) -> Listing:
        vault, alien = dict(self._known[near].vault), dict(self._known[near].alien)
        for path, entry in self._git.diff(near, commit).items():
            vault.pop(path, None)
            alien.pop(path, None)
            if entry:
                (alien if fault(path, entry) else vault)[path] = entry
        return Listing(vault, alien)

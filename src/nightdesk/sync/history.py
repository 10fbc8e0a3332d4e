"""The local history: every state of the disk that a cycle saw, one chain a day, 30 days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from nightdesk.sync.entries import Entry
from nightdesk.sync.git import Git
from nightdesk.sync.pathmaps import changes_between
from nightdesk.sync.trees import Trees

SNAPSHOTS = "refs/nightdesk/snapshots"
KEEP_DAYS = 30


class History:
    """Keeps snapshots; they never leave this machine."""

    def __init__(self, git: Git, trees: Trees) -> None:
        self._git = git
        self._trees = trees
        self._last = ""
        self._chain: dict[str, tuple[str, str]] = {}  # ref -> its commit and that one's tree
        self._pruned = ""

    def keep(
        self, base: str | None, base_map: Mapping[str, Entry], disk: Mapping[str, Entry]
    ) -> None:
        """Keep a state of the disk, unless it is the one kept last.

        Args:
            base: the commit whose paths are `base_map`.
            disk: what the disk holds.
        """
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        self._prune(day)
        changes = changes_between(base_map, disk)
        if not changes:  # the hub's own history has it
            return
        tree = self._trees.write(base, changes)
        if tree == self._last:
            return
        ref = f"{SNAPSHOTS}/{day}"
        if ref not in self._chain:  # nobody else writes it
            before = self._git.resolve(ref) or ""
            last = (before and self._git.resolve(f"{ref}^{{tree}}")) or ""
            self._chain = {ref: (before, last)}
        before, last = self._chain[ref]
        if last == tree:
            self._last = tree
            return
        stamp = datetime.now(UTC).strftime("%H:%M:%SZ")
        parents = [before] if before else []
        commit = self._git.commit(tree, parents, f"snapshot {day} {stamp}", signed=False)
        self._git.update_refs((ref, commit))
        self._chain = {ref: (commit, tree)}
        self._last = tree

    def _prune(self, day: str) -> None:
        if self._pruned == day:
            return
        self._pruned = day
        oldest = (datetime.now(UTC) - timedelta(days=KEEP_DAYS)).strftime("%Y-%m-%d")
        refs = self._git.refs(SNAPSHOTS)
        old = [(ref, "") for ref in refs if ref.rpartition("/")[2] < oldest]
        if old:
            self._git.update_refs(*old)

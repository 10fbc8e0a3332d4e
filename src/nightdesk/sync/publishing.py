"""Publishing: one signed commit on the hub's tip, pushed if the hub is still there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nightdesk.sync.commits import Commits, Listing
from nightdesk.sync.contents import Contents
from nightdesk.sync.entries import Entry
from nightdesk.sync.git import Git
from nightdesk.sync.judging import Judging
from nightdesk.sync.limits import RefusedPush
from nightdesk.sync.pushes import PushOutcome, refused
from nightdesk.sync.refs import MAIN
from nightdesk.sync.report import Progress
from nightdesk.sync.secrets import Guard
from nightdesk.sync.snapshot import Snapshot
from nightdesk.sync.trees import Trees


class Publisher:
    """Brings what this disk has made of the hub's tip back to the hub.

    Args:
        agent: author of the commits.
        refused: remembers what the hub would not take.
        crash: called with the name of each point at which a killed process must lose nothing.
    """

    def __init__(
        self,
        git: Git,
        agent: str,
        *,
        trees: Trees,
        commits: Commits,
        contents: Contents,
        judging: Judging,
        guard: Guard,
        refused: RefusedPush,
        crash: Callable[[str], None],
    ) -> None:
        self._git = git
        self._agent = agent
        self._trees = trees
        self._commits = commits
        self._contents = contents
        self._judging = judging
        self._guard = guard
        self._refused = refused
        self._crash = crash

    def leaks(self, changes: Mapping[str, Entry | None], snapshot: Snapshot, tip: Listing) -> bool:
        """Whether a merge made bytes, or put them at a path, that must not leave.

        They lie on the disk now, so the next look at it holds them back like any other.
        """
        made = {
            path: entry.oid
            for path, entry in changes.items()
            if entry and entry not in (snapshot.entries.get(path), tip.vault.get(path))
        }
        blobs = self._contents.read_all(made.values())
        for path, oid in made.items():
            hit = self._guard.check(path, blobs[oid])
            known = hit and hit.known_is_fine and any(e.oid == oid for e in tip.vault.values())
            if hit and not known:
                return True
        return False

    def publish(
        self,
        tip: str,
        changes: Mapping[str, Entry | None],
        progress: Progress,
        *,
        again: bool,
        vouch: bool = False,
    ) -> str | None:
        """Commit and push.

        Args:
            tip: the hub's commit, or the one that it shall have again.
            changes: path -> new entry, None where it goes.
            again: push `tip` itself although nothing has changed: the hub lost it.
            vouch: make a commit although nothing has changed: something was refused, and the
                other agents shall know that what stands there now is the owner's word.

        Returns:
            The commit at which the hub stands now; None when somebody was first, the outcome is
            unknown, or a path was refused by name and the rest is to be tried without it.

        Raises:
            HubRefused: the hub would not take it.
        """
        if changes:
            changes, held = self._judging.outgoing(tip, changes)
            progress.held_back = [*progress.held_back, *held]
            changes, held = self._refused.without(changes)
            progress.held_back = [*progress.held_back, *held]
        if not (changes or again or vouch):
            return tip
        commit = tip
        if changes or vouch:
            self._refused.check(changes)
            self._crash("before_commit")
            tree = self._trees.write(tip, changes) if changes else f"{tip}^{{tree}}"
            commit = self._git.commit(tree, [tip], _message(self._agent, changes))
        self._crash("before_push")
        push = self._git.push(f"{commit}:{MAIN}")
        if push.outcome is PushOutcome.REFUSED:
            if self._refused.hold(push.reason, changes):
                return None
            error = refused(self._git.hub, push)
            self._refused.remember(changes, error.what, passing=push.passing)
            raise error
        if push.outcome is not PushOutcome.ACCEPTED:
            progress.lost = push.locked
            return None
        self._crash("after_push")
        if commit != tip:
            # What the hub holds, whatever of it this agent believes.
            there = self._commits.at(tip)
            gone = [path for path, entry in changes.items() if entry is None]
            alien = there.alien.updated(dict.fromkeys(gone))
            self._commits.learn(commit, Listing(there.vault.updated(changes), alien))
            self._refused.forget()
        progress.pushed.update(dict.fromkeys(changes))
        return commit


def _message(agent: str, changes: Mapping[str, Entry | None]) -> str:
    number = len(changes)
    return f"{agent}: {number} {'note' if number == 1 else 'notes'}"

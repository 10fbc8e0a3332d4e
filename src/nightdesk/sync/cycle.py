"""One cycle: snapshot, fetch, gate, merge, apply, publish (docs/design.md, section 4).

`refs/nightdesk/base` is the hub's commit that is completely merged into this disk; it moves when
a merge is applied, and again when our own commit was accepted. A run that is killed anywhere
leaves the disk between the two states, each file in one of them, and the next cycle comes to
the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nightdesk.errors import HubUnreachable, SyncHalted
from nightdesk.policy import Role
from nightdesk.sync import mending
from nightdesk.sync.apply import Applied, apply
from nightdesk.sync.clone import check_idle
from nightdesk.sync.commits import Commits, Listing
from nightdesk.sync.contents import Contents
from nightdesk.sync.distrust import Distrust
from nightdesk.sync.entries import Commit, Entry, PathMap, Refusal, printable
from nightdesk.sync.evidence import keep as keep_evidence
from nightdesk.sync.fencing import Whereabouts, lost_claims, second_plans, unowned
from nightdesk.sync.git import Git
from nightdesk.sync.history import History
from nightdesk.sync.hub import Hub, Line
from nightdesk.sync.in_step import InStep
from nightdesk.sync.judging import Incoming, Judge, Judging
from nightdesk.sync.leftovers import sweep
from nightdesk.sync.limits import DeletionGuard, RefusedPush
from nightdesk.sync.merge import Knowledge, merge
from nightdesk.sync.overlay import Shown, Unwritten, show
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Draft, Paths, changes_between
from nightdesk.sync.plan import MergePlan
from nightdesk.sync.publishing import Publisher
from nightdesk.sync.refs import BASE, BEGUN
from nightdesk.sync.report import Progress
from nightdesk.sync.returned import as_inbox_notes
from nightdesk.sync.review import CardReview, Renderer, Reviewed, drop_twins
from nightdesk.sync.secrets import Guard
from nightdesk.sync.signers import Key, Trust
from nightdesk.sync.snapshot import Scanner, Snapshot
from nightdesk.sync.trees import Trees

WALK_SHARE = 0.005
"""The part of the time that may go into listing the whole vault behind a watcher's back."""
STRIKES = 3
"""A path that was in the way so often in one cycle is set aside and reported."""


class Cycle:
    """Everything that goes on from one cycle to the next, in an opened clone.

    Args:
        base: the commit that this disk has merged.
        me: this agent's public key.
        max_deletions: see `limits.DeletionGuard`.
        guard, incoming, withhold, trust, gate, crash: see `engine.Engine`.

    Attributes:
        base: the commit that this disk has merged.
        settled: that commit while nothing that was refused is left in the hub, else None.
        changed: asks a watcher for the paths that changed; see `Engine.watched`.
        next_walk: when the whole vault is listed again whatever a watcher says, monotonic.
        whereabouts: where tasks lie by both sides' word, while cards are judged.
    """

    def __init__(
        self,
        vault: Path,
        state: Path,
        git: Git,
        role: Role,
        agent: str,
        base: str,
        me: Key,
        *,
        max_deletions: int,
        guard: Guard,
        incoming: Renderer | None,
        withhold: Callable[[str], bool] | None,
        trust: Trust,
        gate: Judge,
        crash: Callable[[str], None],
    ) -> None:
        self._vault = vault
        self._state = state
        self._git = git
        self._role = role
        self._agent = agent
        self._guard = guard
        self._crash = crash
        self.base = base
        self.settled: str | None = None
        self.changed: Callable[[], frozenset[str] | None] | None = None
        self.next_walk = 0.0
        self.whereabouts = Whereabouts({}, {}, {}, lambda path, entry: ("", False))
        self.trees = Trees(git)
        self.hub = Hub(git, agent)
        self.contents = Contents(git)
        self.scanner = Scanner(vault, git, guard, withhold, self.contents.note)
        self.in_step = InStep(git, base)
        self._commits = Commits(git)
        self._history = History(git, self.trees)
        self._cards = CardReview(git, self.contents, incoming) if incoming else None
        self._unwritten = Unwritten(state / "unwritten.json")
        self._judging = Judging(git, self._commits, trust, role, me, secret=self._secret, gate=gate)
        self._distrust = Distrust(state / "distrusted.json", base)
        self._deletions = DeletionGuard(state, max_deletions)
        self._publisher = Publisher(
            git,
            agent,
            trees=self.trees,
            commits=self._commits,
            contents=self.contents,
            judging=self._judging,
            guard=guard,
            refused=RefusedPush(state / "refused-push.json"),
            crash=crash,
        )
        self._tip: Paths[Entry] = Paths()
        self._unsettled = True  # a run that was killed, or failed, may have left something
        self._begun = git.resolve(BEGUN)

    def move_base(self, commit: str) -> None:
        """Note that this disk has merged another commit."""
        if commit != self.base:
            self._git.update_refs((BASE, commit))
            self.base = commit
            self.in_step.moved(commit)
        self._distrust.stands_at(commit)

    def attempt(self, progress: Progress, *, full: bool) -> bool:
        """Go through the cycle once; False when it must be gone through again."""
        check_idle(self._git)
        if self._unsettled:
            copies, settled = sweep(self._git)
            progress.conflicts.update(dict.fromkeys(copies))
            self._unsettled = not settled
            self.scanner.look_again(copies)
        base = self.listing(self.base)
        self._try_again(base.vault)
        snapshot = self._look(base, full=full)
        progress.held_back = list(snapshot.held)
        self._unwritten.settle(snapshot.entries, base.vault)
        self.contents.learn(base.vault)
        self._history.keep(self.base, base.vault, snapshot.entries.updated(snapshot.waiting))
        snapshot = replace(snapshot, entries=self._unwritten.hide(snapshot.entries))
        self._crash("after_snapshot")
        progress.offline = ""
        found = self._ask_hub(progress)
        if found is None:
            return bool(progress.offline)
        tip, line = found
        come = self._judging.incoming(self.base, tip) if tip != self.base else Incoming()
        said: dict[str, Entry | None] = {}
        if self._role is Role.CLOUD and come.judged:
            said = self._distrust.said_by(self._commits.at(come.judged).vault)
        theirs = base.vault.updated({**said, **come.changes})
        base = self._as_far_as_written(base, snapshot, come)
        shown, reviewed = self._review(snapshot, base, theirs, tip, come)
        progress.refused.update(dict.fromkeys(reviewed.refusals))
        listing = self.listing(tip)
        plan = self._merge(snapshot, base, shown, reviewed, come.commits, progress)
        changes = changes_between(listing.vault, plan.tree)
        if self._role is Role.LOCAL:
            changes.update({path: None for path in listing.alien if path not in plan.tree})
        steps = [step for step in plan.steps if step.path not in progress.withdrawn]
        self._deletions.check(steps, shown.ours, changes, listing.vault)
        self._crash("after_merge")
        if plan.steps and tip != self._begun:
            self._git.update_refs((BEGUN, tip))
            self._begun = tip
        if not self._apply(plan, progress, snapshot):
            return False
        self.move_base(tip)
        if self._publisher.leaks(changes, snapshot, listing):
            return False
        # Only where nothing is left to undo: what a claim of ours stands on, we have judged.
        self.settled = self._publisher.publish(
            tip,
            changes,
            progress,
            again=line is Line.BEHIND,
            vouch=self._role is Role.LOCAL and bool(come.findings),
        )
        if self.settled is None:
            return False
        self.move_base(self.settled)
        self._crash("after_ref")
        self._deletions.used()
        progress.refused.update(
            dict.fromkeys(
                Refusal(printable(path), f"it cannot be written here: {reason}")
                for path, reason in self._unwritten.reasons.items()
            )
        )
        return True

    def _ask_hub(self, progress: Progress) -> tuple[str, Line] | None:
        """The tip to merge and how it stands; None when offline, or to ask again."""
        try:
            mending.repair_if_asked(self._git, self._state, self.base)
            tip = self.hub.fetch()
        except HubUnreachable as e:
            progress.offline = str(e)
            return None
        self._crash("after_fetch")
        try:
            line = self.hub.compare(self.base, tip)
        except SyncHalted as e:
            self.base = self._adopted(tip, e)
            return None
        if line is not Line.BEHIND:
            assert tip is not None
            return tip, line
        if tip is None and self._role is Role.CLOUD:
            progress.offline = "the hub is empty; the laptop's next sync fills it again"
            return None
        return self.base, line

    def _adopted(self, tip: str | None, trouble: SyncHalted) -> str:
        """The new base, where a person or the owner's signature has settled what stopped sync."""
        if self._role is Role.CLOUD and tip and self._judging.owner_went_on(self.base, tip):
            return mending.adopt(self._git, self.base, tip)
        return mending.adopt_if_asked(self._git, self._state, self.base, tip, trouble)

    def _look(self, base: Listing, *, full: bool) -> Snapshot:
        """Look at the disk: where the watcher points, or everywhere when it cannot tell."""
        changed = self.changed() if self.changed else None
        start = time.monotonic()
        if full or start > self.next_walk:
            changed = None
        snapshot = self.scanner.scan(base.vault, full=full, changed=changed)
        if changed is None:
            now = time.monotonic()
            self.next_walk = now + max(30.0, (now - start) / WALK_SHARE)
        return snapshot

    def _review(
        self, snapshot: Snapshot, base: Listing, theirs: Paths[Entry], tip: str, come: Incoming
    ) -> tuple[Shown, Reviewed]:
        told = keep_evidence(self._git, self._state, come.findings)
        self._tip = theirs
        if self._role is Role.CLOUD:
            self._distrust.learn(
                tip,
                [finding.path for finding in come.findings],
                there=self._commits.at(tip).vault,
                seen=theirs,
                settled=bool(come.judged),
            )
        if come.commits or snapshot.waiting:
            disk = snapshot.entries.updated(snapshot.waiting)
            self.contents.learn(base.vault, theirs, disk)
        shown = show(
            snapshot,
            base.vault,
            theirs,
            self.contents.ident,
            self.contents.find,
            self.contents.named,
            self._unwritten.reasons,
        )
        reviewed = Reviewed(Draft(theirs), [Refusal(printable(f.path), f.reason) for f in told])
        if self._role is Role.LOCAL:
            drop_twins(base.vault, shown.ours, reviewed, self.contents, come.by_owner)
            # Of all findings: those told before may be of a run that died before it wrote them.
            reviewed.theirs.update(
                as_inbox_notes(come.findings, shown.ours, theirs, self._git, self.contents)
            )
        self.whereabouts = Whereabouts(
            base.vault, shown.ours, reviewed.theirs.done(), self.contents.ident
        )
        if self._cards:
            self._cards.review(base.vault, shown.ours, reviewed)
        return shown, reviewed

    def _secret(self, path: str, data: bytes) -> str | None:
        hit = self._guard.check_incoming(path, data)
        return hit.reason if hit else None

    def listing(self, commit: str | None) -> Listing:
        """What a commit of the hub holds, as this agent believes it."""
        return self._distrust.lay_over(self._commits.at(commit), commit)

    def _merge(
        self,
        snapshot: Snapshot,
        base: Listing,
        shown: Shown,
        reviewed: Reviewed,
        commits: Sequence[Commit],
        progress: Progress,
    ) -> MergePlan:
        theirs = reviewed.theirs.done()
        if shown.ours == base.vault and theirs == base.vault:
            return MergePlan(base.vault)
        self.contents.learn(base.vault, shown.ours, theirs)
        before = self._without_doubles(base.vault, shown.ours, theirs, progress)
        times = {change.path: float(c.time) for c in commits for change in c.changes}
        know = Knowledge(
            ident=self.contents.ident,
            read=self.contents.read,
            merge_text=self._git.merge_text,
            ours_time=snapshot.time_of,
            theirs_time=lambda path: times.get(path, 0.0),
            now=time.time(),
            find=self.contents.find,
        )
        return merge(
            before,
            shown.ours,
            theirs,
            ours_is=self._role,
            know=know,
            agent=self._agent,
            frozen=shown.frozen,
            absent=shown.absent,
            occupied=snapshot.occupied,
        )

    def _try_again(self, base: PathMap) -> None:
        """Bring to the disk what it could not take before; what still fails is noted already."""
        steps = self._unwritten.steps(base)
        if steps:
            blobs = self.contents.read_all(step.new for step in steps if step.new)
            apply(self._vault, steps, blobs)

    def _without_doubles(
        self, base: PathMap, ours: PathMap, theirs: PathMap, progress: Progress
    ) -> PathMap:
        """The base for a merge in which two agents' work for one task does not meet.

        What must give way is told as if it had been there before, so that the other side's
        word on it (gone, or another text) simply holds.
        """
        if self._role is Role.LOCAL:
            double = second_plans(self._agent, base, ours, theirs, self.contents.read)
            return {**base, **double} if double else base
        base = lost_claims(self._agent, base, ours, theirs, self.contents.ident)
        lost = unowned(self._agent, base, ours, theirs, self.contents.ident)
        progress.withdrawn.update(lost)
        return {**base, **{path: ours[path] for path in lost}} if lost else base

    def _apply(self, plan: MergePlan, progress: Progress, snapshot: Snapshot) -> bool:
        """Bring the disk to the plan; False when somebody changed it in between."""
        self._git.write(list(plan.blobs.values()))
        blobs = self.contents.read_all(step.new for step in plan.steps if step.new)
        # The disk is about to change: whatever becomes of it, the next scan looks.
        self.scanner.look_again(p for s in plan.steps for p in (s.path, s.target) if p)
        unsettled, self._unsettled = self._unsettled, True
        applied: Applied = apply(
            self._vault,
            plan.steps,
            blobs,
            lambda: self._crash("during_apply"),
        )
        self._unsettled = unsettled
        self._crash("after_apply")
        progress.pulled.update(dict.fromkeys(applied.paths))
        self._unwritten.add(applied.unwritable, applied.stale)
        self.scanner.look_again(path.rpartition("/")[0] for path in applied.disturbed)
        for path in applied.disturbed:
            if path not in snapshot.entries:  # a note that a person goes on saving is read again
                progress.strikes[path] = progress.strikes.get(path, 0) + 1
        in_the_way = {p for p in applied.disturbed if progress.strikes.get(p, 0) >= STRIKES}
        self._unwritten.add(dict.fromkeys(in_the_way, "something else stands in its place"))
        if set(applied.disturbed) - in_the_way:
            return False
        progress.conflicts.update(dict.fromkeys(plan.conflicts))
        return True

    def _as_far_as_written(self, base: Listing, snapshot: Snapshot, come: Incoming) -> Listing:
        """What both sides had in common, with what an unfinished run has written since.

        Without this a note that a killed run had written, and that was then removed in the
        hub, would look like a new one of this disk, and come back. What the gate refused no
        run has written.
        """
        begun = self._begun
        if begun in (None, self.base) or self.base is None:
            return base
        if not self._git.is_ancestor(self.base, begun):
            self._begun = None
            return base
        changes = changes_between(base.vault, self.listing(begun).vault)
        names: dict[str, str] = {}
        for path, entry in changes.items():
            known = entry or base.vault[path]
            # A move is one change: half of it would make the note new at its new place.
            names[path] = self.contents.ident(path, known)[0] if is_state_note(path) else path
        not_ours = {*snapshot.occupied, *(finding.path for finding in come.findings)}
        other = {
            names[path]
            for path, entry in changes.items()
            if snapshot.entries.get(path) != entry or path in not_ours
        }
        done = {path: entry for path, entry in changes.items() if names[path] not in other}
        return Listing(base.vault.updated(done), base.alien)

    def note_in_hub(self, name: str) -> tuple[str, bytes] | None:
        """A note in a state folder as the hub last showed it: its path and bytes, or None.

        For the card renderer, which is asked before the task of a new card is on the disk.

        Args:
            name: file name, with `.md`.
        """
        for path in self.contents.named(self._tip, name):
            return path, self.contents.read(self._tip[path].oid)
        return None

    def may_claim_on(self, tip: str | None) -> bool:
        if tip is None or self.hub.compare(self.base, tip) is Line.BEHIND:
            return False
        if self._role is Role.LOCAL and self.settled != self.base:
            return False  # what was refused is not undone in the hub yet
        # What we sign, we have judged: nothing is built upon what must be undone first.
        return self._judging.is_clean(self.base, tip)

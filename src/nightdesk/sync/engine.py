"""The engine: one cycle after another, two disks become one vault (docs/design.md, section 4).

A cycle is: snapshot, fetch, gate, merge, apply, commit, push. `refs/nightdesk/base` is the
hub's commit that is completely merged into this disk; it moves when a merge is applied, and
again when our own commit was accepted. A run that is killed anywhere leaves the disk between
the two states, each file in one of them, and the next cycle comes to the same result.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from nightdesk.config import SyncSettings
from nightdesk.errors import ConfigError, HubUnreachable, NightdeskError, SyncHalted
from nightdesk.policy import Role
from nightdesk.sync import mending
from nightdesk.sync.access import Access
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.apply import Applied, apply
from nightdesk.sync.claiming import BATCH, Claiming, back_off
from nightdesk.sync.clone import (
    BASE,
    MAIN,
    check_clone,
    check_idle,
    lock,
    remove_own_locks,
    step_along,
)
from nightdesk.sync.commits import Commits, Listing
from nightdesk.sync.contents import Contents
from nightdesk.sync.distrust import Distrust
from nightdesk.sync.entries import Commit, Entry, PathMap, Refusal, printable
from nightdesk.sync.evidence import keep as keep_evidence
from nightdesk.sync.fencing import Whereabouts, lost_claims, second_plans, unowned
from nightdesk.sync.founding import create_root, join
from nightdesk.sync.gate import judge
from nightdesk.sync.git import Git, PushOutcome, refused
from nightdesk.sync.held_back import HeldBackFile
from nightdesk.sync.history import History
from nightdesk.sync.hub import Heartbeat, Hub, Line
from nightdesk.sync.judging import Incoming, Judge, Judging
from nightdesk.sync.leftovers import sweep
from nightdesk.sync.limits import DeletionGuard, RefusedPush
from nightdesk.sync.merge import Knowledge, merge
from nightdesk.sync.overlay import Shown, Unwritten, show
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Draft, Paths, changes_between
from nightdesk.sync.plan import MergePlan
from nightdesk.sync.report import CycleReport, Progress
from nightdesk.sync.returned import as_inbox_notes
from nightdesk.sync.returning import return_in_hub
from nightdesk.sync.review import CardReview, Renderer, Reviewed, drop_twins
from nightdesk.sync.secrets import Guard
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import KEY_FILE, signing_key
from nightdesk.sync.snapshot import Scanner, Snapshot
from nightdesk.sync.storage import told_of_disks, unavailable
from nightdesk.sync.trees import Trees
from nightdesk.sync.upkeep import Upkeep
from nightdesk.vault import claims
from nightdesk.vault.files import move

__all__ = ["CycleReport", "Engine", "create_root", "is_running", "join"]

BEGUN = "refs/nightdesk/begun"
"""The hub's commit whose merge was last begun to be written to this disk."""

LOCK = "sync.lock"
ATTEMPTS = 12
ROUND_SECONDS = 900.0
"""No cycle lasts longer, however many single calls stay within their own deadlines."""
CALM_SECONDS = 2.0
"""So long after the last commit the person's own git is brought into step..."""
UNCALM_SECONDS = 60.0
"""...and so long after the first that it lags behind, calm or not."""
WALK_SHARE = 0.005
"""The part of the time that may go into listing the whole vault behind a watcher's back."""
STRIKES = 3
"""A path that was in the way so often in one cycle is set aside and reported."""


def is_running(state: Path) -> bool:
    """Whether an agent holds the engine of this state folder open."""
    if not (state / LOCK).exists():
        return False
    try:
        lock(state / LOCK).close()
    except NightdeskError:
        return True
    return False


class Engine:
    """Sync of one vault with one hub.

    Args:
        vault: the clone that a person opens.
        hub: the hub's address.
        state: the agent's state folder, outside the vault.
        role: which half this is.
        agent: its name: author of its commits, owner of its claims.
        settings: limits.
        guard: what must not leave; without one, only paths and zones are guarded.
        incoming: renders a new card from the hub before its bytes reach the vault: path and
            bytes in, the bytes to put there out; None refuses the card, which is then removed
            from the hub by our next commit (the callee keeps the evidence). After a crash it
            may be asked again for the same bytes.
        withhold: whether a path in `Approved/` is not recorded by the journal yet; until it is,
            the hub goes on seeing the card where it was.
        trust: which keys are whose; this agent's own key is among them.
        gate: what judges commits; only a test has another one.
        access: what opens the hub; without it, what the state folder holds.
        crash: called with the name of each point at which a killed process must lose nothing.
    """

    def __init__(
        self,
        vault: Path,
        hub: str,
        state: Path,
        role: Role,
        agent: str,
        settings: SyncSettings,
        *,
        guard: Guard | None = None,
        incoming: Renderer | None = None,
        withhold: Callable[[str], bool] | None = None,
        trust: Trust | None = None,
        gate: Judge = judge,
        access: Access | None = None,
        crash: Callable[[str], None] = lambda point: None,
    ) -> None:
        check_hub_url(hub)
        self._vault = vault
        self._state = state
        self._role = role
        self._agent = agent
        self._settings = settings
        self._guard = guard or Guard(role=role)
        self._incoming = incoming
        self._withhold = withhold
        self._trust = trust or Trust()
        self._gate = gate
        self._crash = crash
        self._git = Git(vault, state, hub, agent, key=state / KEY_FILE, access=access)
        self._one_at_a_time = threading.RLock()
        self._open = ExitStack()
        self._base: str | None = None
        self._tip: Paths[Entry] = Paths()
        self._whereabouts = Whereabouts({}, {}, {}, lambda path, entry: ("", False))
        self._last_full = 0.0
        self._unsettled = True  # a run that was killed, or failed, may have left something
        self._changed: Callable[[], frozenset[str] | None] | None = None
        self._next_walk = 0.0
        self._settled: str | None = None
        self._begun: str | None = None
        self._moved_at: tuple[float, float] | None = None

    def open(self) -> None:
        """Take the vault's lock and check the clone.

        Raises:
            NightdeskError: another agent has the vault or the state folder.
            ConfigError: the vault is no clone of this hub.
            SyncHalted: a merge or rebase of the person's is open.
            VaultUnavailable: the folder is missing, or the state folder cannot be written.
        """
        try:
            self._take()
        except OSError as e:
            raise unavailable(e.filename or self._state, e.strerror or str(e)) from e

    def _take(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        self._git.interrupted.clear()
        with ExitStack() as opening:
            opening.enter_context(lock(self._state / LOCK))
            check_clone(self._git)
            opening.enter_context(lock(self._git.folder / "nightdesk.lock"))
            remove_own_locks(self._git)
            self._base = self._git.resolve(BASE)
            if self._base is None:
                raise ConfigError(
                    "the vault was never in step with the hub",
                    remedy="Run `init` of the same command again; it goes on where it stopped",
                    where=str(self._vault),
                )
            git = self._git
            me = signing_key(self._state, self._agent)
            self._trees = Trees(git)
            self._hub = Hub(git, self._agent)
            self._commits = Commits(git)
            self._contents = Contents(git)
            self._history = History(git, self._trees)
            self._scanner = Scanner(
                self._vault, git, self._guard, self._withhold, self._contents.note
            )
            self._cards = (
                CardReview(git, self._contents, self._incoming) if self._incoming else None
            )
            self._unwritten = Unwritten(self._state / "unwritten.json")
            self._judging = Judging(
                git,
                self._commits,
                self._trust,
                self._role,
                me,
                secret=self._secret,
                gate=self._gate,
            )
            self._distrust = Distrust(self._state / "distrusted.json")
            self._held = HeldBackFile(self._state)
            self._deletions = DeletionGuard(self._state, self._settings.max_deletions)
            self._refused = RefusedPush(self._state / "refused-push")
            self._claiming = Claiming(
                self._agent,
                git=git,
                hub=self._hub,
                trees=self._trees,
                entries_at=lambda commit: self._listing(commit).vault,
                may_claim_on=self._may_claim_on,
            )
            now = time.monotonic()
            self._moved_at = None if step_along(git, self._base) else (now, now)
            self._settled = None
            self._begun = git.resolve(BEGUN)
            self._upkeep = Upkeep(self._git, self._role)
            self._unsettled = True
            self._open = opening.pop_all()

    def close(self) -> None:
        """Give the locks back, with the person's own git in step."""
        with self._one_at_a_time:
            self._changed = None
            if self._moved_at:
                self._step_along()
            self._open.close()

    def watched(self, take: Callable[[], frozenset[str] | None]) -> None:
        """Look only at what a watcher tells, from the next cycle on.

        Args:
            take: the paths that changed since it was last called, and None where the watcher
                cannot tell: then the whole vault is listed, as it is without a watcher. They
                are hints; a lost one is found by the next full scan, or earlier.
        """
        with self._one_at_a_time:
            self._changed = take
            self._next_walk = 0.0

    def due(self) -> float | None:
        """Seconds until a cycle has something to do by itself; None where nothing is left."""
        if not self._moved_at:
            return None
        return max(0.0, self._step_at() - time.monotonic())

    def interrupt(self) -> None:
        """End every talk with the hub at once, now and until the next `open`.

        For a daemon that shall stop while a hub does not answer; from a signal handler or any
        thread. A cycle then ends offline, a claim with HubUnreachable.
        """
        self._git.interrupted.set()

    def cycle(self, *, full: bool = False) -> CycleReport:
        """Carry out one whole cycle; a lost race or a person's save in between repeats it.

        Args:
            full: hash every file, whatever its time stamps say.

        Raises:
            SyncHalted: a person must look (rewritten hub, broken objects, mass deletion, open
                merge). What is on the disk is safe in a local snapshot.
            HubRefused: the hub declined our commit; what came from it was applied.
            VaultUnavailable: the vault or the state folder is missing, empty, full or
                read-only.
        """
        with self._one_at_a_time:
            due = time.monotonic() - self._last_full > self._settings.full_scan_seconds
            full = full or due or not self._last_full
            progress = Progress()
            self._git.deadline = time.monotonic() + ROUND_SECONDS
            try:
                for attempt in range(ATTEMPTS):
                    if self._attempt(progress, full=full and attempt == 0):
                        break
                    back_off(attempt)
                else:
                    progress.offline = progress.offline or (
                        f"{progress.lost or 'the hub is busy'}; the next cycle goes on"
                    )
            except OSError as e:  # a full or read-only state folder, a vault that vanishes
                raise unavailable(e.filename or self._state, e.strerror or str(e)) from e
            finally:
                self._git.deadline = math.inf
                self._contents.forget()
            if full:
                self._last_full = time.monotonic()
            if self._moved_at and time.monotonic() >= self._step_at():
                self._step_along()
            self._upkeep.after_cycle(pushed=bool(progress.pushed))
            self._held.keep(progress.held_back)
            return progress.report(self._base)

    def claim(self, paths: Sequence[str], most: int | None = None) -> list[str]:
        """Claim tasks: a commit that only moves files, accepted by the hub.

        The rule: docs/design.md, section 3.

        Args:
            paths: vault-relative, in `Needs_Action/`; what the hub does not hold there (not
                synced yet, a local-only zone) is not claimed.
            most: claim at most so many (up to 50) of them, in one push. Which ones is left to
                chance, so that agents that see the same tasks do not all run for the first.
                Without it all of them are tried, in pushes of 50.

        Returns:
            The new paths of those that were won, are confirmed in the hub, and have been moved
            on this disk. A lost race is no error.

        Raises:
            HubUnreachable: no answer. A claim that did arrive comes back with a later cycle, as
                a move into this agent's own folder.
            HubRefused: the hub declined.
            VaultUnavailable: a task that was won cannot be moved on this disk; the next cycle
                moves it.
        """
        won: list[str] = []
        with self._one_at_a_time, told_of_disks(self._vault):
            if most is not None:
                moves = self._claiming.claim(paths, most)
                self._scanner.look_again([*moves, *moves.values()])
                return claims.claim_all(self._vault, moves, self._agent)
            for start in range(0, len(paths), BATCH):
                moves = self._claiming.claim(paths[start : start + BATCH])
                self._scanner.look_again([*moves, *moves.values()])
                won += claims.claim_all(self._vault, moves, self._agent)
        return won

    def return_claims(self, owner: str, moves: Mapping[str, str], silent_for: float) -> list[str]:
        """Give back what a silent agent has claimed, confirmed in the hub and moved on this disk.

        Args:
            owner: the agent's name.
            moves: path in `In_Progress/<owner>/` -> path in `Needs_Action/`.
            silent_for: seconds without a sign of life, seen by this process itself.

        Returns:
            The new paths of those that went back: none once the agent gave a sign of life,
            and no task that has a card in the hub.

        Raises:
            HubUnreachable: no answer. What did arrive comes back with a later cycle.
            HubRefused: the hub declined.
        """
        with self._one_at_a_time, told_of_disks(self._vault):
            assert self._base is not None
            commit, done = return_in_hub(
                moves,
                owner,
                silent_for,
                agent=self._agent,
                git=self._git,
                hub=self._hub,
                trees=self._trees,
                merged=self._base,
                held=self._commits.at(self._base).vault,
                ident=self._contents.ident,
            )
            back = [
                target
                for source, target in done.items()
                if move(self._vault / source, self._vault / target)
            ]
            if len(back) == len(done):
                # At once, so that an agent that wakes and claims anew is not taken for one
                # whose claim this disk has yet to give back.
                self._move_base(commit)
            return back

    def beat(self, status: Mapping[str, str]) -> None:
        """Move `refs/heartbeat/<agent>` in the hub.

        Args:
            status: few short texts, at most 4 KiB as JSON.

        Raises:
            HubUnreachable: it did not arrive; the next one makes up for it.
            HubRefused: the hub said no.
        """
        with self._one_at_a_time:
            self._hub.beat({key: self._guard.clean(text) for key, text in status.items()})

    def heartbeat(self, agent: str) -> Heartbeat | None:
        """The last fetched heartbeat of an agent; None when there never was one."""
        with self._one_at_a_time:
            return self._hub.heartbeat(agent)

    def agents(self) -> list[str]:
        """Everybody who ever gave a sign of life, by name."""
        with self._one_at_a_time:
            return self._hub.agents()

    def whereabouts(self, task: str) -> frozenset[str]:
        """Where a task lies by this disk's word and the hub's, while a cycle judges a new card.

        Args:
            task: the task's id.

        Returns:
            Vault-relative paths: where somebody moved it since both were in step, or where it
            has been all along. "" stands for a removal; empty where nobody knows it.
        """
        with self._one_at_a_time:
            return self._whereabouts.of(task)

    def note_in_hub(self, name: str) -> tuple[str, bytes] | None:
        """A note in a state folder as the hub last showed it: its path and bytes, or None.

        For the card renderer, which is asked before the task of a new card is on the disk.

        Args:
            name: file name, with `.md`.
        """
        with self._one_at_a_time:
            for path in self._contents.named(self._tip, name):
                return path, self._contents.read(self._tip[path].oid)
        return None

    # One attempt ------------------------------------------------------------------------

    def _attempt(self, progress: Progress, *, full: bool) -> bool:
        """Go through the cycle once; False when it must be gone through again."""
        check_idle(self._git)
        if self._unsettled:
            copies, settled = sweep(self._git)
            progress.conflicts.update(dict.fromkeys(copies))
            self._unsettled = not settled
            self._scanner.look_again(copies)
        base = self._listing(self._base)
        self._try_again(base.vault)
        snapshot = self._look(base, full=full)
        progress.held_back = list(snapshot.held)
        self._unwritten.settle(snapshot.entries, base.vault)
        self._contents.learn(base.vault)
        self._history.keep(self._base, base.vault, snapshot.entries.updated(snapshot.waiting))
        snapshot = replace(snapshot, entries=self._unwritten.hide(snapshot.entries))
        self._crash("after_snapshot")
        progress.offline = ""
        found = self._ask_hub(progress)
        if found is None:
            return bool(progress.offline)
        tip, line = found
        assert self._base is not None
        come = self._judging.incoming(self._base, tip) if tip != self._base else Incoming()
        theirs = base.vault.updated(come.changes)
        base = self._as_far_as_written(base, snapshot)
        shown, reviewed = self._review(snapshot, base, theirs, tip, come)
        progress.refused.update(dict.fromkeys(reviewed.refusals))
        listing = self._listing(tip)
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
        self._move_base(tip)
        if self._leaks(changes, snapshot, listing):
            return False
        done = self._publish(tip, listing, changes, progress, line is Line.BEHIND)
        # Only where nothing is left to undo: what a claim of ours stands on, we have judged.
        self._settled = self._base if done else None
        self._claiming.hub_stands_at(self._settled)
        if done:
            self._deletions.used()
            progress.refused.update(
                dict.fromkeys(
                    Refusal(printable(path), f"it cannot be written here: {reason}")
                    for path, reason in self._unwritten.reasons.items()
                )
            )
        return done

    def _ask_hub(self, progress: Progress) -> tuple[str, Line] | None:
        """The tip to merge and how it stands; None when offline, or to ask again."""
        assert self._base is not None
        try:
            mending.repair_if_asked(self._git, self._state, self._base)
            tip = self._hub.fetch()
        except HubUnreachable as e:
            progress.offline = str(e)
            return None
        self._crash("after_fetch")
        try:
            line = self._hub.compare(self._base, tip)
        except SyncHalted as e:
            self._base = self._adopted(tip, e)
            return None
        if line is not Line.BEHIND:
            assert tip is not None
            return tip, line
        if tip is None and self._role is Role.CLOUD:
            progress.offline = "the hub is empty; the laptop's next sync fills it again"
            return None
        return self._base, line

    def _adopted(self, tip: str | None, trouble: SyncHalted) -> str:
        """The new base, where a person or the owner's signature has settled what stopped sync."""
        assert self._base is not None
        if self._role is Role.CLOUD and tip and self._judging.owner_went_on(self._base, tip):
            return mending.adopt(self._git, self._base, tip)
        return mending.adopt_if_asked(self._git, self._state, self._base, tip, trouble)

    def _look(self, base: Listing, *, full: bool) -> Snapshot:
        """Look at the disk: where the watcher points, or everywhere when it cannot tell."""
        changed = self._changed() if self._changed else None
        start = time.monotonic()
        if full or start > self._next_walk:
            changed = None
        snapshot = self._scanner.scan(base.vault, full=full, changed=changed)
        if changed is None:
            now = time.monotonic()
            self._next_walk = now + max(30.0, (now - start) / WALK_SHARE)
        return snapshot

    def _review(
        self, snapshot: Snapshot, base: Listing, theirs: Paths[Entry], tip: str, come: Incoming
    ) -> tuple[Shown, Reviewed]:
        told = keep_evidence(self._git, self._state, come.findings)
        self._tip = theirs
        if self._role is Role.CLOUD:
            refused = [finding.path for finding in come.findings]
            self._distrust.learn(refused, self._commits.at(tip).vault, theirs)
        if come.commits or snapshot.waiting:
            self._contents.learn(base.vault, theirs, snapshot.entries, snapshot.waiting)
        shown = show(
            snapshot,
            base.vault,
            theirs,
            self._contents.ident,
            self._contents.find,
            self._contents.named,
            self._unwritten.reasons,
        )
        reviewed = Reviewed(Draft(theirs), [Refusal(printable(f.path), f.reason) for f in told])
        if self._role is Role.LOCAL:
            drop_twins(base.vault, shown.ours, reviewed, self._contents, come.by_owner)
            reviewed.theirs.update(
                as_inbox_notes(told, shown.ours, theirs, self._git, self._contents)
            )
        self._whereabouts = Whereabouts(
            base.vault, shown.ours, reviewed.theirs.done(), self._contents.ident
        )
        if self._cards:
            self._cards.review(base.vault, shown.ours, reviewed)
        return shown, reviewed

    def _secret(self, path: str, data: bytes) -> str | None:
        hit = self._guard.check_incoming(path, data)
        return hit.reason if hit else None

    def _listing(self, commit: str | None) -> Listing:
        """What a commit of the hub holds, as this agent believes it."""
        return self._distrust.lay_over(self._commits.at(commit))

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
        self._contents.learn(base.vault, shown.ours, theirs)
        before = self._without_doubles(base.vault, shown.ours, theirs, progress)
        times = {change.path: float(c.time) for c in commits for change in c.changes}
        know = Knowledge(
            ident=self._contents.ident,
            read=self._contents.read,
            merge_text=self._git.merge_text,
            ours_time=snapshot.time_of,
            theirs_time=lambda path: times.get(path, 0.0),
            now=time.time(),
            find=self._contents.find,
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
            blobs = self._contents.read_all(step.new for step in steps if step.new)
            apply(self._vault, steps, blobs)

    def _without_doubles(
        self, base: PathMap, ours: PathMap, theirs: PathMap, progress: Progress
    ) -> PathMap:
        """The base for a merge in which two agents' work for one task does not meet.

        What must give way is told as if it had been there before, so that the other side's
        word on it (gone, or another text) simply holds.
        """
        if self._role is Role.LOCAL:
            double = second_plans(self._agent, base, ours, theirs, self._contents.read)
            return {**base, **double} if double else base
        base = lost_claims(self._agent, base, ours, theirs, self._contents.ident)
        lost = unowned(self._agent, base, ours, theirs, self._contents.ident)
        progress.withdrawn.update(lost)
        return {**base, **{path: ours[path] for path in lost}} if lost else base

    def _apply(self, plan: MergePlan, progress: Progress, snapshot: Snapshot) -> bool:
        """Bring the disk to the plan; False when somebody changed it in between."""
        self._git.write(list(plan.blobs.values()))
        blobs = self._contents.read_all(step.new for step in plan.steps if step.new)
        # The disk is about to change: whatever becomes of it, the next scan looks.
        self._scanner.look_again(p for s in plan.steps for p in (s.path, s.target) if p)
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
        self._scanner.look_again(path.rpartition("/")[0] for path in applied.disturbed)
        for path in applied.disturbed:
            if path not in snapshot.entries:  # a note that a person goes on saving is read again
                progress.strikes[path] = progress.strikes.get(path, 0) + 1
        in_the_way = {p for p in applied.disturbed if progress.strikes.get(p, 0) >= STRIKES}
        self._unwritten.add(dict.fromkeys(in_the_way, "something else stands in its place"))
        if set(applied.disturbed) - in_the_way:
            return False
        progress.conflicts.update(dict.fromkeys(plan.conflicts))
        return True

    def _as_far_as_written(self, base: Listing, snapshot: Snapshot) -> Listing:
        """What both sides had in common, with what an unfinished run has written since.

        Without this a note that a killed run had written, and that was then removed in the
        hub, would look like a new one of this disk, and come back.
        """
        begun = self._begun
        if begun in (None, self._base) or self._base is None:
            return base
        if not self._git.is_ancestor(self._base, begun):
            self._begun = None
            return base
        changes = changes_between(base.vault, self._listing(begun).vault)
        names: dict[str, str] = {}
        for path, entry in changes.items():
            known = entry or base.vault[path]
            # A move is one change: half of it would make the note new at its new place.
            names[path] = self._contents.ident(path, known)[0] if is_state_note(path) else path
        other = {
            names[path]
            for path, entry in changes.items()
            if snapshot.entries.get(path) != entry or path in snapshot.occupied
        }
        done = {path: entry for path, entry in changes.items() if names[path] not in other}
        return Listing(base.vault.updated(done), base.alien)

    def _leaks(self, changes: Mapping[str, Entry | None], snapshot: Snapshot, tip: Listing) -> bool:
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

    def _publish(
        self,
        tip: str,
        listing: Listing,
        changes: Mapping[str, Entry | None],
        progress: Progress,
        again: bool,
    ) -> bool:
        """Commit and push; False when somebody was first or the outcome is unknown."""
        if changes:
            changes, held = self._judging.outgoing(tip, changes)
            progress.held_back = [*progress.held_back, *held]
        if not changes and not again:
            return True
        commit = tip
        if changes:
            self._refused.check(changes)
            self._crash("before_commit")
            tree = self._trees.write(tip, changes)
            commit = self._git.commit(tree, [tip], _message(self._agent, changes))
        self._crash("before_push")
        push = self._git.push(f"{commit}:{MAIN}")
        if push.outcome is PushOutcome.REFUSED:
            error = refused(self._git.hub, push)
            self._refused.remember(changes, error.what, passing=push.passing)
            raise error
        if push.outcome is not PushOutcome.ACCEPTED:
            progress.lost = push.locked
            return False
        self._crash("after_push")
        if changes:
            gone = [path for path, entry in changes.items() if entry is None]
            alien = listing.alien.updated(dict.fromkeys(gone))
            self._commits.learn(commit, Listing(listing.vault.updated(changes), alien))
            self._refused.forget()
        progress.pushed.update(dict.fromkeys(changes))
        self._move_base(commit)
        self._crash("after_ref")
        return True

    def _move_base(self, commit: str) -> None:
        if commit == self._base:
            return
        self._git.update_refs((BASE, commit))
        self._base = commit
        now = time.monotonic()
        self._moved_at = (self._moved_at[0] if self._moved_at else now, now)

    def _step_at(self) -> float:
        """When the person's own git is to be brought into step; it costs what the vault holds."""
        assert self._moved_at is not None
        first, last = self._moved_at
        return min(first + UNCALM_SECONDS, last + CALM_SECONDS)

    def _step_along(self) -> None:
        assert self._base is not None
        self._moved_at = None
        with suppress(NightdeskError, OSError):  # sync rests on nothing of it
            if not step_along(self._git, self._base):  # a lock was in the way
                now = time.monotonic()
                self._moved_at = (now, now)

    def _may_claim_on(self, tip: str | None) -> bool:
        assert self._base is not None
        if tip is None or self._hub.compare(self._base, tip) is Line.BEHIND:
            return False
        if self._role is Role.LOCAL and self._settled != self._base:
            return False  # what was refused is not undone in the hub yet
        # What we sign, we have judged: nothing is built upon what must be undone first.
        return self._judging.is_clean(self._base, tip)


def _message(agent: str, changes: Mapping[str, Entry | None]) -> str:
    number = len(changes)
    return f"{agent}: {number} {'note' if number == 1 else 'notes'}"

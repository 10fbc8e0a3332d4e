"""The engine: one cycle after another, two disks become one vault (docs/design.md, section 4).

A cycle is: snapshot, fetch, gate, merge, apply, commit, push. `refs/nightdesk/base` is the
hub's commit that is completely merged into this disk; it moves when a merge is applied, and
again when our own commit was accepted. A run that is killed anywhere leaves the disk between
the two states, each file in one of them, and the next cycle comes to the same result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from nightdesk.config import SyncSettings
from nightdesk.errors import ConfigError, HubUnreachable, NightdeskError
from nightdesk.policy import Role
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.apply import Applied, apply
from nightdesk.sync.claiming import BATCH, back_off, claim_in_hub
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
from nightdesk.sync.entries import Commit, Entry, Refusal, printable
from nightdesk.sync.founding import create_root, join
from nightdesk.sync.gate import judge
from nightdesk.sync.git import Git, PushOutcome, refused
from nightdesk.sync.history import History
from nightdesk.sync.hub import Heartbeat, Hub, Line
from nightdesk.sync.limits import DeletionGuard, RefusedPush
from nightdesk.sync.merge import Knowledge, merge
from nightdesk.sync.overlay import Shown, Unwritten, show
from nightdesk.sync.pathmaps import Paths, changes_between
from nightdesk.sync.plan import MergePlan
from nightdesk.sync.report import CycleReport, Progress
from nightdesk.sync.review import CardReview, Renderer, Reviewed, drop_twins, undo_trespass
from nightdesk.sync.secrets import Guard
from nightdesk.sync.snapshot import Scanner, Snapshot
from nightdesk.sync.trees import Trees
from nightdesk.vault import claims

__all__ = ["CycleReport", "Engine", "create_root", "is_running", "join"]

PUSHED = "refs/nightdesk/pushed"
"""The commit that we pushed last, or tried to: it is ours by its id, so the gate skips it."""

LOCK = "sync.lock"
ATTEMPTS = 12
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
        self._crash = crash
        self._git = Git(vault, state, hub, agent)
        self._one_at_a_time = threading.RLock()
        self._open = ExitStack()
        self._base: str | None = None
        self._tip: Paths[Entry] = Paths()
        self._last_full = 0.0
        self._take: Callable[[], frozenset[str] | None] | None = None
        self._next_walk = 0.0
        self._moved_at: tuple[float, float] | None = None

    def open(self) -> None:
        """Take the vault's lock and check the clone.

        Raises:
            NightdeskError: another agent has the vault or the state folder.
            ConfigError: the vault is no clone of this hub.
            SyncHalted: a merge or rebase of the person's is open.
            VaultUnavailable: the folder is missing.
        """
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
            self._deletions = DeletionGuard(self._state, self._settings.max_deletions)
            self._refused = RefusedPush(self._state / "refused-push")
            step_along(git, self._base)
            self._open = opening.pop_all()

    def close(self) -> None:
        """Give the locks back, with the person's own git in step."""
        with self._one_at_a_time:
            self._take = None
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
            self._take = take
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
            VaultUnavailable: the folder is missing, empty, full or read-only.
        """
        with self._one_at_a_time:
            due = time.monotonic() - self._last_full > self._settings.full_scan_seconds
            full = full or due or not self._last_full
            progress = Progress()
            try:
                for attempt in range(ATTEMPTS):
                    if self._attempt(progress, full=full and attempt == 0):
                        break
                    back_off(attempt)
                else:
                    progress.offline = progress.offline or "the hub is busy; the next cycle goes on"
            finally:
                self._contents.forget()
            if full:
                self._last_full = time.monotonic()
            if self._moved_at and time.monotonic() >= self._step_at():
                self._step_along()
            return progress.report(self._base)

    def claim(self, paths: Sequence[str]) -> list[str]:
        """Claim tasks: a commit that only moves files, accepted by the hub.

        The rule: docs/design.md, section 3.

        Args:
            paths: vault-relative, in `Needs_Action/`; what the hub does not hold there (not
                synced yet, a local-only zone) is not claimed.

        Returns:
            The new paths of those that were won, are confirmed in the hub, and have been moved
            on this disk. A lost race is no error.

        Raises:
            HubUnreachable: no answer. A claim that did arrive comes back with a later cycle, as
                a move into this agent's own folder.
            HubRefused: the hub declined.
        """
        won: list[str] = []
        with self._one_at_a_time:
            for start in range(0, len(paths), BATCH):
                moves = claim_in_hub(
                    paths[start : start + BATCH],
                    self._agent,
                    git=self._git,
                    hub=self._hub,
                    trees=self._trees,
                    entries_at=lambda commit: self._commits.at(commit).vault,
                    may_claim_on=self._may_claim_on,
                )
                self._scanner.look_again([*moves, *moves.values()])
                for path in moves:
                    moved = claims.claim(self._vault, path, self._agent)
                    if moved:
                        won.append(moved)
        return won

    def beat(self, status: Mapping[str, str]) -> None:
        """Move `refs/heartbeat/<agent>` in the hub.

        Args:
            status: few short texts, at most 4 KiB as JSON.

        Raises:
            HubUnreachable: it did not arrive; the next one makes up for it.
            HubRefused: the hub said no.
        """
        with self._one_at_a_time:
            self._hub.beat(status)

    def heartbeat(self, agent: str) -> Heartbeat | None:
        """The last fetched heartbeat of an agent; None when there never was one."""
        with self._one_at_a_time:
            return self._hub.heartbeat(agent)

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
        base = self._commits.at(self._base)
        snapshot = self._look(base, full=full)
        progress.held_back = list(snapshot.held)
        self._unwritten.settle(snapshot.entries, base.vault)
        self._contents.learn(base.vault)
        self._history.keep(self._base, base.vault, snapshot.entries.updated(snapshot.waiting))
        self._crash("after_snapshot")
        progress.offline = ""
        try:
            tip = self._hub.fetch()
        except HubUnreachable as e:
            progress.offline = str(e)
            return True
        self._crash("after_fetch")
        assert self._base is not None
        line = self._hub.compare(self._base, tip)
        if line is Line.BEHIND:
            if tip is None and self._role is Role.CLOUD:
                progress.offline = "the hub is empty; the laptop's next sync fills it again"
                return True
            tip = self._base
        assert tip is not None
        listing = self._commits.at(tip)
        self._tip = listing.vault
        commits = self._git.log(self._base, tip) if tip != self._base else []
        shown, reviewed = self._review(snapshot, base, listing, commits)
        progress.refused.update(dict.fromkeys(reviewed.refusals))
        plan = self._merge(snapshot, base, shown, reviewed, commits)
        changes = changes_between(listing.vault, plan.tree)
        if self._role is Role.LOCAL:
            changes.update({path: None for path in listing.alien if path not in plan.tree})
        self._deletions.check(plan.steps, shown.ours, changes, listing.vault)
        self._crash("after_merge")
        if not self._apply(plan, progress):
            return False
        self._move_base(tip)
        done = self._publish(tip, listing, plan, changes, progress, line is Line.BEHIND)
        if done:
            self._deletions.used()
            progress.refused.update(
                dict.fromkeys(
                    Refusal(printable(path), f"it cannot be written here: {reason}")
                    for path, reason in self._unwritten.reasons.items()
                )
            )
        return done

    def _look(self, base: Listing, *, full: bool) -> Snapshot:
        """Look at the disk: where the watcher points, or everywhere when it cannot tell."""
        changed = self._take() if self._take else None
        start = time.monotonic()
        if full or start > self._next_walk:
            changed = None
        snapshot = self._scanner.scan(base.vault, full=full, changed=changed)
        if changed is None:
            now = time.monotonic()
            self._next_walk = now + max(30.0, (now - start) / WALK_SHARE)
        return snapshot

    def _review(
        self, snapshot: Snapshot, base: Listing, tip: Listing, commits: Sequence[Commit]
    ) -> tuple[Shown, Reviewed]:
        ours_known = self._git.resolve(PUSHED) if commits else None
        verdict = judge([c for c in commits if c.oid != ours_known], self._role)
        if commits or snapshot.waiting:
            disk = snapshot.entries.updated(snapshot.waiting)
            self._contents.learn(base.vault, tip.vault, disk)
        shown = show(
            snapshot,
            base.vault,
            tip.vault,
            self._contents.ident,
            self._contents.find,
            self._contents.named,
            self._unwritten.reasons,
        )
        reviewed = undo_trespass(verdict, base.vault, shown.ours, tip.vault, self._contents)
        if self._role is Role.LOCAL:
            drop_twins(base.vault, shown.ours, reviewed, self._contents)
        if self._cards:
            self._cards.review(base.vault, shown.ours, reviewed)
        return shown, reviewed

    def _merge(
        self,
        snapshot: Snapshot,
        base: Listing,
        shown: Shown,
        reviewed: Reviewed,
        commits: Sequence[Commit],
    ) -> MergePlan:
        theirs = reviewed.theirs.done()
        if shown.ours == base.vault and theirs == base.vault:
            return MergePlan(base.vault)
        self._contents.learn(base.vault, shown.ours, theirs)
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
            base.vault,
            shown.ours,
            theirs,
            ours_is=self._role,
            know=know,
            frozen=shown.frozen,
            absent=shown.absent,
            occupied=snapshot.occupied,
        )

    def _apply(self, plan: MergePlan, progress: Progress) -> bool:
        """Bring the disk to the plan; False when somebody changed it in between."""
        self._git.write(list(plan.blobs.values()))
        blobs = self._contents.read_all(step.new for step in plan.steps if step.new)
        # The disk is about to change: whatever becomes of it, the next scan looks.
        self._scanner.look_again(p for s in plan.steps for p in (s.path, s.target) if p)
        applied: Applied = apply(
            self._vault,
            self._git.folder / "nightdesk-trash",
            plan.steps,
            blobs,
            lambda: self._crash("during_apply"),
        )
        self._crash("after_apply")
        progress.pulled.update(dict.fromkeys(applied.paths))
        self._unwritten.add(applied.unwritable)
        self._scanner.look_again(path.rpartition("/")[0] for path in applied.disturbed)
        for path in applied.disturbed:
            progress.strikes[path] = progress.strikes.get(path, 0) + 1
        in_the_way = {p for p in applied.disturbed if progress.strikes[p] >= STRIKES}
        self._unwritten.add(dict.fromkeys(in_the_way, "something else stands in its place"))
        if set(applied.disturbed) - in_the_way:
            return False
        progress.conflicts.update(dict.fromkeys(plan.conflicts))
        return True

    def _publish(
        self,
        tip: str,
        listing: Listing,
        plan: MergePlan,
        changes: Mapping[str, Entry | None],
        progress: Progress,
        again: bool,
    ) -> bool:
        """Commit and push; False when somebody was first or the outcome is unknown."""
        if not changes and not again:
            return True
        commit = tip
        if changes:
            self._refused.check(changes)
            self._crash("before_commit")
            tree = self._trees.write(tip, changes)
            commit = self._git.commit(tree, [tip], _message(self._agent, changes))
            self._git.update_refs((PUSHED, commit))
        self._crash("before_push")
        push = self._git.push(f"{commit}:{MAIN}")
        if push.outcome is PushOutcome.REFUSED:
            error = refused(self._git.hub, push)
            self._refused.remember(changes, error.what)
            raise error
        if push.outcome is not PushOutcome.ACCEPTED:
            return False
        self._crash("after_push")
        if changes:
            gone = [path for path, entry in changes.items() if entry is None]
            alien = listing.alien.updated(dict.fromkeys(gone))
            self._commits.learn(commit, Listing(Paths.of(plan.tree), alien))
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
            step_along(self._git, self._base)

    def _may_claim_on(self, tip: str | None) -> bool:
        assert self._base is not None
        return self._hub.compare(self._base, tip) is not Line.BEHIND


def _message(agent: str, changes: Mapping[str, Entry | None]) -> str:
    number = len(changes)
    return f"{agent}: {number} {'note' if number == 1 else 'notes'}"

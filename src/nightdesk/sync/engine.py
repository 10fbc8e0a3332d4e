"""The engine: one cycle after another, two disks become one vault (docs/design.md, section 4).

It takes the vault's locks, goes through cycles (`sync.cycle`) until one is done, claims, and
gives signs of life; all of it one at a time.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from nightdesk.config import SyncSettings
from nightdesk.errors import ConfigError, NightdeskError
from nightdesk.policy import Role
from nightdesk.sync.access import Access
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.claiming import BATCH, Claiming, back_off
from nightdesk.sync.clone import BASE, check_clone, lock, remove_own_locks
from nightdesk.sync.cycle import Cycle
from nightdesk.sync.founding import create_root, join
from nightdesk.sync.gate import judge
from nightdesk.sync.git import Git
from nightdesk.sync.held_back import HeldBackFile
from nightdesk.sync.hub import Heartbeat
from nightdesk.sync.judging import Judge
from nightdesk.sync.report import CycleReport, Progress
from nightdesk.sync.returning import return_in_hub
from nightdesk.sync.review import Renderer
from nightdesk.sync.secrets import Guard
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import KEY_FILE, signing_key
from nightdesk.sync.storage import told_of_disks, unavailable
from nightdesk.sync.upkeep import Upkeep
from nightdesk.vault import claims
from nightdesk.vault.files import move

__all__ = ["CycleReport", "Engine", "create_root", "is_running", "join"]

LOCK = "sync.lock"
ATTEMPTS = 12
ROUND_SECONDS = 900.0
"""No cycle lasts longer, however many single calls stay within their own deadlines."""


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
        self._is_open = False
        self._last_full = 0.0

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
            base = self._git.resolve(BASE)
            if base is None:
                raise ConfigError(
                    "the vault was never in step with the hub",
                    remedy="Run `init` of the same command again; it goes on where it stopped",
                    where=str(self._vault),
                )
            self._cycle = Cycle(
                self._vault,
                self._state,
                self._git,
                self._role,
                self._agent,
                base,
                signing_key(self._state, self._agent),
                max_deletions=self._settings.max_deletions,
                guard=self._guard,
                incoming=self._incoming,
                withhold=self._withhold,
                trust=self._trust,
                gate=self._gate,
                crash=self._crash,
            )
            self._claiming = Claiming(
                self._agent,
                git=self._git,
                hub=self._cycle.hub,
                trees=self._cycle.trees,
                entries_at=lambda commit: self._cycle.listing(commit).vault,
                may_claim_on=self._cycle.may_claim_on,
            )
            self._held = HeldBackFile(self._state)
            self._upkeep = Upkeep(self._git, self._role)
            self._open = opening.pop_all()
            self._is_open = True

    def close(self) -> None:
        """Give the locks back, with the person's own git in step."""
        with self._one_at_a_time:
            if self._is_open and self._cycle.in_step.due() is not None:
                self._cycle.in_step.step()
            self._is_open = False
            self._open.close()

    def watched(self, take: Callable[[], frozenset[str] | None]) -> None:
        """Look only at what a watcher tells, from the next cycle on.

        Args:
            take: the paths that changed since it was last called, and None where the watcher
                cannot tell: then the whole vault is listed, as it is without a watcher. They
                are hints; a lost one is found by the next full scan, or earlier.
        """
        with self._one_at_a_time:
            self._cycle.changed = take
            self._cycle.next_walk = 0.0

    def due(self) -> float | None:
        """Seconds until a cycle has something to do by itself; None where nothing is left."""
        return self._cycle.in_step.due()

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
                    if self._cycle.attempt(progress, full=full and attempt == 0):
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
                self._cycle.contents.forget()
            if full:
                self._last_full = time.monotonic()
            self._claiming.hub_stands_at(self._cycle.settled)
            if self._cycle.in_step.due() == 0.0:
                self._cycle.in_step.step()
            self._upkeep.after_cycle(pushed=bool(progress.pushed))
            self._held.keep(progress.held_back)
            return progress.report(self._cycle.base)

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
                self._cycle.scanner.look_again([*moves, *moves.values()])
                return claims.claim_all(self._vault, moves, self._agent)
            for start in range(0, len(paths), BATCH):
                moves = self._claiming.claim(paths[start : start + BATCH])
                self._cycle.scanner.look_again([*moves, *moves.values()])
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
            base = self._cycle.base
            if self._cycle.settled != base:
                return []  # what was refused is not undone in the hub yet
            commit, done = return_in_hub(
                moves,
                owner,
                silent_for,
                agent=self._agent,
                git=self._git,
                hub=self._cycle.hub,
                trees=self._cycle.trees,
                merged=base,
                held=self._cycle.listing(base).vault,
                ident=self._cycle.contents.ident,
            )
            back = [
                target
                for source, target in done.items()
                if move(self._vault / source, self._vault / target)
            ]
            if len(back) == len(done):
                # At once, so that an agent that wakes and claims anew is not taken for one
                # whose claim this disk has yet to give back.
                self._cycle.move_base(commit)
                self._cycle.settled = commit
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
            self._cycle.hub.beat({key: self._guard.clean(text) for key, text in status.items()})

    def heartbeat(self, agent: str) -> Heartbeat | None:
        """The last fetched heartbeat of an agent; None when there never was one."""
        with self._one_at_a_time:
            return self._cycle.hub.heartbeat(agent)

    def reached(self) -> bool:
        """Whether the hub has answered a fetch since `open`."""
        with self._one_at_a_time:
            return self._cycle.hub.reached

    def agents(self) -> list[str]:
        """Everybody who ever gave a sign of life, by name."""
        with self._one_at_a_time:
            return self._cycle.hub.agents()

    def whereabouts(self, task: str) -> frozenset[str]:
        """Where a task lies by this disk's word and the hub's, while a cycle judges a new card.

        Args:
            task: the task's id.

        Returns:
            Vault-relative paths: where somebody moved it since both were in step, or where it
            has been all along. "" stands for a removal; empty where nobody knows it.
        """
        with self._one_at_a_time:
            return self._cycle.whereabouts.of(task)

    def note_in_hub(self, name: str) -> tuple[str, bytes] | None:
        """A note in a state folder as the hub last showed it: its path and bytes, or None.

        For the card renderer, which is asked before the task of a new card is on the disk.

        Args:
            name: file name, with `.md`.
        """
        with self._one_at_a_time:
            return self._cycle.note_in_hub(name)

"""The laptop's agent: carries out approvals, shows what waits, keeps the dashboard.

Approvals come first in every pass and need no hub: they work with the network gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from nightdesk.errors import (
    ClaimLost,
    HubRefused,
    HubUnreachable,
    NightdeskError,
    NotSent,
    PolicyDenied,
    SyncHalted,
    Transient,
    VaultUnavailable,
)
from nightdesk.local_agent import silent
from nightdesk.local_agent.dashboard import Attention, Health, moment, render
from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.folders import make_folders
from nightdesk.local_agent.hub_memory import HubMemory
from nightdesk.local_agent.inbox import take_in
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.review import Reviewer
from nightdesk.local_agent.round import PassReport
from nightdesk.local_agent.sending import Sender
from nightdesk.local_agent.skills import HANDLERS
from nightdesk.local_agent.states import State
from nightdesk.local_agent.updates import UpdateLog
from nightdesk.local_agent.view import attention, gather, keep_attention
from nightdesk.policy import Role, Zone
from nightdesk.runtime.command import Desk
from nightdesk.runtime.desk import check_vault, drafting_for, engine_for
from nightdesk.skills.drafting import asked_again, tell_failure, wants_draft
from nightdesk.skills.manifest import load_skills, skills_root
from nightdesk.skills.registry import Registry
from nightdesk.skills.shared import claimable
from nightdesk.sync.engine import CycleReport
from nightdesk.sync.entries import Refusal
from nightdesk.sync.hub import Heartbeat
from nightdesk.vault import claims, files
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.files import move
from nightdesk.vault.layout import DASHBOARD, Folder, done_path
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.updates import Update

log = structlog.get_logger()

_QUIET_PATHS = (DASHBOARD, "Logs/")
"""Written by Local in answer to changes; they are no news themselves."""


def _now() -> datetime:
    return datetime.now(UTC)


class LocalAgent:
    """The laptop half of the desk.

    Args:
        desk: settings, vault and state folder.
        clock: the present moment, UTC.
    """

    def __init__(self, desk: Desk, clock: Callable[[], datetime] = _now) -> None:
        self._desk = desk
        self._vault = desk.vault
        self._clock = clock
        self._registry = Registry(Role.LOCAL, load_skills(skills_root()), HANDLERS)
        self.journal = Journal(desk.state / "journal.sqlite")
        self._sender = Sender(desk)
        self._caught_up = False
        self._executor = Executor(
            self.journal,
            desk.vault,
            desk.settings,
            self._send,
            clock=clock,
            probe=self._probe,
            in_touch=lambda: self._caught_up,
        )
        self._reviewer = Reviewer(self.journal, desk.vault, desk.settings, clock=clock)
        self.engine = engine_for(
            desk, incoming=self._reviewer.incoming, withhold=self._executor.withhold
        )
        self._reviewer.in_hub = self.engine.note_in_hub
        self._reviewer.whereabouts = self.engine.whereabouts
        self._memory = HubMemory(self.journal, self.engine, desk.settings.name)
        self._drafting = drafting_for(desk, clock)
        self._updates = UpdateLog(desk.state)
        self._sync_state = Health("Hub", well=True, state="not asked yet")
        self._last_change: datetime | None = None
        self._troubles: dict[str, list[Attention]] = {}
        self._given_up: dict[str, tuple[bytes, Attention]] = {}
        self._offline = ""
        self._next_step: float | None = None
        self._look_again: float | None = None

    def open(self) -> None:
        """Take the vault, and look at what a crash may have left in doubt."""
        self.engine.open()
        self._tell(self._executor.recover())
        if self._desk.settings.email.smtp:
            self._sender.warm_up()

    def close(self) -> None:
        """Let go of everything."""
        self._executor.close()
        self._sender.close()
        self.engine.close()
        self.journal.close()

    def one_pass(self) -> float:
        """Execute, take in, sync, review, plan, show.

        Returns:
            Seconds until the next pass is due without any signal.
        """
        check_vault(self._vault)
        self._troubles["folders"] = [attention(e) for e in make_folders(self._vault)]
        pauses = [self._desk.settings.hub.poll_seconds]
        self._execute(pauses)
        _, refused, soonest = take_in(self._vault)
        self._troubles["inbox"] = [attention(e) for e in refused]
        if soonest is not None:
            pauses.append(soonest)
        self._reviewer.adopt_pending()
        caught_up = self._caught_up
        halted = self._sync()
        if self._caught_up and not caught_up:
            self._execute(pauses)  # what waited for the hub's word
        if not halted and not self._offline:
            self._return_claims()
        _, broken = self._registry.run("local-merge-updates", log=self._updates, vault=self._vault)
        self._troubles["updates"] = [attention(e) for e in broken]
        self._plan_requests()
        self._show()
        if not halted:
            self._sync()
            self._show()
        if not self._offline and (wait := self._memory.tell_when_due()):
            pauses.append(wait)
        if self._look_again is not None:
            pauses.append(self._look_again)
        if (settled := self.engine.due()) is not None:
            pauses.append(settled)
        return max(0.05, min(pauses))

    def _execute(self, pauses: list[float]) -> None:
        report: PassReport = self._registry.run(
            "local-execute-approved", executor=self._executor, now=self._clock()
        )
        self._tell(report)
        self._troubles["held"] = [Attention(name, why) for name, why in report.held.items()]
        if report.approved or report.notices:
            self._show()  # before the hub is asked: the hold is short
        self._next_step = report.waiting_until
        if report.waiting_until is not None:
            pauses.append(report.waiting_until)

    def _compare(self) -> None:
        """After a fetch: is this journal as new as the hub remembers it?"""
        if not self.engine.reached():
            return
        self._memory.compare(self._take_back)
        self._caught_up = True

    def _take_back(self, why: str) -> None:
        log.warning("the journal is not what the hub remembers", why=why)
        self._tell(self._executor.take_back(why))

    def _tell(self, report: PassReport) -> None:
        for action_id in report.approved:
            log.info("approved", card=action_id)
        for action_id in report.acted:
            log.info("executed", card=action_id)
        for line in report.notices:
            self._keep_news(line)
        for line in (*report.notices, *report.refused):
            log.warning("needs a look", what=line)

    def _send(self, tool: str, arguments: dict[str, Any], action_id: str) -> dict[str, Any]:
        """The executor's one call: only a tool that its skill names, through the MCP server."""
        try:
            self._registry.allow_tool(self._registry.get("local-execute-approved"), tool)
        except PolicyDenied as e:
            raise NotSent(e.what, remedy=e.remedy) from e
        self._memory.hurry()
        return self._sender(tool, arguments, action_id)

    def _probe(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The executor's look whether something happened: a tool that only reads."""
        self._registry.allow_tool(self._registry.get("local-execute-approved"), tool)
        return self._sender.ask(tool, arguments)

    def interrupt(self) -> None:
        """End a talk with a hub that does not answer; called from a signal handler."""
        self.engine.interrupt()

    def offline(self) -> str:
        """Why the hub could not be reached in the last pass, or ""."""
        return self._offline

    def unsettled(self) -> float | None:
        """Seconds until an approval's quiet period or hold is over; None where none runs."""
        approval = self._desk.settings.approval
        soon = approval.quiet_seconds + approval.hold_seconds + 1.0
        if self._next_step is None or self._next_step > soon:
            return None
        return self._next_step

    def _sync(self) -> bool:
        """One cycle; returns whether sync is halted until a person has looked."""
        try:
            report: CycleReport = self._registry.run("sync-vault", engine=self.engine)
        except SyncHalted as e:
            log.error("sync is halted", what=e.what, where=e.where, remedy=e.remedy)
            self._sync_state = Health("Sync", well=False, state=f"halted: {e.what}. {e.remedy}")
            self._compare()
            return True
        except (Transient, VaultUnavailable):
            raise
        except NightdeskError as e:
            log.error("sync failed", what=e.what, remedy=e.remedy)
            self._sync_state = Health("Sync", well=False, state=str(e))
            self._compare()
            return True
        self._offline = report.offline
        self._compare()
        if report.changed:
            log.info("synced", pulled=len(report.pulled), pushed=len(report.pushed))
        if report.offline:
            if self._sync_state.well:
                since = moment(self._clock())
                state = f"the hub cannot be reached since {since}; work goes on, sync catches up"
                self._sync_state = Health("Sync", well=False, state=state)
        else:
            moved = [p for p in (*report.pulled, *report.pushed) if not p.startswith(_QUIET_PATHS)]
            if moved:
                self._last_change = self._clock()
            last = f"last change {moment(self._last_change)}" if self._last_change else "up to date"
            self._sync_state = Health("Sync", well=True, state=last)
        self._troubles["held back"] = [
            Attention(
                h.path, f"{f'line {h.line}: ' if h.line else ''}stays on this laptop: {h.reason}"
            )
            for h in report.held_back
        ]
        for refusal in report.refused:
            self._tell_refusal(refusal, report.tip)
        if not report.offline:
            closed = self._executor.notice_deleted(
                lambda name: self.engine.note_in_hub(name) is not None
            )
            self._tell(closed)
            self._look_again = closed.waiting_until
        self._troubles["conflicts"] = [
            Attention(path, "two versions met; the other one is kept in this copy")
            for path in report.conflicts
        ] or self._troubles.get("conflicts", [])
        return False

    def _tell_refusal(self, refusal: Refusal, tip: str) -> None:
        # The next cycle has undone it and says nothing more, so it is kept here.
        log.warning("refused from the hub", path=refusal.path, why=refusal.reason)
        text = f"Refused from the hub: {refusal.path}: {refusal.reason}"
        self._keep_news(text, about=refusal.path, problem=True, seed=tip)

    def _keep_news(
        self, text: str, *, about: str = "", problem: bool = False, seed: str = ""
    ) -> None:
        now = self._clock()
        digest = hashlib.sha256(f"{text}\0{seed or f'{now:%Y%m%d%H%M}'}".encode()).hexdigest()
        name = self._desk.settings.name
        self._updates.add(Update(f"{name}-{digest[:16]}", name, now, text, problem, about))

    def _plan_requests(self) -> None:
        tasks, _ = claimable(self._vault, Role.LOCAL, self._desk.settings.name)
        paths = [path for path, task in tasks if task.zone is Zone.GENERAL]
        if paths:
            try:
                self._registry.run("claim-task", engine=self.engine, paths=paths)
            except HubUnreachable:
                # Without the hub the laptop goes on by itself; the merge decides later.
                for path in paths:
                    claims.claim(self._vault, path, self._desk.settings.name)
            except (HubRefused, SyncHalted) as e:
                # Sync has told it, or will; the tasks wait, and the rest of the pass goes on.
                log.warning("claims wait for a person", why=e.what, remedy=e.remedy)
        mine = f"{Folder.IN_PROGRESS}/{self._desk.settings.name}"
        troubles: list[Attention] = []
        for place in notes_in(self._vault, mine):
            try:
                data = read(self._vault, place.path)
                given_up, trouble = self._given_up.get(place.name, (b"", None))
                if trouble and given_up == data:
                    troubles.append(trouble)  # told already; a changed note is tried again
                    continue
                task = read_task(data, place.path)
                if not wants_draft(self._vault, task):
                    continue
                if not self._may_draft(task):
                    continue
                cards = self._registry.run(
                    "plan-request", desk=self._drafting, task=task, claim=place.path
                )
            except (FileNotFoundError, ClaimLost):
                continue  # it has moved: it is no longer ours
            except Transient:
                raise
            except NightdeskError as e:
                troubles.append(attention(e, place.path))
                tell_failure(self._drafting, place.stem, e)
                self._given_up[place.name] = (data, troubles[-1])
                continue
            if not cards:
                done = done_path(task.id, self._clock())
                move(self._vault / place.path, self._vault / done)
        self._troubles["plans"] = troubles
        self._reviewer.adopt_pending()

    def _may_draft(self, task: Task) -> bool:
        """Whether no card of a task is still being settled: one may just have been deleted."""
        rows = self.journal.rows(task=task.id)
        if rows and not asked_again(task):
            return False
        return all(row.state is State.DONE or row.projected for row in rows)

    def _show(self) -> None:
        check_vault(self._vault)  # it may have gone since the pass began
        view = gather(
            self._vault,
            self.journal,
            updates=self._updates.newest(),
            troubles=[a for found in self._troubles.values() for a in found],
            health=(
                Health(f"Laptop ({self._desk.settings.name})", well=True, state="working"),
                self._sync_state,
                *silent.health(self._beats(), self._desk.settings.sync),
            ),
            now=self._clock(),
            hold_seconds=self._desk.settings.approval.hold_seconds,
        )
        keep_attention(self._desk.state, view.attention)
        try:
            files.write(self._vault / DASHBOARD, render(view))
        except OSError as e:
            raise VaultUnavailable(
                f"the dashboard cannot be written ({e.strerror})",
                remedy="It must be an ordinary file in a vault that you may write",
                where=str(self._vault / DASHBOARD),
            ) from e

    def _beats(self) -> list[Heartbeat]:
        return silent.others(self.engine, self._desk.settings.name)

    def _return_claims(self) -> None:
        try:
            for line in silent.return_claims(
                self.engine, self._vault, self.journal, self._beats(), self._desk.settings.sync
            ):
                log.warning("claims returned", what=line)
                self._keep_news(line)
        except HubUnreachable as e:
            log.info("claims not returned", why=e.what)

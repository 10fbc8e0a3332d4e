"""The cloud agent: reads mail, claims tasks, drafts, reports. One pass does all of it once.

Level-triggered: what to do is read from the folders, so a restart is never special.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from nightdesk.cloud_agent.mail_watcher import MailWatcher
from nightdesk.cloud_agent.seen import Seen
from nightdesk.cloud_agent.skills import HANDLERS
from nightdesk.errors import (
    ClaimLost,
    HubRefused,
    HubUnreachable,
    NightdeskError,
    SyncHalted,
    Transient,
)
from nightdesk.policy import Role, Zone
from nightdesk.runtime.command import Desk
from nightdesk.runtime.desk import check_vault, drafting_for, engine_for, guard_for
from nightdesk.skills.drafting import Drafting, tell_failure, wants_draft
from nightdesk.skills.manifest import load_skills, skills_root
from nightdesk.skills.registry import Registry
from nightdesk.skills.shared import claimable
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.files import move
from nightdesk.vault.layout import Folder, Place, done_path
from nightdesk.vault.scan import notes_in, read

log = structlog.get_logger()

HEARTBEAT_SECONDS = 60.0
WORK_SECONDS = 20.0
"""After so long at drafting, what is done is pushed and the claims are looked at again."""


def _now() -> datetime:
    return datetime.now(UTC)


class CloudAgent:
    """The cloud half of the desk.

    Args:
        desk: settings, vault and state folder.
        clock: the present moment, UTC.
    """

    def __init__(self, desk: Desk, clock: Callable[[], datetime] = _now) -> None:
        self._desk = desk
        self._clock = clock
        self._registry = Registry(Role.CLOUD, load_skills(skills_root()), HANDLERS)
        guard = guard_for(desk)
        self.engine = engine_for(desk, guard=guard)
        self._drafting: Drafting = drafting_for(
            desk, clock, partial(self._registry.run, "cloud-write-update")
        )
        mail = desk.settings.email
        self._watcher = (
            MailWatcher(mail, desk.vault, desk.state, clock, guard.redact) if mail.maildir else None
        )
        # A card may be deleted or refused on the laptop: the same round is never drafted twice.
        self._drafted = Seen(desk.state / "seen.sqlite", "drafted")
        self._offline = ""
        self._next_mail = 0.0
        self._given_up: dict[str, bytes] = {}
        self._next_beat = 0.0
        self._more_work = False

    def open(self) -> None:
        """Take the vault; nothing is changed in it yet."""
        self.engine.open()

    def close(self) -> None:
        """Let go of everything."""
        self._drafted.close()
        if self._watcher:
            self._watcher.close()
        self.engine.close()

    def one_pass(self) -> float:
        """Read mail, sync, claim, draft, sync again.

        Returns:
            Seconds until the next pass is due without any signal.
        """
        check_vault(self._desk.vault)
        mail_trouble = self._read_mail()
        self._sync()
        # Before it claims: silence is measured from a sign of life, and ends with one.
        self._beat(mail_trouble)
        if not self._offline:
            self._claim()
        if self._work(mail_trouble):
            self._sync()
        if mail_trouble:
            raise mail_trouble
        return self._pause()

    def _sync(self) -> None:
        report = self._registry.run("sync-vault", engine=self.engine)
        self._offline = report.offline
        if report.changed:
            log.info("synced", pulled=len(report.pulled), pushed=len(report.pushed))
        for task in sorted(set(report.withdrawn.values())):
            log.warning("a draft was withdrawn: its task is no longer ours", task=task)
            self._drafting.say(
                task=task,
                summary=f"Took back a draft for [[{task}]] that had not been shown yet: the task"
                " went back or was finished while the hub was out of reach",
                about=f"{task}-withdrawn",
            )

    def _read_mail(self) -> NightdeskError | None:
        # A look costs one directory listing, so every pass takes one; the time says only
        # when to look without having been woken.
        if not self._watcher:
            return None
        try:
            self._watcher.poll()
        except NightdeskError as e:
            self._next_mail = time.monotonic() + self._desk.settings.email.poll_seconds
            return e
        pause = 0.0 if self._watcher.more else self._desk.settings.email.poll_seconds
        self._next_mail = time.monotonic() + pause
        return None

    def interrupt(self) -> None:
        """End a talk with a hub that does not answer; called from a signal handler."""
        self.engine.interrupt()

    def offline(self) -> str:
        """Why the hub could not be reached in the last pass, or ""."""
        return self._offline

    def unsettled(self) -> float | None:
        """0 while mail or work is left for the next look, else None."""
        more_mail = self._watcher is not None and self._watcher.more
        return 0.0 if more_mail or self._more_work else None

    def _pause(self) -> float:
        if self._more_work:
            return 0.0
        due = [self._desk.settings.hub.poll_seconds, self._next_beat - time.monotonic()]
        if self._watcher:
            due.append(self._next_mail - time.monotonic())
        if (settled := self.engine.due()) is not None:
            due.append(settled)
        return max(0.0, min(due))

    def _claim(self) -> None:
        tasks, problems = claimable(self._desk.vault, Role.CLOUD, self._desk.settings.name)
        for problem in problems:
            log.debug("a note cannot be read", where=problem.where, what=problem.what)
        if not tasks:
            return
        # What is claimed anew is a new round, whatever was drafted before it went back.
        self._drafted.forget(drafted_key(task) for _, task in tasks)
        try:
            won = self._registry.run(
                "claim-task", engine=self.engine, paths=[path for path, _ in tasks]
            )
        except (HubUnreachable, HubRefused, SyncHalted) as e:
            log.warning("claims wait for the hub", why=e.what, remedy=e.remedy)
            return
        log.info("claimed", tasks=len(won), of=len(tasks))

    def _work(self, mail_trouble: NightdeskError | None) -> bool:
        worked = False
        self._more_work = False
        started = time.monotonic()
        for place in notes_in(self._desk.vault, f"{Folder.IN_PROGRESS}/{self._desk.settings.name}"):
            if worked:
                self._beat(mail_trouble)  # long work is no silence
            if worked and time.monotonic() - started > WORK_SECONDS:
                self._more_work = True
                break
            try:
                data = read(self._desk.vault, place.path)
            except FileNotFoundError:
                continue  # somebody moved it: it is no longer ours
            if self._given_up.get(place.name) == data:
                continue  # told already; a changed note is tried again
            try:
                worked |= self._draft(place, read_task(data, place.path))
            except Transient:
                raise
            except ClaimLost as e:
                log.warning("stopped work on a task", task=place.stem, why=e.what)
            except NightdeskError as e:
                log.error("a task could not be drafted", task=place.stem, what=str(e))
                tell_failure(self._drafting, place.stem, e)
                self._given_up[place.name] = data
                worked = True
        return worked

    def _draft(self, place: Place, task: Task) -> bool:
        key = drafted_key(task)
        if not wants_draft(self._desk.vault, task) or key in self._drafted:
            return False
        if task.zone is Zone.EMAIL and task.message_id:
            self._registry.run(
                "cloud-draft-email", desk=self._drafting, task=task, claim=place.path
            )
        elif not self._registry.run(
            "plan-request", desk=self._drafting, task=task, claim=place.path
        ):
            self._finish(place, task)
        self._drafted.add([key])
        return True

    def _finish(self, place: Place, task: Task) -> None:
        # A plan without a card needs nothing from Local; the task is done with its plan.
        done = done_path(task.id, self._clock())
        move(self._desk.vault / place.path, self._desk.vault / done)

    def _beat(self, trouble: NightdeskError | None) -> None:
        if self._offline or time.monotonic() < self._next_beat:
            return
        status = {"at": self._clock().isoformat(timespec="seconds"), "state": "well"}
        if trouble:
            status |= {"state": "trouble", "what": str(trouble)[:300]}
        try:
            self.engine.beat(status)
        except HubUnreachable as e:
            log.warning("the heartbeat did not reach the hub", what=e.what)
            return
        self._next_beat = time.monotonic() + HEARTBEAT_SECONDS


def drafted_key(task: Task) -> str:
    """Names one round of a task: the first draft, or the one that answers this feedback."""
    return f"{task.id}:{hashlib.sha256(task.feedback.encode()).hexdigest()[:16]}"

"""The executor: one approved card, one call, at most once (docs/design.md, section 6).

Each pass reads the folders and the journal afresh, so it may be killed anywhere. The rule
that everything rests on: INTENT is committed before the one call, and an INTENT that is
found later is never called again; the person is asked.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from nightdesk.config import Settings
from nightdesk.connectors.email.outgoing import message_id_for
from nightdesk.errors import NightdeskError, NotSent
from nightdesk.local_agent.answers import FEEDBACK_SECONDS, Answers
from nightdesk.local_agent.expiry import Expiry
from nightdesk.local_agent.intake import Intake
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.preflight import Preflight
from nightdesk.local_agent.projection import Projection, one_line
from nightdesk.local_agent.question import Questions
from nightdesk.local_agent.review import Reviewer, no_crash
from nightdesk.local_agent.round import PassReport, Round, Sightings
from nightdesk.local_agent.states import Event, State
from nightdesk.local_agent.superseded import Superseding
from nightdesk.vault.actions import Action
from nightdesk.vault.documents import stamp
from nightdesk.vault.layout import Folder, place_of
from nightdesk.vault.stopping import stop_notes

Send = Callable[[str, dict[str, Any], str], Mapping[str, Any]]
"""Carries out one action: tool ("email/send_email"), arguments, action id -> what came of it.

The result is that of the `send_email` tool: `outcome` is "accepted" (for at least one
recipient), "refused" (by all), "not_sent" or "unknown"; `recipients` maps each address to its
own `outcome` and `detail`; `detail` is the server's answer or the reason.
"""

_RETRY_SECONDS = 5.0

__all__ = ["Executor", "PassReport", "Send", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a call's result means for the action."""

    event: Event
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def judge(answer: object) -> Verdict:
    """Read the result of the one call; whatever is not clearly an outcome is in doubt."""
    if not isinstance(answer, Mapping):
        return Verdict(Event.DOUBT, "The answer of the sending tool could not be read")
    detail = one_line(answer.get("detail") or "")
    fates = answer.get("recipients")
    fates = fates if isinstance(fates, Mapping) else {}
    by_fate: dict[str, dict[str, str]] = {"accepted": {}, "refused": {}, "unknown": {}}
    for address, fate in fates.items():
        if isinstance(fate, Mapping):
            words = one_line(fate.get("detail") or "")
            by_fate.setdefault(str(fate.get("outcome")), {})[str(address)] = words
    result: dict[str, Any] = {"response": detail, "refused": by_fate["refused"]}
    match answer.get("outcome"):
        case "accepted":
            return Verdict(Event.CONFIRM, "", result)
        case "refused" | "not_sent" if not by_fate["accepted"] and not by_fate["unknown"]:
            return Verdict(Event.FAIL, detail or "The server refused it", result)
        case _:
            return Verdict(Event.DOUBT, detail or "No clear answer came", result)


class Executor:
    """Carries out what the person approved.

    Args:
        journal: its folder also holds `approved/`, the private copies.
        vault: the vault's root.
        send: carries out one action, see `Send`. Raises `NotSent` when it is certain that
            nothing left; any other exception counts as unknown.
        clock: the present moment, aware.
        ticks: monotonic seconds; quiet period and hold are measured by them, so that a
            changed clock neither shortens nor lengthens a hold.
        crash: called with the name of each crash point.
        feedback_seconds: how long a rejected card waits for feedback typed after the move.
    """

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        settings: Settings,
        send: Send,
        clock: Callable[[], datetime],
        crash: Callable[[str], None] = no_crash,
        *,
        ticks: Callable[[], float] = time.monotonic,
        feedback_seconds: float = FEEDBACK_SECONDS,
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._settings = settings
        self._send = send
        self._clock = clock
        self._crash = crash
        self._ticks = ticks
        self._alone: weakref.finalize[Any, Any] | None = None
        self._halted: set[str] = set()
        seen = Sightings()
        self._sightings = seen
        reviewer = Reviewer(journal, vault, settings, clock, crash)
        self._intake = Intake(journal, vault, settings, reviewer, seen, clock, crash)
        self._preflight = Preflight(journal, vault, settings, self._intake.copies)
        self._superseding = Superseding(journal, vault, self._intake, reviewer, clock)
        self._expiry = Expiry(journal, clock)
        self._projection = Projection(journal, vault, clock, crash)
        quiet = settings.approval.quiet_seconds
        self._questions = Questions(journal, vault, self._projection, clock, quiet, seen)
        self._answers = Answers(
            journal, settings, self._projection, self._intake, seen, clock, vault, feedback_seconds
        )

    def recover(self) -> PassReport:
        """Settle what an earlier process left behind; call it once at start.

        A begun call is in doubt and the person is asked; a claim without a call is released.

        Raises:
            NightdeskError: another executor of this laptop is running.
        """
        self._be_alone()
        turn = Round.begin(self._vault, self._ticks(), self._clock())
        self._settle_leftovers(turn)
        return turn.report()

    def close(self) -> None:
        """Let another executor run."""
        if self._alone:
            self._alone()
            self._alone = None

    def withhold(self, path: str) -> bool:
        """Whether sync must leave a file in Approved/ out of its snapshot for now.

        Args:
            path: vault-relative.
        """
        return self._intake.withhold(path)

    def pass_once(self, now: datetime | None = None) -> PassReport:
        """Look once and do what is due; call it again when something changes, or later.

        Args:
            now: the moment by which cards expire, aware; the present by default.
        """
        self._be_alone()
        turn = Round.begin(self._vault, self._ticks(), now or self._clock())
        self._settle_leftovers(turn)
        self._questions.answers(turn)
        self._intake.take(turn)
        self._answers.rejections(turn)
        self._superseding.withdraw(turn)
        self._expiry.expire(turn)
        for row in self._journal.rows({State.APPROVED}):
            if turn.due(self._intake.hold_ends(row, turn.now)):
                self._execute(row, turn)
        self._project(turn)
        self._forget(turn)
        return turn.report()

    def notice_deleted(self, in_hub: Callable[[str], bool]) -> PassReport:
        """Close cards that a person deleted; call it when disk and hub are in step.

        Args:
            in_hub: whether the hub holds a note in a state folder under this file name.
        """
        self._be_alone()
        turn = Round.begin(self._vault, self._ticks(), self._clock())
        self._answers.deleted(turn, in_hub)
        self._answers.settle(turn)
        return turn.report()

    # --- the effect ------------------------------------------------------------------------

    def _execute(self, row: Row, turn: Round) -> None:
        if names := stop_notes(self._vault):
            turn.stopped = True
            if row.id not in self._halted:
                what = "lies" if len(names) == 1 else "lie"
                told = f"{row.id} waits: {', '.join(names)} {what} in the vault. "
                turn.notices.append(told + "Remove it, or run `agent-local stop --off`, to go on.")
            self._halted.add(row.id)
            return
        self._halted.clear()
        if not self._intake.still_stands(row):
            turn.deadlines.append(turn.now)  # changed since the look: look again first
            return
        if self._expiry.stops(row, turn):
            return
        now = self._clock()
        try:
            flight = self._preflight.approved(row, now)
            self._preflight.check(flight)
        except NotSent as e:
            self._journal.change(row, Event.REFUSE, now, reason=str(e))
            turn.notices.append(f"{row.id} was not sent: {e}")
            return
        row = self._journal.change(row, Event.CLAIM, now)
        self._crash("K6")
        self._call(row, flight.card.action, turn)

    def _call(self, row: Row, action: Action, turn: Round) -> None:
        domain = self._settings.email.address.rpartition("@")[2]
        message_id = message_id_for(row.id, row.digest, domain)
        fields = action.model_dump(mode="json")
        recipients = [*fields.get("to", []), *fields.get("cc", [])]
        begun = self._clock()
        row = self._journal.change(
            row,
            Event.INTEND,
            begun,
            attempt=row.attempt + 1,
            message_id=message_id,
            result={"at": stamp(begun), "to": recipients},
        )
        turn.acted.append(row.id)
        self._crash("K7")
        try:
            verdict = judge(self._send(action.TOOL, {**fields, "message_id": message_id}, row.id))
        except NotSent as e:
            verdict = Verdict(Event.FAIL, str(e))
        except Exception as e:  # noqa: BLE001 - whatever it was, the message may have left
            verdict = Verdict(Event.DOUBT, str(e) or type(e).__name__)
        self._crash("K9")
        result = {**row.result, **verdict.result}
        row = self._journal.change(
            row, verdict.event, self._clock(), reason=verdict.reason, result=result
        )
        if verdict.event is Event.FAIL:
            turn.notices.append(f"{row.id} was not sent: {verdict.reason}")

    # --- what follows ----------------------------------------------------------------------

    def _settle_leftovers(self, turn: Round) -> None:
        for row in self._journal.rows({State.CLAIMED, State.INTENT}):
            if row.state is State.CLAIMED:
                detail = "an earlier run ended before the call"
                self._journal.change(row, Event.RELEASE, self._clock(), detail=detail)
            else:
                reason = "Nightdesk ended while it was being sent."
                self._journal.change(row, Event.DOUBT, self._clock(), reason=reason)
        for row in self._journal.rows({State.IN_DOUBT, State.HUMAN_DECIDES}):
            self._ask(row, turn)

    def _project(self, turn: Round) -> None:
        steps: dict[State, Callable[[Row], object]] = {
            State.CONFIRMED: self._projection.sent,
            State.FAILED_SAFE: self._failed,
            State.REFUSED: self._projection.returned,
            State.IN_DOUBT: lambda row: self._ask(row, turn),
        }
        for row in self._journal.rows(set(steps)):
            try:
                done = steps[row.state](row)
            except OSError as e:
                turn.notices.append(f"{row.id}: its note could not be written ({e}). Trying again.")
                done = False
            if done is False:
                turn.deadlines.append(turn.now + _RETRY_SECONDS)
        self._answers.settle(turn)

    def _failed(self, row: Row) -> bool:
        logged = self._projection.log(row, "not sent", [f"Why: {one_line(row.reason)}"])
        return logged and self._projection.returned(row)

    def _ask(self, row: Row, turn: Round) -> None:
        if row.state is State.IN_DOUBT:
            turn.asked.append(row.id)
            turn.notices.append(f"{row.id}: nobody can know whether it went out. Please look.")
        self._questions.ask(row, list(turn.everywhere()))

    def _forget(self, turn: Round) -> None:
        lying = {found.path: found.sha for found in turn.everywhere()}
        self._sightings.keep_only(set(lying))
        settled = []
        for refusal in self._journal.refusals(lasting=False):
            if place_of(refusal.path).folder not in {Folder.APPROVED, Folder.REJECTED}:
                continue
            key = (refusal.path, refusal.sha)
            gone = lying.get(refusal.path) != refusal.sha
            if gone or (key in turn.judged and key not in turn.still_refused):
                settled.append(refusal.path)
        if settled:
            self._journal.clear_refusals(settled, self._clock())

    def _be_alone(self) -> None:
        if self._alone:
            return
        path = self._journal.path.parent / "executor.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(handle)
            raise NightdeskError(
                "another agent-local is running on this laptop",
                remedy="Stop it first, or let it do the work",
                where=str(path),
            ) from e
        self._alone = weakref.finalize(self, os.close, handle)

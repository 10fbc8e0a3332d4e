"""The executor: one approved card, one call, at most once (docs/design.md, section 6).

Each pass reads the folders and the journal afresh, so it may be killed anywhere. The rule
that everything rests on: INTENT is committed before the one call, and an INTENT that is found
later is never called again; it is looked for, and the person is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from nightdesk.config import Settings
from nightdesk.errors import NotSent
from nightdesk.local_agent.alone import Alone
from nightdesk.local_agent.answers import FEEDBACK_SECONDS, Answers
from nightdesk.local_agent.calling import Caller, Send
from nightdesk.local_agent.doubt import Doubts
from nightdesk.local_agent.expiry import Expiry
from nightdesk.local_agent.intake import Intake
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.lookout import Lookout, Probe
from nightdesk.local_agent.preflight import Preflight
from nightdesk.local_agent.projection import Projection, attempt_lines
from nightdesk.local_agent.question import Questions
from nightdesk.local_agent.returning import Returning
from nightdesk.local_agent.review import Reviewer, no_crash
from nightdesk.local_agent.round import RETRY_SECONDS, PassReport, Round, Sightings
from nightdesk.local_agent.states import Event, State
from nightdesk.local_agent.superseded import Superseding
from nightdesk.vault.layout import Folder, place_of
from nightdesk.vault.stopping import stop_notes
from nightdesk.vault.temporary import sweep_private

__all__ = ["Executor", "PassReport", "Probe", "Send"]


class Executor:
    """Carries out what the person approved.

    Args:
        journal: its folder also holds `approved/`, the private copies.
        vault: the vault's root.
        send: carries out one action, see `calling.Send`.
        clock: the present moment, aware.
        crash: called with the name of each crash point.
        probe: looks for an effect, see `lookout.Probe`; None where nothing can look.
        ticks: monotonic seconds; quiet period, hold and looks are measured by them, so that a
            changed clock neither shortens nor lengthens a hold.
        feedback_seconds: how long a rejected card waits for feedback typed after the move.
        in_touch: whether the hub was reached since this process started; until then what lay
            in Approved/ before waits (see `returning`).
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
        probe: Probe | None = None,
        ticks: Callable[[], float] = time.monotonic,
        feedback_seconds: float = FEEDBACK_SECONDS,
        in_touch: Callable[[], bool] = lambda: True,
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._clock = clock
        self._crash = crash
        self._ticks = ticks
        self._alone = Alone(journal.path.parent)
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
        self._lookout = Lookout(journal, vault, settings, probe, clock)
        self._doubts = Doubts(
            journal,
            self._lookout,
            self._questions,
            self._projection,
            clock,
            settings.approval.settle_seconds,
        )
        self._caller = Caller(journal, settings, send, clock, crash)
        self._returning = Returning(journal, self._lookout, clock, in_touch)
        self._answers = Answers(
            journal, settings, self._projection, self._intake, seen, clock, vault, feedback_seconds
        )

    def recover(self) -> PassReport:
        """Settle what an earlier process left behind; call it once at start.

        A begun call is in doubt: it is looked for, or the person is asked; a claim without a
        call is released.

        Raises:
            NightdeskError: another executor of this laptop is running.
        """
        turn = self._begin()
        state = self._journal.path.parent
        for folder in ("", "approved", "attachments", "quarantine"):
            sweep_private(state / folder)
        self._project(turn)
        return turn.report()

    def close(self) -> None:
        """Let another executor run."""
        self._alone.release()

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
        turn = self._begin(now)
        self._questions.answers(turn)
        self._intake.take(turn)
        self._answers.rejections(turn)
        self._superseding.withdraw(turn)
        self._expiry.expire(turn)
        for row in self._journal.rows({State.APPROVED}):
            with turn.one_card(row.id):
                if turn.due(self._intake.hold_ends(row, turn.now)):
                    self._execute(row, turn)
        self._returning.done_elsewhere(turn)
        self._project(turn)
        self._forget(turn)
        return turn.report()

    def notice_deleted(self, in_hub: Callable[[str], bool]) -> PassReport:
        """Close cards that a person deleted; call it when disk and hub are in step.

        Args:
            in_hub: whether the hub holds a note in a state folder under this file name.
        """
        turn = self._begin()
        self._returning.done_elsewhere(turn)
        self._answers.deleted(turn, in_hub)
        self._answers.settle(turn)
        return turn.report()

    def take_back(self, why: str) -> PassReport:
        """Lay everything in Approved/ before the person again: this journal is an old copy.

        Args:
            why: how one knows, one clause.
        """
        turn = self._begin()
        self._returning.take_back(turn, why)
        self._project(turn)
        return turn.report()

    # --- the effect ------------------------------------------------------------------------

    def _begin(self, now: datetime | None = None) -> Round:
        self._alone.take()
        turn = Round.begin(self._vault, self._ticks(), now or self._clock())
        for row in self._journal.rows({State.CLAIMED, State.INTENT}):
            if row.state is State.CLAIMED:
                detail = "an earlier run ended before the call"
                self._journal.change(row, Event.RELEASE, self._clock(), detail=detail)
            else:
                reason = "Nightdesk ended while it was being sent."
                self._journal.change(row, Event.DOUBT, self._clock(), reason=reason)
        self._returning.look(turn)
        return turn

    def _waits(self, row: Row, turn: Round) -> bool:
        """Whether an approval must wait; whoever makes it wait says why."""
        if names := stop_notes(self._vault):
            turn.stopped = True
            if row.id not in self._halted:
                what = "lies" if len(names) == 1 else "lie"
                told = f"{row.id} waits: {', '.join(names)} {what} in the vault. "
                turn.notices.append(told + "Remove it, or run `agent-local stop --off`, to go on.")
            self._halted.add(row.id)
            return True
        self._halted.clear()
        if not self._intake.still_stands(row):
            turn.deadlines.append(turn.now)  # changed since the look: look again first
            return True
        return self._expiry.stops(row, turn) or self._returning.waits_for_hub(row, turn)

    def _execute(self, row: Row, turn: Round) -> None:
        if self._waits(row, turn):
            return
        now = self._clock()
        try:
            flight = self._preflight.approved(row, now)
            self._preflight.check(flight)
            row = self._journal.change(row, Event.CLAIM, now)
            self._crash("K6")
            already = self._lookout.already(row)
        except NotSent as e:
            self._journal.change(row, Event.REFUSE, now, reason=str(e))
            turn.notices.append(f"{row.id} was not sent: {e}")
            return
        if already:
            where = already.result["found"]
            turn.notices.append(f"{row.id} had gone out already, found in {where}. Not sent again.")
        elif stop_notes(self._vault) or not self._intake.still_stands(row):
            # Looking may have taken a while: a stop, or a card taken back, counts up to the call.
            self._journal.change(row, Event.RELEASE, now, detail="stopped right before the call")
            turn.deadlines.append(turn.now)
        else:
            turn.acted.append(row.id)
            row = self._caller.call(row, flight)
            if row.state is State.FAILED_SAFE:
                turn.notices.append(f"{row.id} was not sent: {row.reason}")

    # --- what follows ----------------------------------------------------------------------

    def _project(self, turn: Round) -> None:
        def doubt(row: Row) -> bool:
            return self._doubts.step(row, turn)

        steps: dict[State, Callable[[Row], bool]] = {
            State.HUMAN_DECIDES: doubt,
            State.IN_DOUBT: doubt,
            State.CONFIRMED: self._projection.done,
            State.FAILED_SAFE: self._failed,
            State.REFUSED: self._projection.returned,
        }
        for state, step in steps.items():  # doubts first: what they settle is shown at once
            for row in self._journal.rows({state}):
                with turn.one_card(row.id):
                    if not step(row):
                        turn.deadlines.append(turn.now + RETRY_SECONDS)
        if not self._projection.write_log():
            turn.deadlines.append(turn.now + RETRY_SECONDS)
        self._answers.settle(turn)

    def _failed(self, row: Row) -> bool:
        self._projection.log(row, "not sent", attempt_lines(row))
        return self._projection.returned(row)

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

"""The person's other answers: a move to Rejected/, with or without a word, and a deletion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from nightdesk.config import Settings
from nightdesk.local_agent.folders import misspelt
from nightdesk.local_agent.found import Found, look
from nightdesk.local_agent.intake import Intake
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.projection import Projection
from nightdesk.local_agent.round import Round, Sightings
from nightdesk.local_agent.states import Event, State
from nightdesk.vault.documents import FEEDBACK_HEADING, section, stamp

FEEDBACK_SECONDS = 300.0
"""How long a rejected card stays in Rejected/ so that feedback can still be typed."""

TYPING_SECONDS = 15.0
"""Feedback that appears after the move is taken when it has not changed for so long."""

MISSING_SECONDS = 2.0
"""A card that is nowhere for so long was deleted, not caught in the middle of a move."""

MAX_FEEDBACK_CHARACTERS = 4_000


class Answers:
    """Takes rejections with their feedback, and files the cards that are closed."""

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        projection: Projection,
        intake: Intake,
        sightings: Sightings,
        clock: Callable[[], datetime],
        vault: Path,
        feedback_seconds: float,
    ) -> None:
        self._journal = journal
        self._quiet = settings.approval.quiet_seconds
        self._projection = projection
        self._intake = intake
        self._sightings = sightings
        self._clock = clock
        self._vault = vault
        self._window = feedback_seconds
        self._first: dict[str, tuple[float, str]] = {}
        self._missing: dict[str, float] = {}

    def rejections(self, turn: Round) -> None:
        """Look through Rejected/ once."""
        for found in turn.rejected:
            if found.is_question:
                continue
            since = self._sightings.since(found, turn.now)
            if not turn.due(since + self._quiet):
                continue
            turn.judged.add((found.path, found.sha))
            row = self._journal.get(found.id)
            if found.fault:
                self._intake.refuse(found, str(found.fault), turn)
            elif row is None:
                reason = "this laptop does not know this card; nothing was done. Delete it"
                self._intake.refuse(found, reason, turn)
            elif row.state is State.CARDED:
                feedback = feedback_of(found)
                self._journal.change(
                    row,
                    Event.REJECT,
                    self._clock(),
                    detail=f"moved to {found.path}",
                    path=found.path,
                    reason="",
                )
                self._first[row.id] = (turn.now, feedback)
        self._taken_back(turn)

    def settle(self, turn: Round) -> None:
        """File rejected cards whose time for feedback is over, expired and replaced ones."""
        lying = {found.id: found for found in turn.rejected if not found.fault}
        for row in self._journal.rows({State.REJECTED, State.EXPIRED, State.SUPERSEDED}):
            if row.projected:
                continue
            if row.state is State.EXPIRED:
                lines = [
                    f"Expired: {stamp(row.expires or row.updated)}. Nothing was sent.",
                    f"For a new draft, move [[{row.task}]] back to Needs_Action/.",
                ]
                self._projection.closed(row, "expired", lines)
            elif row.state is State.SUPERSEDED:
                lines = [f"Withdrawn: {stamp(row.updated)}. Nothing was sent."]
                self._projection.closed(row, "superseded", lines)
            else:
                self._settle_rejected(row, lying.get(row.id), turn)

    def deleted(self, turn: Round, in_hub: Callable[[str], bool]) -> None:
        """Close cards that the person deleted or moved out of the folders of the desk.

        Args:
            in_hub: whether the hub holds a note of this file name; one that it holds is only
                on its way here.
        """
        there = {found.id for found in turn.everywhere()}
        for folder in misspelt(self._vault):  # meant as an answer; the dashboard says which
            there |= {found.id for found in look(self._vault, folder)}
        rows = self._journal.rows({State.CARDED})
        gone = [row for row in rows if row.id not in there and not in_hub(f"{row.id}.md")]
        self._missing = {row.id: self._missing.get(row.id, turn.now) for row in gone}
        for row in gone:
            # Two looks apart: a card that is being moved may be missed by one.
            if turn.due(self._missing[row.id] + MISSING_SECONDS):
                reason = "You deleted its card"
                self._journal.change(row, Event.REJECT, self._clock(), detail=reason, reason=reason)
                turn.notices.append(f"{row.id}: its card was deleted. Nothing was sent.")

    def _settle_rejected(self, row: Row, found: Found | None, turn: Round) -> None:
        feedback = feedback_of(found) if found else ""
        first, at_once = self._first.setdefault(row.id, (turn.now, feedback))
        if found and feedback:
            quiet = self._quiet if feedback == at_once else TYPING_SECONDS
            ready = self._sightings.since(found, turn.now) + quiet
        else:
            ready = first + self._window if found else turn.now
        if not turn.due(ready):
            return
        lines = [f"Rejected: {stamp(row.updated)}. Nothing was sent."]
        if feedback and self._projection.has_task(row):
            lines.append(f"With feedback: [[{row.task}]] went back for a new draft.")
        elif feedback:
            gone = f"its task {row.task} is no longer in the vault, so there is no new draft"
            lines.append(f"With feedback, but {gone}. Write what you want into Inbox/.")
            turn.notices.append(f"{row.id}: {gone}. Write what you want into Inbox/.")
        if self._projection.closed(row, "rejected", lines, feedback):
            self._first.pop(row.id, None)

    def _taken_back(self, turn: Round) -> None:
        # Back in Pending_Approval/ while feedback could still be typed: undecided again.
        for row in self._journal.rows({State.REJECTED}):
            if row.projected or any(found.id == row.id for found in turn.rejected):
                continue
            for found in turn.pending:
                if found.id == row.id:
                    detail = f"moved back to {found.path}"
                    self._journal.change(
                        row, Event.WITHDRAW, self._clock(), detail=detail, path=found.path
                    )
                    turn.notices.append(f"{row.id}: {detail}; it waits for your answer again.")
                    break


def feedback_of(found: Found) -> str:
    """What the person wrote about a card: the `feedback` property, or the text under its heading.

    The draft and everything inside a fence is somebody else's text and is not looked at.
    """
    for key in found.note.properties:
        if key.strip().casefold() == "feedback" and (typed := found.note.get(key).strip()):
            return typed[:MAX_FEEDBACK_CHARACTERS]
    if found.fault:
        return ""
    return section(found.note.text, FEEDBACK_HEADING)[:MAX_FEEDBACK_CHARACTERS]

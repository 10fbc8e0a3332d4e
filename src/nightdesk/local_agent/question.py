"""The question card: nobody can know whether it went out, so the person looks and says.

It is answered with the same moves as any card, and never answered by the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nightdesk.local_agent.found import Found
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.projection import Projection, attempt_lines, one_line
from nightdesk.local_agent.round import Round, Sightings
from nightdesk.local_agent.states import Event, State
from nightdesk.vault import files
from nightdesk.vault.documents import stamp
from nightdesk.vault.layout import Folder, zone_path
from nightdesk.vault.notes import Value, render_note


class Questions:
    """Asks, and takes the answers."""

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        projection: Projection,
        clock: Callable[[], datetime],
        quiet_seconds: float,
        sightings: Sightings,
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._projection = projection
        self._clock = clock
        self._quiet = quiet_seconds
        self._sightings = sightings

    def ask(self, row: Row, there: list[Found]) -> Row:
        """Make sure that the question about an action in doubt lies before the person.

        Args:
            there: the notes that lie in the folders where it may be.
        """
        name = question_id(row)
        if not any(_is_about(found, row) for found in there):
            path = zone_path(Folder.PENDING, row.zone, name)
            with suppress(FileExistsError):  # appeared since the look; the next pass reads it
                files.create(self._vault / path, question_note(row))
        if row.state is State.IN_DOUBT:
            self._projection.log(row, "in doubt", attempt_lines(row))
            row = self._journal.change(
                row, Event.ASK, self._clock(), detail="the person is asked", reason=row.reason
            )
        return row

    def answers(self, turn: Round) -> None:
        """Read the questions that the person has moved."""
        for found in [*turn.approved, *turn.rejected]:
            if found.kind != "question" or found.fault:
                continue
            if not turn.due(self._sightings.since(found, turn.now) + self._quiet):
                continue
            went_out = found.place.folder is Folder.APPROVED
            row = self._journal.get(found.note.get("card"))
            if row and row.state is State.HUMAN_DECIDES and _is_about(found, row):
                self._answer(row, went_out=went_out)
                turn.notices.append(
                    f"{row.id}: you said that it {'went out' if went_out else 'did not go out'}."
                )
            answer = "it went out" if went_out else "it did not go out"
            self._projection.retire(found.path, found.id, "answered", [f"Answered: {answer}"])

    def _answer(self, row: Row, *, went_out: bool) -> None:
        now = self._clock()
        if went_out:
            result = {**row.result, "by": "person"}
            detail = "the person says that it went out"
            self._journal.change(row, Event.CONFIRM, now, detail=detail, result=result)
        else:
            self._journal.change(
                row,
                Event.FAIL,
                now,
                detail="the person says that it did not go out",
                reason="You said that it did not go out. Move it to Approved/ to send it now.",
            )


def question_id(row: Row) -> str:
    """The id of the question about an attempt: `<card id>-question`, later ones numbered."""
    return f"{row.id}-question" + (f"-{row.attempt}" if row.attempt > 1 else "")


def question_note(row: Row) -> bytes:
    """The question as a note."""
    when = row.result.get("at") or stamp(row.updated)
    recipients = [str(address) for address in row.result.get("to") or []]
    properties: dict[str, Value | None] = {
        "id": question_id(row),
        "kind": "question",
        "task": row.task,
        "zone": row.zone,
        "card": row.id,
        "attempt": str(row.attempt),
        "message_id": row.message_id,
        "created": stamp(row.updated),
    }
    to = ", ".join(f"`{one_line(address)}`" for address in recipients) or "see the card"
    body = f"""\
> [!question] Did this go out?
> Nightdesk cannot know, so it will not send it again by itself.

# What to look at
- Card: [[{row.id}]]
- To: {to}
- Begun: {when}
- Message-ID: `{row.message_id}`
- What happened: {one_line(row.reason)}

Look into the Sent folder of your mail account (or search for the Message-ID), or ask the recipient.

# Your answer
- **It went out**: move this note to `Approved/`. Nothing is sent; the task is finished.
- **It did not**: move this note to `Rejected/`. The card comes back to `Pending_Approval/`, and a \
new move sends it.
"""
    return render_note(properties, body.encode())


def _is_about(found: Found, row: Row) -> bool:
    return (
        found.kind == "question"
        and found.note.get("card") == row.id
        and found.note.get("attempt") == str(row.attempt)
    )

"""The question card: nobody can know whether it went out, so the person looks and says.

It is answered with the same moves as any card, and never answered by a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nightdesk.local_agent.effects import effect_of
from nightdesk.local_agent.found import Found, look_at
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.projection import Projection, one_line
from nightdesk.local_agent.round import Round, Sightings
from nightdesk.local_agent.states import Event, State
from nightdesk.vault import files
from nightdesk.vault.documents import stamp
from nightdesk.vault.layout import Folder, zone_path
from nightdesk.vault.notes import Value, render_note

_BOTH_WAYS = "was answered both ways. Delete one of the two notes; the other one counts"


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

    def ask(self, row: Row, turn: Round) -> None:
        """Make sure that the question about an action lies before the person."""
        if any(_is_about(found, row) for found in turn.everywhere()):
            return
        name = question_id(row)
        # The first name may be taken by what is left of a question that was edited beyond reading.
        for file in (name, *(f"{name}-again-{n}" for n in range(2, 10))):
            path = zone_path(Folder.PENDING, row.zone, file)
            lying = look_at(self._vault, path)
            if lying is None:
                with suppress(FileExistsError):  # appeared since the look; the next pass reads it
                    files.create(self._vault / path, question_note(row))
                return
            if _is_about(lying, row):
                return

    def answers(self, turn: Round) -> None:
        """Read the questions that the person has moved."""
        for found in [*turn.approved, *turn.rejected]:
            if found.is_question and turn.due(self._sightings.since(found, turn.now) + self._quiet):
                with turn.one_card(found.path):
                    self._take(found, turn)

    def retire(self, row: Row, turn: Round, line: str) -> None:
        """Take the question about an action out of the way, wherever it lies."""
        for found in turn.everywhere():
            if _is_about(found, row):
                self._projection.retire(found.path, found.id, "answered", [line])

    def _take(self, found: Found, turn: Round) -> None:
        went_out = found.place.folder is Folder.APPROVED
        row = self._row(found)
        if row is None and found.kind != "question":
            turn.held[found.path] = "this is no card and answers no question. Move it elsewhere"
        elif row is None:
            line = "Nothing waits for this answer: it belongs to another attempt, or to no card."
            self._projection.retire(found.path, found.id, "void", [line])
            turn.notices.append(f"{found.path} answered nothing: {line}")
        else:
            self._take_about(found, row, turn, went_out=went_out)

    def _take_about(self, found: Found, row: Row, turn: Round, *, went_out: bool) -> None:
        answer = "it went out" if went_out else "it did not go out"
        if row.state is State.IN_DOUBT:
            return  # not asked yet: it is looked for first
        if row.state is State.HUMAN_DECIDES:
            other = turn.rejected if went_out else turn.approved
            if any(_is_about(one, row) and (self._vault / one.path).exists() for one in other):
                turn.held[row.id] = _BOTH_WAYS
                return
            self._answer(row, went_out=went_out)
            turn.notices.append(f"{row.id}: you said that {answer}.")
            self.retire(row, turn, f"Answered: {answer}")
            return
        self._projection.retire(
            found.path, found.id, "answered", [f"Answered: {answer}. This was settled already."]
        )

    def _row(self, found: Found) -> Row | None:
        # By the file's own name too: the move is the answer, whatever was typed into the note.
        row = self._journal.get(found.note.get("card")) or self._journal.get(
            found.id.rpartition("-question")[0]
        )
        return row if row and _is_about(found, row) else None

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
    effect = effect_of(row.action)
    when = row.result.get("at") or stamp(row.updated)
    towards = [str(one) for one in row.result.get("to") or []]
    properties: dict[str, Value | None] = {
        "id": question_id(row),
        "kind": "question",
        "task": row.task,
        "zone": row.zone,
        "card": row.id,
        "attempt": str(row.attempt),
        "created": stamp(row.updated),
    }
    to = ", ".join(f"`{one_line(address)}`" for address in towards) or "see the card"
    looked = "\n".join(f"  - {one_line(line)}" for line in row.result.get("looked") or [])
    looked = looked or "  - nowhere: there is no place where Nightdesk could look"
    body = f"""\
> [!question] Did this go out?
> Nightdesk cannot know, so it will not send it again by itself.

# What to look at
- Card: [[{row.id}]]
- To: {to}
- Begun: {when}
- {effect.key_name}: `{row.message_id}`
- What happened: {one_line(row.reason)}
- Where Nightdesk looked:
{looked}

{effect.look}

# Your answer
- **It went out**: move this note to `Approved/`. Nothing is sent; the task is finished.
- **It did not**: move this note to `Rejected/`. The card comes back to `Pending_Approval/`, and a \
new move sends it.
"""
    return render_note(properties, body.encode())


def _is_about(found: Found, row: Row) -> bool:
    if not found.is_question:
        return False
    named = found.note.get("card") == row.id and found.note.get("attempt") == str(row.attempt)
    return named or question_id(row) in {found.id, found.place.stem}

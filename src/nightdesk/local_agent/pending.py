"""What waits for the person, and the same moves from the command line that Obsidian would do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nightdesk.errors import NoteError, UsageError
from nightdesk.local_agent.checks.case import Known, Risk
from nightdesk.local_agent.checks.table import risks_of, tokens_of
from nightdesk.local_agent.confirm import CONFIRM, pieces, typed_in, unconfirmed, wanted, way_out
from nightdesk.local_agent.found import task_note
from nightdesk.vault.documents import Card, read_card
from nightdesk.vault.files import move
from nightdesk.vault.layout import Folder, Place
from nightdesk.vault.notes import parse_note, render_note
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.unchanged import replace_unchanged


@dataclass(frozen=True, slots=True)
class Waiting:
    """A note that waits for the person; `card` is None where it is a question or broken.

    Attributes:
        risks: what a look at the card finds now.
        to_type: what must still be typed into `confirm` before it can run.
    """

    place: Place
    card: Card | None
    fault: str = ""
    risks: tuple[Risk, ...] = ()
    to_type: tuple[str, ...] = ()


def waiting(vault: Path, known: Known) -> list[Waiting]:
    """Everything in `Pending_Approval/`.

    Args:
        known: what the laptop knows, by which the cards are judged.
    """
    found: list[Waiting] = []
    for place in notes_in(vault, Folder.PENDING):
        try:
            data = read(vault, place.path)
        except FileNotFoundError:
            continue
        try:
            card = read_card(data, place.path)
            risks = risks_of(card, task_note(vault, card.task), known)
            missing = unconfirmed(risks, typed_in(parse_note(data, place.path)))
            found.append(Waiting(place, card, risks=risks, to_type=tokens_of(missing)))
        except NoteError as e:
            fault = "did it go out? Please look" if is_question(data) else str(e)
            found.append(Waiting(place, None, fault))
    return found


def is_question(data: bytes) -> bool:
    """Whether a note asks the person if something went out."""
    try:
        return parse_note(data).get("kind") == "question"
    except NoteError:
        return False


def find(vault: Path, wanted: str) -> Place:
    """The waiting note whose id is, or uniquely begins with, this text.

    Raises:
        UsageError: none or several.
    """
    places = notes_in(vault, Folder.PENDING)
    exact = [place for place in places if place.stem == wanted]
    found = exact or [place for place in places if place.stem.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{wanted!r} begins {len(found)} notes: {', '.join(p.stem for p in found[:5])}",
            remedy="Type more of the id",
        )
    raise UsageError(
        f"nothing that waits is called {wanted!r}", remedy="`agent-local pending` lists what waits"
    )


def approve(vault: Path, wanted_id: str, known: Known, confirm: str = "") -> str:
    """Move a waiting note to `Approved/`; returns its new path.

    Args:
        known: what the laptop knows, by which the card is judged.
        confirm: what the person typed, for a card that asks for it; written into the card.

    Raises:
        UsageError: nothing waits under this id, what waits is no card, or it asks for a
            confirmation that was not typed.
    """
    place = find(vault, wanted_id)
    data = read(vault, place.path)
    if not is_question(data):
        try:
            card, note = read_card(data, place.path), parse_note(data, place.path)
        except NoteError as e:
            raise UsageError(f"{place.stem} cannot be approved: {e.what}", remedy=e.remedy) from e
        typed = [*typed_in(note), *pieces(confirm)]
        risks = risks_of(card, task_note(vault, card.task), known)
        if missing := unconfirmed(risks, typed):
            raise _unconfirmed(place, missing, confirm)
        if confirm:
            kept = {k: v for k, v in note.properties.items() if k.strip().casefold() != CONFIRM}
            written = render_note({**kept, CONFIRM: typed}, note.body)
            if not replace_unchanged(vault / place.path, data, written):
                raise _being_edited(place)
    return _move(vault, place, Folder.APPROVED)


def _unconfirmed(place: Place, missing: list[Risk], typed: str) -> UsageError:
    names = ", ".join(dict.fromkeys(risk.name for risk in missing))
    what = f"{place.stem} was not approved; it asks for a typed confirmation: {names}"
    words = ", ".join(filter(None, [typed, *tokens_of(missing)]))
    command = f'agent-local approve {place.stem} --confirm "{words}"'
    remedy = f"{way_out(missing)} {wanted(missing)}: `{command}`"
    return UsageError(what, remedy=remedy)


def _being_edited(place: Place) -> UsageError:
    return UsageError(f"{place.stem} was being edited", remedy="Try again when it is saved")


def reject(vault: Path, wanted: str, feedback: str) -> str:
    """Move a waiting note to `Rejected/`, with what is wrong written into it first."""
    place = find(vault, wanted)
    if feedback.strip():
        data = read(vault, place.path)
        note = parse_note(data, place.path)
        written = render_note({**note.properties, "feedback": feedback.strip()}, note.body)
        if not replace_unchanged(vault / place.path, data, written):
            raise _being_edited(place)
    return _move(vault, place, Folder.REJECTED)


def _move(vault: Path, place: Place, folder: Folder) -> str:
    target = "/".join((folder, *place.path.split("/")[1:]))
    if not move(vault / place.path, vault / target):
        raise UsageError(
            f"{place.stem} has moved in between", remedy="`agent-local pending` shows what waits"
        )
    return target

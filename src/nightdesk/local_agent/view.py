"""Gathering what the dashboard shows, from the folders, the journal and the last sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightdesk.errors import NightdeskError, NoteError
from nightdesk.local_agent.dashboard import Health, View, inert, inert_with_links, moment
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.pending import is_question
from nightdesk.local_agent.states import State
from nightdesk.policy import LOCAL_ONLY_ZONES
from nightdesk.vault.actions import ACTIONS
from nightdesk.vault.documents import Card, read_card, read_task
from nightdesk.vault.layout import STOP_FILE, Folder, Place
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.updates import Update

DONE_SHOWN = 20
NEWS_SHOWN = 15

_FINISHED = {
    State.DONE: "sent",
    State.CONFIRMED: "sent",
    State.REJECTED: "rejected by you",
    State.EXPIRED: "expired unanswered",
    State.SUPERSEDED: "replaced by a newer draft",
}


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that a person should look at.

    Attributes:
        where: a path, an account or a note id.
        text: what happened and what to do.
    """

    where: str
    text: str


def attention(error: NightdeskError, where: str = "") -> Attention:
    """Show an error on the dashboard."""
    text = f"{error.what}. {error.remedy}" if error.remedy else error.what
    if isinstance(error, NoteError) and error.line:
        text = f"line {error.line}: {text}"
    return Attention(error.where or where, text)


def gather(
    vault: Path,
    journal: Journal,
    *,
    updates: Sequence[Update],
    troubles: Sequence[Attention],
    health: Sequence[Health],
) -> View:
    """Collect the view.

    Args:
        updates: the cloud's updates, newest first.
        troubles: what the last pass found besides the journal's own refusals.
        health: both sides.
    """
    broken: list[Attention] = []
    waiting = [line for place in notes_in(vault, Folder.PENDING) for line in _card(vault, place)]
    return View(
        stopped=(vault / STOP_FILE).exists(),
        waiting=waiting,
        approved=[
            f"{_link(row.id)} – {_state_of(row)}"
            for row in journal.rows({State.APPROVED, State.CLAIMED, State.INTENT})
        ],
        in_progress=list(_tasks(vault, Folder.IN_PROGRESS, broken)),
        unclaimed=list(_tasks(vault, Folder.NEEDS_ACTION, broken)),
        attention=_attention_lines(
            [
                *troubles,
                *broken,
                *(Attention(r.path, r.reason) for r in journal.refusals()),
                *(
                    Attention(r.id, f"refused when it arrived: {r.reason}")
                    for r in journal.rows({State.QUARANTINED})
                ),
                *(Attention(u.task or u.id, u.summary) for u in updates[:NEWS_SHOWN] if u.problem),
            ]
        ),
        done=list(_done(journal)),
        news=[f"{moment(u.created)} – {inert_with_links(u.summary)}" for u in updates[:NEWS_SHOWN]],
        health=health,
    )


def _link(note_id: str) -> str:
    return f"[[{note_id}]]" if not set(note_id) & set("[]|#^") else inert(note_id)


def _card(vault: Path, place: Place) -> Iterator[str]:
    if place.group.casefold() in LOCAL_ONLY_ZONES:
        yield f"{_link(place.stem)} – {inert(place.group)}"
        return
    try:
        data = read(vault, place.path)
    except FileNotFoundError:
        return
    try:
        card = read_card(data, place.path)
    except NoteError as e:
        if is_question(data):
            yield f"❓ {_link(place.stem)} – did it go out? Nobody can tell from here; please look"
        else:
            yield f"⚠️ {_link(place.stem)} – {inert(str(e.what))}. {inert(e.remedy)}"
        return
    yield _card_line(card)


def _card_line(card: Card) -> str:
    warned = f" · ⚠️ {len(card.warnings)}" if card.warnings else ""
    until = f" · until {moment(card.expires)}" if card.expires else ""
    return f"{_link(card.id)} – {inert(card.action.summary())}{until}{warned}"


def _tasks(vault: Path, folder: Folder, broken: list[Attention]) -> Iterator[str]:
    for place in notes_in(vault, folder):
        try:
            task = read_task(read(vault, place.path), place.path)
        except FileNotFoundError:
            continue
        except NoteError as e:
            broken.append(attention(e, place.path))
            continue
        if task.zone in LOCAL_ONLY_ZONES:
            yield f"{_link(place.stem)} – {task.zone}"
            continue
        who = inert(place.group) if folder is Folder.IN_PROGRESS else "waits to be claimed"
        what = inert(task.subject) if task.subject else str(task.zone)
        yield f"{_link(place.stem)} – {who} – {what}"


def _state_of(row: Row) -> str:
    return "about to run" if row.state is State.APPROVED else "running"


def _done(journal: Journal) -> Iterator[str]:
    rows = sorted(journal.rows(set(_FINISHED)), key=lambda r: r.updated, reverse=True)
    for row in rows[:DONE_SHOWN]:
        what = "" if row.zone in LOCAL_ONLY_ZONES else f": {inert(_summary(row))}"
        yield f"{moment(row.updated)} – {_FINISHED[row.state]} – {_link(row.id)}{what}"


def _summary(row: Row) -> str:
    model = ACTIONS.get(row.action)
    if model is None or not row.canonical:
        return row.reason
    return model.model_validate_json(row.canonical).summary()


def _attention_lines(found: Sequence[Attention]) -> list[str]:
    lines = (f"`{inert_code(a.where)}` – {inert_with_links(a.text)}" for a in found)
    return list(dict.fromkeys(lines))


def inert_code(text: str) -> str:
    """Make text safe inside a Markdown code span: one line, no backtick."""
    return " ".join(text.replace("`", "'").split())[:200] or "?"

"""Gathering what the dashboard shows, from the folders, the journal and the last sync."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from nightdesk.errors import NightdeskError, NoteError
from nightdesk.local_agent.confirm import asks
from nightdesk.local_agent.dashboard import (
    Attention,
    Health,
    View,
    inert,
    inert_with_links,
    moment,
)
from nightdesk.local_agent.handbook import read_handbook
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.pending import is_question
from nightdesk.local_agent.states import State
from nightdesk.local_agent.times import on_its_way, until
from nightdesk.policy import LOCAL_ONLY_ZONES
from nightdesk.vault import files
from nightdesk.vault.actions import ACTIONS
from nightdesk.vault.documents import Card, read_card, read_task
from nightdesk.vault.layout import Folder, Place
from nightdesk.vault.notes import parse_note
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.stopping import stop_notes
from nightdesk.vault.updates import Update

_ATTENTION = "attention.json"
DONE_SHOWN = 20
NEWS_SHOWN = 15

_FINISHED = {
    State.DONE: "sent",
    State.CONFIRMED: "sent",
    State.REJECTED: "rejected by you",
    State.EXPIRED: "expired unanswered",
    State.SUPERSEDED: "replaced by a newer draft",
}


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
    now: datetime,
    hold_seconds: float = 0.0,
) -> View:
    """Collect the view.

    Args:
        updates: the cloud's updates, newest first.
        troubles: what the last pass found besides the journal's own refusals.
        health: both sides.
        now: the present moment, aware.
        hold_seconds: how long an approval can still be taken back.
    """
    broken: list[Attention] = []
    waiting = [
        line for place in notes_in(vault, Folder.PENDING) for line in _card(vault, place, now)
    ]
    stopped = tuple(stop_notes(vault))
    return View(
        stopped=stopped,
        waiting=waiting,
        approved=[
            f"{_link(row.id)} – {on_its_way(row, hold_seconds, now, stopped=bool(stopped))}"
            for row in journal.rows({State.APPROVED, State.CLAIMED, State.INTENT, State.IN_DOUBT})
        ],
        in_progress=list(_tasks(vault, Folder.IN_PROGRESS, broken)),
        unclaimed=list(_tasks(vault, Folder.NEEDS_ACTION, broken)),
        attention=tuple(
            dict.fromkeys(
                [
                    *troubles,
                    *map(attention, read_handbook(vault).faults),
                    *broken,
                    *(Attention(r.path, r.reason) for r in journal.refusals()),
                    *(
                        Attention(r.id, f"refused when it arrived: {r.reason}")
                        for r in journal.rows({State.QUARANTINED})
                    ),
                    *(
                        Attention(u.task or u.id, u.summary)
                        for u in updates[:NEWS_SHOWN]
                        if u.problem
                    ),
                ]
            )
        ),
        done=list(_done(journal)),
        news=[f"{moment(u.created)} – {inert_with_links(u.summary)}" for u in updates[:NEWS_SHOWN]],
        health=health,
    )


def _link(note_id: str) -> str:
    return f"[[{note_id}]]" if not set(note_id) & set("[]|#^") else inert(note_id)


def _card(vault: Path, place: Place, now: datetime) -> Iterator[str]:
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
    yield _card_line(card, now, asks=asks(parse_note(data, place.path)))


def _card_line(card: Card, now: datetime, *, asks: bool) -> str:
    warned = f" · ⚠️ {len(card.warnings)}" if card.warnings else ""
    warned += " · ✍️ asks you to type" if asks else ""
    return f"{_link(card.id)} – {inert(card.action.summary())}{until(card.expires, now)}{warned}"


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


def _done(journal: Journal) -> Iterator[str]:
    rows = sorted(journal.rows(set(_FINISHED)), key=lambda r: r.updated, reverse=True)
    for row in rows[:DONE_SHOWN]:
        said = "" if row.zone in LOCAL_ONLY_ZONES else inert(_summary(row))
        what = f": {said}" if said else ""
        yield f"{moment(row.updated)} – {_FINISHED[row.state]} – {_link(row.id)}{what}"


def _summary(row: Row) -> str:
    model = ACTIONS.get(row.action)
    if model is None or not row.canonical:
        return row.reason
    return model.model_validate_json(row.canonical).summary()


def keep_attention(state: Path, found: Sequence[Attention]) -> None:
    """Keep what needs a look for `agent-local status`."""
    rows = [{"where": a.where, "what": a.text} for a in found]
    files.write(state / _ATTENTION, json.dumps(rows, ensure_ascii=False, indent=1).encode())


def read_attention(state: Path) -> list[dict[str, str]]:
    """What the agent's last pass kept; nothing where it never ran."""
    try:
        found: list[dict[str, str]] = json.loads((state / _ATTENTION).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return found

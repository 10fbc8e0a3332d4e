"""Updates: the cloud's short reports, one note each in `Updates/` (FR-005).

Local merges them into Dashboard.md and removes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.vault.documents import stamp
from nightdesk.vault.files import create
from nightdesk.vault.layout import Folder
from nightdesk.vault.notes import parse_note, render_note


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that the cloud did or noticed.

    Attributes:
        id: the file's stem; the same event always has the same id, so it is told once.
        summary: one line for the dashboard; may hold [[links]].
        problem: whether a person should do something about it.
        task: the task's id, or "".
    """

    id: str
    created_by: str
    created: datetime
    summary: str
    problem: bool = False
    task: str = ""


def write_update(vault: Path, update: Update) -> None:
    """Put an update into `Updates/`; one that is there already is left alone."""
    properties = {
        "id": update.id,
        "kind": "update",
        "task": update.task or None,
        "status": "problem" if update.problem else None,
        "created_by": update.created_by,
        "created": stamp(update.created),
    }
    try:
        create(
            vault / Folder.UPDATES / f"{update.id}.md",
            render_note(properties, f"{update.summary}\n".encode()),
        )
    except FileExistsError:
        return


def read_update(data: bytes, path: str) -> Update:
    """Read an update.

    Raises:
        NoteError: it is none, or its date is not ISO 8601.
    """
    note = parse_note(data, path)
    try:
        created = datetime.fromisoformat(note.get("created")).astimezone(UTC)
    except ValueError as e:
        raise NoteError(
            "this is not an update (it has no date in `created`)",
            remedy="Only the cloud writes into Updates/; move your own notes elsewhere",
            where=path,
        ) from e
    lines = note.text.strip().splitlines()
    return Update(
        id=note.get("id"),
        created_by=note.get("created_by"),
        created=created,
        summary=lines[0][:500] if lines else "",
        problem=note.get("status") == "problem",
        task=note.get("task"),
    )

"""The inbox: whatever a person drops there becomes a task, its content untouched."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.policy import Zone
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.files import create, move
from nightdesk.vault.layout import Folder, fault_in_name, is_conflict_copy, task_id, zone_path

QUIET_SECONDS = 2.0
"""A dropped file must have stood unchanged so long, so that a half-typed note is not taken."""


def take_in(vault: Path) -> tuple[list[str], list[NoteError], float | None]:
    """Turn each file in `Inbox/` into a task.

    A Markdown note moves to `Needs_Action/<zone>/` as it is, under a name of its own; any other
    file moves to `Attachments/` and a task that names it is made.

    Returns:
        The new tasks' paths; what could not be taken, and why; and the seconds until a file
        that was just changed may be taken (None when there is none).
    """
    made: list[str] = []
    problems: list[NoteError] = []
    soonest: float | None = None
    for file in _files(vault / Folder.INBOX):
        try:
            age = time.time() - file.stat().st_mtime
        except FileNotFoundError:
            continue
        if 0 <= age < QUIET_SECONDS:
            soonest = min(QUIET_SECONDS - age, soonest or QUIET_SECONDS)
            continue
        try:
            path = _take_note(vault, file) if file.suffix == ".md" else _take_file(vault, file)
        except FileNotFoundError:
            continue
        except NoteError as e:
            problems.append(e)
            continue
        if path:
            made.append(path)
    return made, problems, soonest


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(where) / name for name in sorted(names) if not name.startswith(".")]
    return [f for f in found if f.is_file() and not f.is_symlink() and not is_conflict_copy(f.name)]


def _take_note(vault: Path, file: Path) -> str | None:
    where = file.relative_to(vault).as_posix()
    try:
        data = file.read_bytes()
    except PermissionError as e:
        raise NoteError(
            "the note cannot be read", remedy="Check its permissions", where=where
        ) from e
    task = read_task(data, where)
    text = task.subject or _first_line(task.body) or file.stem
    if not task.body.strip() and not task.subject:
        return None  # an empty new note; its writer is not done yet
    path = zone_path(Folder.NEEDS_ACTION, task.zone, _new_id(file, text, data))
    return path if move(file, vault / path) else None


def _take_file(vault: Path, file: Path) -> str | None:
    where = file.relative_to(vault).as_posix()
    if fault := fault_in_name(file.name):
        raise NoteError(f"the file's name {fault}", remedy="Rename it", where=where)
    name = file.name
    if (vault / Folder.ATTACHMENTS / name).exists():
        digest = hashlib.sha256(os.fsencode(file) + str(file.stat().st_mtime_ns).encode())
        name = f"{file.stem}-{digest.hexdigest()[:6]}{file.suffix}"
    task = Task(
        id=_new_id(file, file.stem, str(file.stat().st_size).encode()),
        zone=Zone.GENERAL,
        source="inbox",
        subject=f"File dropped into the inbox: {file.name}",
        received=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        body=f"The file [[{name}]] was dropped into the inbox.\n",
    )
    path = zone_path(Folder.NEEDS_ACTION, task.zone, task.id)
    # The task first: after a crash in between, the same file makes the same task again.
    with suppress(FileExistsError):
        create(vault / path, task.note())
    return path if move(file, vault / Folder.ATTACHMENTS / name) else None


def _new_id(file: Path, title: str, content: bytes) -> str:
    changed = file.stat().st_mtime_ns
    seed = f"{file.name}\0{changed}\0{hashlib.sha256(content).hexdigest()}"
    return task_id(datetime.fromtimestamp(changed / 1e9, UTC), title, seed)


def _first_line(text: str) -> str:
    lines = (line.strip(" #*->\t") for line in text.splitlines())
    return next((line for line in lines if line), "")

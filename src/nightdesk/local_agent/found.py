"""What lies in the folders where cards wait: read once a pass, without following links."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.local_agent.journal import sha256
from nightdesk.vault import scan
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, Place, is_conflict_copy, place_of
from nightdesk.vault.notes import Note, parse_note

QUESTION_ID = re.compile(r"-question(-\d+)?(-again-\d+)?$")
"""Ids of this form are kept for questions; no card may have one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A note as it lay on the disk.

    Attributes:
        id: the `id` property; the file's stem where the note has none or cannot be read.
        fault: why it cannot be read as a note, or None.
        mark: changes whenever the file is written, replaced or renamed.
    """

    place: Place
    id: str
    mark: tuple[str, int, int]
    data: bytes = field(default=b"", repr=False)
    note: Note = field(default_factory=Note, repr=False)
    fault: NoteError | None = None

    @property
    def path(self) -> str:
        """Vault-relative."""
        return self.place.path

    @property
    def sha(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return sha256(self.data)

    @property
    def kind(self) -> str:
        """The note's `kind` property."""
        return self.note.get("kind")

    @property
    def is_question(self) -> bool:
        """Whether it is one of Nightdesk's own questions, also where its text cannot be read."""
        return self.kind == "question" or bool(QUESTION_ID.search(self.id))


def read_alone(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Read a regular file that has one name and is not reached through a link.

    Returns:
        Its bytes, and (inode, time of its last change in ns).

    Raises:
        FileNotFoundError: it has moved.
        NoteError: a link, no regular file, more than one name, or larger than 256 KiB.
    """

    def refuse(what: str) -> NoteError:
        return NoteError(what, remedy="Replace it by an ordinary note", where=str(path.name))

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise refuse(f"the file cannot be opened as an ordinary file ({e.strerror})") from e
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise refuse("this is not an ordinary file")
        if status.st_nlink != 1:
            raise refuse("the file has a second name (a hard link)")
        data = file.read(MAX_NOTE_BYTES + 1)
    if len(data) > MAX_NOTE_BYTES:
        raise refuse(f"the file is larger than {MAX_NOTE_BYTES // 1024} KiB")
    return data, (status.st_ino, status.st_ctime_ns)


def look(vault: Path, folder: Folder | str) -> list[Found]:
    """Every note below a folder, and every link that stands where a note would."""
    found = [one for place in scan.notes_in(vault, folder) if (one := look_at(vault, place.path))]
    return found + list(_links(vault, str(folder)))


def look_at(vault: Path, path: str) -> Found | None:
    """The note at a vault-relative path; None when nothing is there."""
    place = place_of(path)
    data, stamp = b"", (0, 0)
    try:
        data, stamp = read_alone(vault / path)
        note = parse_note(data, path)
    except FileNotFoundError:
        return None
    except NoteError as e:
        return Found(place, place.stem, (sha256(data), *stamp), data, fault=e)
    return Found(place, note.get("id") or place.stem, (sha256(data), *stamp), data, note)


def _links(vault: Path, folder: str) -> Iterator[Found]:
    for root, folders, names in os.walk(vault / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*folders, *names]:
            path = Path(root) / name
            if path.is_symlink() and not name.startswith("."):
                relative = path.relative_to(vault).as_posix()
                fault = NoteError(
                    "this is a link, and links are never followed",
                    remedy="Replace it by the note itself",
                    where=relative,
                )
                yield Found(place_of(relative), name.removesuffix(".md"), ("", 0, 0), fault=fault)


def find_task(vault: Path, task: str) -> str | None:
    """Where the open task with this id lies: claimed, or waiting in `Needs_Action/`."""
    for folder in (Folder.IN_PROGRESS, Folder.NEEDS_ACTION):
        for place in scan.notes_in(vault, folder):
            if place.stem == task:
                return place.path
    return None


def find_done(vault: Path, note_id: str) -> str | None:
    """Where the finished note with this id lies in `Done/`, or None."""
    name = f"{note_id}.md"
    try:
        months = sorted(e.name for e in os.scandir(vault / Folder.DONE) if e.is_dir())
    except FileNotFoundError:
        return None
    for group in ("", *months):
        path = "/".join(part for part in (str(Folder.DONE), group, name) if part)
        if (vault / path).is_file():
            return path
    return None


def find_copies(vault: Path, note_id: str) -> Iterator[str]:
    """The conflict copies of a card in the folders where cards wait, which no other look shows."""
    for folder in (Folder.PENDING, Folder.APPROVED, Folder.REJECTED):
        for root, _, names in os.walk(vault / folder):
            for name in sorted(names):
                if is_conflict_copy(name) and name.startswith(f"{note_id}.conflict-"):
                    yield (Path(root) / name).relative_to(vault).as_posix()


def task_note(vault: Path, task: str) -> Task | None:
    """The task with this id, open or finished; None where it is missing or unreadable."""
    path = find_task(vault, task) or find_done(vault, task)
    try:
        return read_task(scan.read(vault, path), path) if path else None
    except (NoteError, FileNotFoundError):
        return None

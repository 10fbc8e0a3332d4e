"""Looking: which notes lie where. The folders are the truth, so every look reads them afresh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.vault.files import read_regular
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, Place, place_of


def notes_in(vault: Path, folder: Folder | str) -> list[Place]:
    """The notes below a folder, at any depth, in the order of their names.

    Hidden files, conflict copies, links and other kinds of file are not listed; a folder
    that is not there holds nothing.

    Args:
        vault: the vault's root.
        folder: vault-relative, for example "Needs_Action" or "In_Progress/cloud".
    """
    return sorted(_walk(vault, str(folder)), key=lambda place: (place.name, place.path))


def _walk(vault: Path, folder: str) -> Iterator[Place]:
    try:
        entries = list(os.scandir(vault / folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = f"{folder}/{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(vault, path)
        elif entry.is_file(follow_symlinks=False):
            place = place_of(path)
            if place.is_note:
                yield place


def read(vault: Path, path: str) -> bytes:
    """Read a note's bytes.

    Raises:
        NoteError: it cannot be read (permission, a link, too large).
        FileNotFoundError: it has moved since it was listed; look again.
    """
    try:
        return read_regular(vault / path, MAX_NOTE_BYTES)
    except FileNotFoundError:
        raise
    except OSError as e:
        raise NoteError(
            f"the note cannot be read ({e.strerror})",
            remedy="Check its size, its permissions, and that it is an ordinary file",
            where=path,
        ) from e

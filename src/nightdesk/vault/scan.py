"""Looking: which notes lie where. The folders are the truth, so every look reads them afresh."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from nightdesk.errors import NoteError, VaultUnavailable
from nightdesk.vault.files import read_regular
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, Place, place_of


def notes_in(vault: Path, folder: Folder | str) -> list[Place]:
    """The notes below a folder, at any depth, in the order of their names.

    Hidden files, conflict copies, links and other kinds of file are not listed; a folder
    that is not there holds nothing.

    Args:
        vault: the vault's root.
        folder: vault-relative, for example "Needs_Action" or "In_Progress/cloud".

    Raises:
        VaultUnavailable: a folder is there but cannot be read.
    """
    return sorted(_walk(vault, str(folder)), key=lambda place: (place.name, place.path))


def _walk(vault: Path, top: str) -> Iterator[Place]:
    open_folders = [top]
    while open_folders:
        folder = open_folders.pop()
        try:
            entries = list(os.scandir(vault / folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:
            raise VaultUnavailable(
                f"the folder cannot be read ({e.strerror})",
                remedy="Check its permissions and that its disk is there",
                where=folder,
            ) from e
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                open_folders.append(path)
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
        what, remedy = _FAULTS.get(
            e.errno or 0, (f"cannot be read ({e.strerror})", "Check its permissions")
        )
        raise NoteError(f"the note {what}", remedy=remedy, where=path) from e


_FAULTS = {
    errno.EFBIG: (
        f"is larger than {MAX_NOTE_BYTES // 1024} KiB",
        "Split it, or move large text into Attachments/",
    ),
    errno.ELOOP: ("is a link, and links are never followed", "Replace it by the note itself"),
    errno.EINVAL: ("is no ordinary file", "Replace it by an ordinary note"),
}

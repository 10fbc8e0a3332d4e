"""The folders that a person drags notes into: always there, so that a move is a move."""

from __future__ import annotations

from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.vault.layout import Folder

FOR_THE_PERSON = (
    Folder.INBOX,
    Folder.NEEDS_ACTION,
    Folder.PENDING,
    Folder.APPROVED,
    Folder.REJECTED,
)


def make_folders(vault: Path) -> list[NoteError]:
    """Make the missing ones; return those whose name a file has taken."""
    taken: list[NoteError] = []
    for folder in FOR_THE_PERSON:
        try:
            (vault / folder).mkdir(exist_ok=True)
        except FileExistsError:
            taken.append(
                NoteError(
                    f"a file stands where the folder {folder}/ belongs, and is not looked at",
                    remedy=f"If it is a card, move it to {Folder.PENDING}/; else rename it",
                    where=str(folder),
                )
            )
    return taken

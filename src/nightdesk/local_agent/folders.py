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
    """Make the missing ones; return what is wrong: a name that a file has taken, a misspelt one."""
    taken = [
        NoteError(
            f"the folder `{name}/` is not `{folder}/`, and is not looked at",
            remedy=f"Move what lies in it to `{folder}/`",
            where=name,
        )
        for name, folder in misspelt(vault).items()
    ]
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


def misspelt(vault: Path) -> dict[str, Folder]:
    """Folders in the vault's root that a person takes for one of the desk's, and which they mean.

    `approved/` beside `Approved/` is another folder where the disk tells the case of letters.
    """
    meant = {str(folder).casefold(): folder for folder in FOR_THE_PERSON}
    found: dict[str, Folder] = {}
    for path in sorted(vault.iterdir()):
        folder = meant.get(path.name.strip().casefold())
        if folder is None or path.name == folder or path.is_symlink() or not path.is_dir():
            continue
        if not ((vault / folder).exists() and path.samefile(vault / folder)):
            found[path.name] = folder
    return found

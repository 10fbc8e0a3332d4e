"""The emergency stop: a note in the vault's root, however its name is written.

Whoever is in a hurry makes `stop.md`, a folder called `STOP`, or a link; each of them halts.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from pathlib import Path

from nightdesk.errors import UsageError
from nightdesk.vault.files import create
from nightdesk.vault.layout import STOP_FILE

_NAMES = frozenset({"stop.md", "stop"})


def stop_notes(vault: Path) -> list[str]:
    """The names in the vault's root that halt all execution, of any case and any kind of file.

    A root that cannot be listed halts too: what cannot be looked at is not known to be free.
    """
    try:
        names = [path.name for path in vault.iterdir()]
    except OSError:
        return [STOP_FILE]
    return sorted(n for n in names if unicodedata.normalize("NFKC", n).casefold() in _NAMES)


def stop(vault: Path) -> None:
    """Halt all execution: the executor looks before every call."""
    with suppress(FileExistsError):
        create(vault / STOP_FILE, b"Nothing is carried out while this note is here.\n")


def release(vault: Path) -> None:
    """Let execution go on.

    Raises:
        UsageError: a folder of that name stops it; what is in it is not ours to delete.
    """
    for name in stop_notes(vault):
        path = vault / name
        if path.is_dir() and not path.is_symlink():
            raise UsageError(
                f"a folder called {name} stops the desk",
                remedy="Rename or remove the folder yourself",
                where=str(path),
            )
        path.unlink(missing_ok=True)

"""Change a note that a person may be editing: only if it is still what we looked at."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nightdesk.vault import files
from nightdesk.vault.layout import conflict_name


def replace_unchanged(path: Path, expected: bytes, data: bytes) -> bool:
    """Replace a file's bytes if they are still the expected ones.

    What a person saved in between stays; if the file also moved away in between, it is
    kept beside the old place as a conflict copy. Nothing is lost.

    Returns:
        True if the file now holds `data`; False if a person was faster or it has moved.
    """
    try:
        old = files.exchange(path, data)
    except FileNotFoundError:
        return False
    if old == expected:
        return True
    try:
        while (came_out := files.exchange(path, old)) != data:
            old = came_out
    except FileNotFoundError:
        with suppress(FileExistsError):
            files.create(path.with_name(conflict_name(path.name, old)), old)
    return False

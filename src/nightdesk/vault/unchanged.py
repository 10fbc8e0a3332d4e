"""Change a note that a person may be editing: only if it is still what we looked at.

What a person saved in between goes back to its place as the very file it was, so that an editor
which still has it open goes on writing into the note. At no moment is it in our memory only: a
process that is killed leaves it beside the note, where `sync.leftovers` finds it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nightdesk.vault.files import exchange, mode_of, read_regular, rename_new, swap, sync_folder
from nightdesk.vault.files import written as write_beside
from nightdesk.vault.layout import conflict_name
from nightdesk.vault.temporary import whole_of

_LIMIT = 1 << 30


def replace_unchanged(path: Path, expected: bytes, data: bytes) -> bool:
    """Replace a file's bytes if they are still the expected ones.

    If a person saved in between and the file then moved away as well, what they saved is kept
    beside the old place as a conflict copy.

    Returns:
        True if the file now holds `data`; False if a person was faster or it has moved.

    Raises:
        OSError: a link or a folder stands there, or the disk is full or fails.
    """
    temporary = None
    try:
        temporary = write_beside(path, data, mode_of(path), expected=expected)
        swapped = swap(temporary, path)
    except FileNotFoundError:
        if temporary:
            temporary.unlink(missing_ok=True)
        return False
    except BaseException:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise
    if not swapped:  # macOS and some mounts: a window of microseconds remains
        temporary.unlink()
        if read_regular(path, _LIMIT) != expected:
            return False
        old = exchange(path, data, expected=expected)
        if old != expected:
            exchange(path, old, expected=data)
        return old == expected
    if _bytes_of(temporary) != expected:
        _give_back(temporary, path, data)
        return False
    temporary.unlink()
    sync_folder(path.parent)
    return True


def remove_unchanged(path: Path, expected: bytes) -> bool:
    """Remove a file if it still holds the expected bytes.

    Returns:
        True if it is gone; False if a person changed it first, then it stays.
    """
    out = whole_of(path, expected, expected)
    try:
        rename_new(path, out)
    except FileNotFoundError:
        return True
    if _bytes_of(out) == expected:
        out.unlink()
        sync_folder(path.parent)
        return True
    try:
        rename_new(out, path)
    except FileExistsError:
        keep_beside(out, path)
    sync_folder(path.parent)
    return False


def keep_beside(file: Path, note: Path) -> Path:
    """Make a file a conflict copy of a note, in the note's folder; the copy's path."""
    data = _bytes_of(file) or b""
    copy = note.with_name(conflict_name(note.name, data))
    try:
        rename_new(file, copy)
    except FileExistsError:
        if _bytes_of(copy) != data:
            raise
        file.unlink()  # the same bytes under the same name
    sync_folder(copy.parent)
    return copy


def _give_back(temporary: Path, path: Path, ours: bytes) -> None:
    # Swap until what comes out is what we put in last; a newer save comes out again and again.
    put, held = ours, _bytes_of(temporary)
    while True:
        try:
            swap(temporary, path)
        except FileNotFoundError:  # moved away with our bytes in it
            if temporary.exists():
                keep_beside(temporary, path)
            return
        came = _bytes_of(temporary)
        if came == put:
            break
        put, held = held or b"", came
    if put == ours:
        temporary.unlink()
        sync_folder(path.parent)
    else:
        keep_beside(temporary, path)


def _bytes_of(path: Path) -> bytes | None:
    with suppress(OSError):
        return read_regular(path, _LIMIT)
    return None

"""Atomic files: create without overwrite, replace by exchange, move without overwrite.

Obsidian never sees a missing or half-written file, and what a person wrote in between is
handed back to the caller instead of being lost.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from nightdesk.vault.temporary import TEMPORARY_PREFIX, part_of, whole_of

__all__ = [
    "TEMPORARY_PREFIX",
    "create",
    "exchange",
    "mode_of",
    "move",
    "read_regular",
    "rename_new",
    "swap",
    "sync_folder",
    "write",
    "written",
]

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100


_MISSING = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
"""How the kernel, the C library or the file system says that it has no such rename."""


@cache
def _libc_rename() -> Callable[..., Any] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # musl has none


def _renameat2(source: Path, target: Path, flags: int) -> None:
    call = _libc_rename()
    if call is None:
        raise OSError(errno.ENOSYS, "renameat2 is not available here")
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as e:
        if e.errno != errno.EINVAL:  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    missing: list[Path] = []
    at = folder
    while not at.is_dir():
        missing.append(at)
        at = at.parent
    for new in reversed(missing):
        try:
            new.mkdir(exist_ok=True)
        except FileExistsError as e:
            # Not FileExistsError: to callers that would mean that the note is there already.
            raise NotADirectoryError(errno.ENOTDIR, "a file stands there", str(new)) from e
        sync_folder(new.parent)


def written(beside: Path, data: bytes, mode: int, *, expected: bytes | None = None) -> Path:
    """Write a temporary file beside a note: complete, flushed, and named for what it is.

    Args:
        mode: permission bits, whatever the umask says.
        expected: what the caller expects to swap it with; None where that is not known.
    """
    return _write_beside(beside, data, mode, expected, exactly=True)


def _write_beside(
    beside: Path, data: bytes, mode: int, expected: bytes | None, *, exactly: bool
) -> Path:
    part, whole = part_of(beside), whole_of(beside, data, expected)
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if exactly:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        part.rename(whole)  # from here on it may hold what was swapped out of a note's place
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    return whole


def create(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Create a file with its folders, complete or not at all.

    Args:
        mode: permission bits; those that the process's umask takes away are not given.

    Raises:
        FileExistsError: something is there already; it is untouched.
        NotADirectoryError: a file stands where a folder is needed.
    """
    _make_folder(path.parent)
    temporary = _write_beside(path, data, mode, None, exactly=False)
    try:
        rename_new(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def rename_new(source: Path, target: Path) -> None:
    """Rename a file without overwrite.

    Raises:
        FileExistsError: something is there already.
    """
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as e:
        if e.errno not in _MISSING:
            raise
        os.link(source, target, follow_symlinks=False)
        source.unlink()


def swap(one: Path, other: Path) -> bool:
    """Let two files change places in one step; False where the file system has no such step.

    Raises:
        FileNotFoundError: one of them is gone; the other is where it was.
    """
    try:
        _renameat2(one, other, _EXCHANGE)
    except OSError as e:
        if e.errno not in _MISSING:
            raise
        return False
    return True


def exchange(path: Path, data: bytes, *, expected: bytes | None = None) -> bytes:
    """Replace an existing file in one step and return what was there.

    For files that no person edits; a note is changed with `vault.unchanged`.

    Args:
        expected: what the caller knows to be there; after a crash other bytes are kept.

    Raises:
        FileNotFoundError: the file has moved; nothing is brought back.
        OSError: a link or a folder stands there (ELOOP, EINVAL); it is untouched.
    """
    temporary = written(path, data, mode_of(path), expected=expected)
    ours = True
    try:
        if swap(temporary, path):
            ours = False
            old = _read_back(temporary, path)
        else:
            old = _replace_without_exchange(temporary, path)
        ours = True
    finally:
        if ours:  # else it is all that is left of what stood there
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return old


def _read_back(temporary: Path, path: Path) -> bytes:
    try:
        return _read(temporary)
    except OSError:
        # It became a link or a folder since the look before, or cannot be read: back.
        swap(temporary, path)
        temporary.unlink()
        raise


def mode_of(path: Path) -> int:
    """The permission bits of an ordinary file.

    Raises:
        OSError: it is missing (ENOENT), a link (ELOOP) or not an ordinary file (EINVAL).
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "a link stands there", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return stat.S_IMODE(status.st_mode)


def _replace_without_exchange(temporary: Path, path: Path) -> bytes:
    # macOS, and file systems without RENAME_EXCHANGE: a window of microseconds remains in
    # which a save can slip in between the read and the rename.
    old = _read(path)
    temporary.replace(path)
    return old


def write(path: Path, data: bytes) -> None:
    """Write a file that the caller alone owns (state files, the dashboard): create or replace.

    A file that holds these bytes already is left alone.

    Raises:
        FileNotFoundError: its folder is not there; a vault that vanished is not made anew.
    """
    while True:
        try:
            found = _read(path)
            if found != data:
                exchange(path, data, expected=found)
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            try:
                create(path, data)
            except FileExistsError:  # made between the two looks
                continue
        return


def move(source: Path, target: Path, *, flush: bool = True) -> bool:
    """Move without overwrite; on one disk this decides who owns a thing.

    Args:
        flush: flush both folders to disk; without it the caller does so with `sync_folder`.

    Returns:
        True if this call moved it; False if the source was gone or the target taken.

    Raises:
        NotADirectoryError: a file stands where a folder is needed.
    """
    _make_folder(target.parent)
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as e:
        if e.errno in {errno.ENOENT, errno.EEXIST}:
            return False
        if e.errno not in _MISSING:
            raise
        if not _move_by_link(source, target):
            return False
    if not flush:
        return True
    sync_folder(target.parent)
    with suppress(FileNotFoundError):
        sync_folder(source.parent)
    return True


def _move_by_link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except (FileNotFoundError, FileExistsError):
        return False
    try:
        source.unlink()
    except FileNotFoundError:
        # Another mover linked it elsewhere and removed the source first: it won.
        target.unlink()
        return False
    return True


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file without following a link.

    Raises:
        OSError: not there, a symlink (ELOOP), not a regular file (EINVAL), or larger than
            `limit` bytes (EFBIG).
    """
    return _read(path, limit)


def _read(path: Path, limit: int | None = None) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read() if limit is None else file.read(limit + 1)
    finally:
        os.close(handle)
    if limit is not None and len(data) > limit:
        raise OSError(errno.EFBIG, "file too large", str(path))
    return data

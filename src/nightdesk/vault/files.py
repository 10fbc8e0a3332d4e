"""Atomic files: create without overwrite, replace by exchange, move without overwrite.

Obsidian never sees a missing or half-written file, and what a person wrote in between is
handed back to the caller instead of being lost.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_PREFIX = ".nightdesk-"
"""Prefix of temporary files; dot-paths are ignored by every scanner and by sync."""

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100


def _renameat2(source: Path, target: Path, flags: int) -> None:
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, "renameat2 is a Linux call")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _temporary(beside: Path, data: bytes, mode: int) -> Iterator[Path]:
    path = beside.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.tmp"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def create(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Create a file with its folders, complete or not at all.

    Raises:
        FileExistsError: something is there already; it is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path, data, mode) as temporary:
        os.link(temporary, path)
    sync_folder(path.parent)


def exchange(path: Path, data: bytes) -> bytes:
    """Replace an existing file in one step and return what was there.

    The caller compares the returned bytes with what it expected; if they differ, a person
    saved in between, and the caller puts them back or keeps them.

    Raises:
        FileNotFoundError: the file has moved; nothing is brought back.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    with _temporary(path, data, mode) as temporary:
        try:
            _renameat2(temporary, path, _EXCHANGE)
        except OSError as e:
            if e.errno not in {errno.ENOSYS, errno.EINVAL}:
                raise
            old = _replace_without_exchange(temporary, path)
        else:
            old = temporary.read_bytes()
    sync_folder(path.parent)
    return old


def _replace_without_exchange(temporary: Path, path: Path) -> bytes:
    # macOS, and file systems without RENAME_EXCHANGE: a window of microseconds remains in
    # which a save can slip in between the read and the rename.
    old = path.read_bytes()
    temporary.replace(path)
    return old


def write(path: Path, data: bytes) -> None:
    """Write a file that the caller alone owns (state files, the dashboard): create or replace."""
    try:
        create(path, data)
    except FileExistsError:
        if path.read_bytes() != data:
            exchange(path, data)


def move(source: Path, target: Path) -> bool:
    """Move without overwrite; on one disk this decides who owns a thing.

    Returns:
        True if this call moved it; False if the source was gone or the target taken.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as e:
        if e.errno in {errno.ENOENT, errno.EEXIST}:
            return False
        if e.errno not in {errno.ENOSYS, errno.EINVAL}:
            raise
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
    sync_folder(target.parent)
    if source.parent.exists():
        sync_folder(source.parent)
    return True


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file without following a link.

    Raises:
        OSError: not there, a symlink (ELOOP), not a regular file (EINVAL), or larger than
            `limit` bytes (EFBIG).
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, "file too large", str(path))
        return file.read(limit + 1)

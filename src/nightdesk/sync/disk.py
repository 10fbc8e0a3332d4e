"""Listing: what kind of thing lies at each path of the work tree, without reading any file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nightdesk.sync.entries import Entry
from nightdesk.sync.exclude import GITIGNORE, excluded

Key: TypeAlias = tuple[int, int, int]
"""Size in bytes, modification time in ns, inode: while they are the same, so are the bytes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look at one path found.

    Attributes:
        entry: what the file holds; None where it could not be read or must not be stored.
        reason: why it is held back; "" where it is not.
        line: where in the file the reason lies; 0 for the whole.
        leaves_hub: whether the hub's version of it goes too.
        ignored: whether the vault's ignore file names it.
        key: None for what is no ordinary file.
        racy: it was read so soon after it changed that it may change again unseen.
        unread: a folder that could not be listed.
    """

    entry: Entry | None
    reason: str = ""
    line: int = 0
    leaves_hub: bool = False
    ignored: bool = False
    key: Key | None = None
    racy: bool = False
    unread: bool = False


Found: TypeAlias = Key | Seen
"""An ordinary file's key, or why something that is none is held back."""


IsPrivate: TypeAlias = Callable[[str], bool]
"""Whether a folder, vault-relative, is none to look into: a copy of private files."""


def list_below(vault: Path, prefix: str, is_private: IsPrivate) -> Iterator[tuple[str, Found]]:
    """List a folder at any depth; hidden names are passed over.

    Args:
        prefix: "" for the whole vault, else "a/b/".

    Raises:
        OSError: the vault itself cannot be listed.
    """
    try:
        with os.scandir(vault / prefix) as listing:
            entries = list(listing)
    except OSError as e:
        if not prefix:
            raise
        if e.errno not in {errno.ENOENT, errno.ENOTDIR}:
            why = f"the folder cannot be listed ({e.strerror})"
            yield prefix.rstrip("/"), Seen(None, why, leaves_hub=True, unread=True)
        return
    for entry in entries:
        if entry.name.startswith(".") and (prefix or entry.name != GITIGNORE):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # gone since it was listed
        except OSError as e:
            yield prefix + entry.name, _unknown(e)
            continue
        yield from _look(vault, prefix + entry.name, status, is_private)


def list_at(vault: Path, path: str, is_private: IsPrivate) -> Iterator[tuple[str, Found]]:
    """What lies at one path, and below it where it is a folder; "" is the whole vault."""
    if not path:
        yield from list_below(vault, "", is_private)
        return
    try:
        status = os.lstat(vault / path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        yield path, _unknown(e)
        return
    yield from _look(vault, path, status, is_private)


def _unknown(error: OSError) -> Seen:
    # File or folder: what the hub has at this path and below it stays as it is.
    return Seen(None, f"it cannot be looked at ({error.strerror})", unread=True)


def _look(
    vault: Path, path: str, status: os.stat_result, is_private: IsPrivate
) -> Iterator[tuple[str, Found]]:
    if stat.S_ISDIR(status.st_mode):
        reason = excluded(path)
        if not reason and is_private(path):
            reason = "it is a copy of an agent's state folder"
        if reason:
            yield path, Seen(None, reason, leaves_hub=True)
        else:
            yield from list_below(vault, f"{path}/", is_private)
    elif stat.S_ISREG(status.st_mode):
        yield path, (status.st_size, status.st_mtime_ns, status.st_ino)
    else:
        kind = "a link" if stat.S_ISLNK(status.st_mode) else "no ordinary file"
        yield path, Seen(None, f"it is {kind}")


def places_to_look(vault: Path, paths: Iterable[str], is_private: IsPrivate) -> list[str]:
    """Where to look when these paths may have changed: none below another, none hidden.

    A path below something that is no folder any more, or that is not looked into, stands for
    that one.

    Args:
        paths: vault-relative, of files or folders, there or not.

    Returns:
        The places in order; "" among them means the whole vault.
    """
    folders: dict[str, bool] = {}
    found = (_place(vault, path, folders, is_private) for path in paths)
    places = {place for place in found if place is not None}
    if "" in places:
        return [""]
    return sorted(p for p in places if not any(above in places for above in _above(p)))


def _place(vault: Path, path: str, folders: dict[str, bool], is_private: IsPrivate) -> str | None:
    if path == GITIGNORE:
        return path
    if any(part.startswith(".") for part in path.split("/")):
        return None
    for above in _above(path):
        if above not in folders:
            may_look = not excluded(above) and _is_folder(vault / above)
            folders[above] = may_look and not is_private(above)
        if not folders[above]:
            return above
    return path


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _above(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)

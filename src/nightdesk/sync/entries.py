"""The words of sync: what a path holds, what a commit changed, what stayed back and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

FILE_MODE = "100644"
"""The one mode that sync writes and accepts: an ordinary file."""


class Entry(NamedTuple):
    """What a path holds: git's file mode ("100644") and the id of its bytes (40 hex)."""

    mode: str
    oid: str


PathMap: TypeAlias = Mapping[str, Entry]
"""Vault-relative path -> what it holds."""


def blob_oid(data: bytes) -> str:
    """The id that git gives these bytes (SHA-1 over `blob <length> NUL <bytes>`)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def entry_of(data: bytes) -> Entry:
    """The entry of an ordinary file with these bytes."""
    return Entry(FILE_MODE, blob_oid(data))


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A file of this disk that does not leave it.

    Attributes:
        path: vault-relative.
        reason: one clause without a full stop, for example "it belongs to the zone payments".
        line: line number counted from 1; 0 when no one line is at fault.
    """

    path: str
    reason: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something from the hub that was not applied, or could not be written here."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Changed:
    """One path in one commit: what it held before and after; None where there was nothing."""

    path: str
    before: Entry | None
    after: Entry | None


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the hub's history.

    Attributes:
        oid: 40 hex.
        parents: their ids.
        author: the author's name, which is the agent's name; unproven until it is signed.
        time: committer time, seconds since the epoch.
        changes: against each of its parents (against nothing for a root commit).
    """

    oid: str
    parents: tuple[str, ...]
    author: str
    time: int
    changes: tuple[Changed, ...]


def printable(path: str) -> str:
    """A path as it can be shown: bytes that are no UTF-8 become `\\udcXX` escapes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")

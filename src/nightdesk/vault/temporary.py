"""Temporary files beside a note, named so that a later run knows whose bytes they hold.

A process can be killed between any two system calls, and what was swapped out of a note's place
may be the only copy of what a person just saved. So nothing is judged by age: the name says
which bytes we wrote and which we expected to swap out, and all else is a person's.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

TEMPORARY_PREFIX = ".nightdesk-"
"""Prefix of temporary files; dot-paths are ignored by every scanner and by sync."""

_PART = re.compile(r"\.nightdesk-(?P<pid>\d+)-[0-9a-f]{8}\.part")
_WHOLE = re.compile(
    r"\.nightdesk-(?P<ours>[0-9a-f]{12})-(?P<expected>[0-9a-f]{12}|any)-(?P<pid>\d+)"
    r"-[0-9a-f]{8}-(?P<name>.+)\.tmp",
    re.DOTALL,
)
_IN_USE_SECONDS = 60.0
_NAME_BYTES = 180


def part_of(beside: Path) -> Path:
    """A name for bytes that are still being written; never anybody's only copy."""
    return beside.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}.part")


def whole_of(beside: Path, ours: bytes, expected: bytes | None) -> Path:
    """A name for complete bytes that are about to take a note's place, or to leave it.

    Args:
        beside: the note.
        ours: what we put, or may drop.
        expected: what we expect to come out of the note's place; None for anything.
    """
    marks = f"{_mark(ours)}-{'any' if expected is None else _mark(expected)}"
    name = _cut(beside.name)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    return beside.with_name(f"{TEMPORARY_PREFIX}{marks}-{unique}-{name}.tmp")


@dataclass(frozen=True, slots=True)
class Leftover:
    """What the name of a temporary file says.

    Attributes:
        note: the note's file name, shortened where it was very long; "" where it is not known.
        unfinished: it was being written; nothing was swapped with it.
    """

    pid: int
    note: str
    unfinished: bool
    marks: frozenset[str]

    def is_ours(self, data: bytes) -> bool:
        """Whether these bytes are what we wrote, or what we knew when we swapped them out."""
        return _mark(data) in self.marks

    def is_in_use(self, file: Path) -> bool:
        """Whether the process that made it lives and is at it."""
        try:
            fresh = abs(time.time() - file.lstat().st_ctime) < _IN_USE_SECONDS
        except FileNotFoundError:
            return False
        return fresh and _lives(self.pid)


def read_name(name: str) -> Leftover | None:
    """Read a file's name; None where it is no temporary file of ours."""
    if not name.startswith(TEMPORARY_PREFIX) or not name.endswith((".part", ".tmp")):
        return None
    if part := _PART.fullmatch(name):
        return Leftover(int(part["pid"]), "", True, frozenset())
    if whole := _WHOLE.fullmatch(name):
        marks = frozenset({whole["ours"], whole["expected"]} - {"any"})
        return Leftover(int(whole["pid"]), whole["name"], False, marks)
    return Leftover(0, "", False, frozenset())


def sweep_private(folder: Path) -> None:
    """Remove what killed runs left in a folder of our own, where no person saves anything.

    Never to be used in the vault: there, such a file may hold the only copy of a note.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except FileNotFoundError:
        return
    for name in names:
        left = read_name(name)
        if left and not left.is_in_use(folder / name):
            (folder / name).unlink(missing_ok=True)


def _mark(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _cut(name: str) -> str:
    raw = os.fsencode(name)
    if len(raw) <= _NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    end = os.fsencode(dot + extension)[-24:] if stem else b""
    start = raw[: _NAME_BYTES - len(end)].decode("utf-8", "ignore")
    return start + os.fsdecode(end)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # killed, but its parent has not looked yet
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return True
    return state[0] != "Z"

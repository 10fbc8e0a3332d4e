"""Applying a plan: file by file, atomically, never over what a person wrote in between.

Every step looks first, changes in one rename, and looks at what came out. What is not what
the plan expected is put back, and the caller plans again from a new snapshot.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nightdesk.sync.entries import blob_oid
from nightdesk.sync.plan import Step, Verb
from nightdesk.sync.storage import FATAL, unavailable
from nightdesk.vault.files import create, exchange, move, read_regular
from nightdesk.vault.layout import conflict_name

_LIMIT = 1 << 30


@dataclass(slots=True)
class Applied:
    """What became of a plan's steps.

    Attributes:
        paths: written, moved (both places) or removed.
        disturbed: somebody changed these in between; theirs is still there.
        unwritable: path -> why it cannot be written on this disk.
        stale: path that should have changed or gone -> id of the bytes that are still there.
    """

    paths: list[str] = field(default_factory=list)
    disturbed: list[str] = field(default_factory=list)
    unwritable: dict[str, str] = field(default_factory=dict)
    stale: dict[str, str] = field(default_factory=dict)


class _DisturbedError(Exception):
    """The disk is not what the plan expected."""


def apply(
    vault: Path,
    trash: Path,
    steps: Sequence[Step],
    blobs: Mapping[str, bytes],
    before_each: Callable[[], None] = lambda: None,
) -> Applied:
    """Carry out the steps; each is done or not done, and doing it again is harmless.

    Args:
        trash: a folder on the vault's file system; removed files pass through it, and what
            turns out to be a person's stays there if its place is taken.
        blobs: id -> bytes, for every step that writes.
        before_each: called before every step.

    Raises:
        VaultUnavailable: the disk is full, read-only or failing.
    """
    trash.mkdir(exist_ok=True)  # never its parents: a vault that vanished is not made anew
    applied = Applied()
    for step in steps:
        before_each()
        try:
            _carry_out(vault, trash, step, blobs)
        except (_DisturbedError, FileExistsError, NotADirectoryError, IsADirectoryError):
            # The next snapshot sees what stands there; the caller counts how often.
            applied.disturbed.append(step.target or step.path)
        except OSError as e:
            if e.errno in FATAL:
                raise unavailable(vault, e.strerror or str(e)) from e
            applied.unwritable[step.target or step.path] = e.strerror or str(e)
            if step.expect:
                applied.unwritable.setdefault(step.path, e.strerror or str(e))
                applied.stale[step.path] = step.expect
        else:
            applied.paths += [step.path, step.target] if step.target else [step.path]
    return applied


def _carry_out(vault: Path, trash: Path, step: Step, blobs: Mapping[str, bytes]) -> None:
    path = vault / step.path
    match step.verb:
        case Verb.CREATE:
            _create(path, blobs[step.new])
        case Verb.REPLACE:
            _replace(path, step.expect, blobs[step.new])
        case Verb.MOVE:
            _expect(path, step.expect)
            _clear_empty_folders(vault / step.target)
            if not move(path, vault / step.target):
                raise _DisturbedError
            _expect(vault / step.target, step.expect)
        case Verb.REMOVE:
            _remove(path, step.expect, trash)


def _current(path: Path) -> bytes | None:
    try:
        return read_regular(path, _LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _expect(path: Path, oid: str) -> None:
    data = _current(path)
    if data is None or blob_oid(data) != oid:
        raise _DisturbedError


def _create(path: Path, data: bytes) -> None:
    _clear_empty_folders(path)
    try:
        create(path, data)
    except FileExistsError:
        if _current(path) != data:
            raise


def _replace(path: Path, expect: str, data: bytes) -> None:
    found = _current(path)
    if found == data:
        return
    if found is None or blob_oid(found) != expect:
        raise _DisturbedError
    try:
        out = exchange(path, data)
    except FileNotFoundError as e:
        raise _DisturbedError from e
    if blob_oid(out) == expect:
        return
    _put_back(path, out, data)
    raise _DisturbedError


def _put_back(path: Path, theirs: bytes, ours: bytes) -> None:
    """Give a person's version its place again, also when another save slips in between."""
    while True:
        try:
            out = exchange(path, theirs)
        except FileNotFoundError:  # moved away with our bytes in it: keep theirs beside
            with suppress(FileExistsError):
                create(Path(conflict_name(str(path), theirs)), theirs)
            return
        if out == ours:
            return
        ours, theirs = theirs, out  # a newer save came out: that one belongs there
        with suppress(FileExistsError):
            create(Path(conflict_name(str(path), ours)), ours)


def _remove(path: Path, expect: str, trash: Path) -> None:
    found = _current(path)
    if found is None:
        return
    if blob_oid(found) != expect:
        raise _DisturbedError
    out = trash / secrets.token_hex(8)
    if not move(path, out):
        return  # gone by itself
    data = _current(out)
    if data is not None and blob_oid(data) == expect:
        out.unlink()
        return
    if not move(out, path):  # its place is taken: the trash keeps it, and a copy lies beside
        with suppress(FileExistsError):
            create(Path(conflict_name(str(path), data or b"")), data or b"")
    raise _DisturbedError


def _clear_empty_folders(path: Path) -> None:
    """Remove an empty folder, with the empty folders in it, where a file is to be."""
    if path.is_symlink() or not path.is_dir():
        return
    for folder in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
        with suppress(OSError):
            folder.rmdir()
    with suppress(OSError):
        path.rmdir()

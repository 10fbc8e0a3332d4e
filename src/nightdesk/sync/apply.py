"""Applying a plan: file by file, atomically, never over what a person wrote in between.

Every step looks first, changes in one rename, and looks at what came out. What is not what
the plan expected is put back, and the caller plans again from a new snapshot.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nightdesk.sync.entries import blob_oid
from nightdesk.sync.plan import Step, Verb
from nightdesk.sync.storage import FATAL, gone, unavailable
from nightdesk.vault.files import create, move, read_regular
from nightdesk.vault.unchanged import remove_unchanged, replace_unchanged

_LIMIT = 1 << 30
_OTHER_KIND = frozenset({errno.EINVAL, errno.ELOOP})
"""How a folder or a link answers where an ordinary file was: somebody put it there."""


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
    steps: Sequence[Step],
    blobs: Mapping[str, bytes],
    before_each: Callable[[], None] = lambda: None,
) -> Applied:
    """Carry out the steps; each is done or not done, and doing it again is harmless.

    Args:
        blobs: id -> bytes, for every step that writes.
        before_each: called before every step.

    Raises:
        VaultUnavailable: the disk is full, read-only or failing.
    """
    if steps and not vault.is_dir():  # a vault that vanished is not made anew
        raise gone(vault)
    applied = Applied()
    for step in steps:
        before_each()
        try:
            _carry_out(vault, step, blobs)
        except (_DisturbedError, FileExistsError, NotADirectoryError, IsADirectoryError):
            # The next snapshot sees what stands there; the caller counts how often.
            applied.disturbed.append(step.target or step.path)
        except OSError as e:
            if e.errno in FATAL:
                raise unavailable(vault, e.strerror or str(e)) from e
            if e.errno in _OTHER_KIND and step.expect:
                applied.disturbed.append(step.target or step.path)
                continue
            applied.unwritable[step.target or step.path] = e.strerror or str(e)
            if step.expect:
                applied.unwritable.setdefault(step.path, e.strerror or str(e))
                applied.stale[step.path] = step.expect
        else:
            applied.paths += [step.path, step.target] if step.target else [step.path]
    return applied


def _carry_out(vault: Path, step: Step, blobs: Mapping[str, bytes]) -> None:
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
            _remove(path, step.expect)


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
    if not replace_unchanged(path, found, data):
        raise _DisturbedError


def _remove(path: Path, expect: str) -> None:
    found = _current(path)
    if found is None:
        return
    if blob_oid(found) != expect or not remove_unchanged(path, found):
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

"""What a killed run left beside the notes: our bytes are removed, a person's come back.

A process that dies between swapping a note and looking at what came out leaves a temporary file
that may be the only copy of what a person had just saved. It becomes a conflict copy beside its
note, unless the very same bytes are safe elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nightdesk.errors import VaultUnavailable
from nightdesk.sync.clone import BASE
from nightdesk.sync.entries import blob_oid
from nightdesk.sync.git import Git
from nightdesk.sync.history import SNAPSHOTS
from nightdesk.sync.hub import QUARANTINE
from nightdesk.vault.files import read_regular
from nightdesk.vault.temporary import Leftover, read_name
from nightdesk.vault.unchanged import keep_beside

_LIMIT = 1 << 30
_UNNAMED = "Recovered.md"


def sweep(git: Git) -> tuple[list[str], bool]:
    """Settle every temporary file of a run that is over.

    Returns:
        The conflict copies that were made, vault-relative, and whether all is settled: what a
        living process is at just now is left alone.

    Raises:
        VaultUnavailable: the disk is full, read-only or failing; nothing is removed unseen.
    """
    doubtful: dict[Path, tuple[Leftover, bytes]] = {}
    settled = True
    try:
        for file, leftover in _found(git.vault):
            if leftover.is_in_use(file):
                settled = False
                continue
            try:
                data = read_regular(file, _LIMIT)
            except FileNotFoundError:
                continue
            if leftover.unfinished or leftover.is_ours(data):
                file.unlink(missing_ok=True)
            else:
                doubtful[file] = (leftover, data)
        if not doubtful:
            return [], settled
        safe = _safe(git, {blob_oid(data) for _, data in doubtful.values()})
        copies: list[str] = []
        for file, (leftover, data) in doubtful.items():
            if blob_oid(data) in safe:
                file.unlink(missing_ok=True)
                continue
            note = file.with_name(leftover.note or _UNNAMED)
            copies.append(keep_beside(file, note).relative_to(git.vault).as_posix())
    except OSError as e:
        raise VaultUnavailable(
            f"what an interrupted run left in the vault cannot be settled ({e.strerror})",
            remedy="Free space on the disk, or make it writable; sync goes on by itself",
            where=str(e.filename or git.vault),
        ) from e
    return sorted(copies), settled


def _found(vault: Path) -> Iterator[tuple[Path, Leftover]]:
    for folder, folders, names in os.walk(vault):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            leftover = read_name(name)
            path = Path(folder, name)
            if leftover and not path.is_symlink() and path.is_file():
                yield path, leftover


def _safe(git: Git, oids: set[str]) -> set[str]:
    """Those blobs that the hub's history or a local snapshot holds."""
    present = git.sizes(oids)
    refs = git.refs(BASE, QUARANTINE, SNAPSHOTS)
    if not present or not refs:
        return set()
    listed = git.call("rev-list", "--objects", "--no-object-names", *refs).out.decode().split()
    return present.keys() & set(listed)

"""Claim-by-move: a task belongs to whoever moved it to In_Progress/<agent>/ (FR-006).

On one disk the move without overwrite decides; between machines the pushed commit decides
(`sync.engine`). The owner is read from the folder, never from a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nightdesk.errors import PolicyDenied
from nightdesk.vault.files import move, sync_folder
from nightdesk.vault.layout import Folder, claim_path, place_of
from nightdesk.vault.scan import notes_in


def claim(vault: Path, path: str, agent: str) -> str | None:
    """Take a task on this disk.

    Args:
        path: the task's vault-relative path in `Needs_Action/`.
        agent: the name of the claiming agent, for example "cloud".

    Returns:
        The task's new path if this call won it, None if somebody else did.

    Raises:
        PolicyDenied: the path does not lie in `Needs_Action/`.
    """
    _must_lie_in(Folder.NEEDS_ACTION, path)
    target = claim_path(agent, place_of(path).name)
    return target if move(vault / path, vault / target) else None


def claim_all(vault: Path, paths: Iterable[str], agent: str) -> list[str]:
    """Take tasks on this disk that the hub has confirmed as this agent's.

    The folders are flushed once for all: what a power cut takes back here, the next cycle
    brings again from the hub.

    Returns:
        The new paths of those that were still there.

    Raises:
        PolicyDenied: a path does not lie in `Needs_Action/`.
    """
    won: list[str] = []
    folders: set[Path] = set()
    for path in paths:
        _must_lie_in(Folder.NEEDS_ACTION, path)
        target = claim_path(agent, place_of(path).name)
        if move(vault / path, vault / target, flush=False):
            won.append(target)
            folders |= {(vault / path).parent, (vault / target).parent}
    for folder in folders:
        with suppress(FileNotFoundError):  # emptied and removed by somebody meanwhile
            sync_folder(folder)
    return won


def release(vault: Path, path: str, zone: str) -> str | None:
    """Give a claimed task back to `Needs_Action/<zone>/`; None if it is no longer there.

    Raises:
        PolicyDenied: the path does not lie in `In_Progress/`.
    """
    _must_lie_in(Folder.IN_PROGRESS, path)
    target = f"{Folder.NEEDS_ACTION}/{zone}/{place_of(path).name}"
    return target if move(vault / path, vault / target) else None


def owner_of(vault: Path, name: str) -> str | None:
    """Who has claimed the task with this file name; None when nobody has."""
    for place in notes_in(vault, Folder.IN_PROGRESS):
        if place.name == name:
            return place.group or None
    return None


def _must_lie_in(folder: Folder, path: str) -> None:
    if place_of(path).folder is not folder:
        raise PolicyDenied(
            f"only a task in {folder}/ can be moved like this",
            remedy="Look again; it may have moved",
            where=path,
        )

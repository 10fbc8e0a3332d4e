"""The shared skills' work: is it claimed, what may be claimed, claim, sync (skills 10 to 12).

Handlers that both agents register as they are; the sync engine is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import structlog

from nightdesk.errors import NoteError, PolicyDenied
from nightdesk.policy import Role, Verb, Zone, may
from nightdesk.skills.manifest import Skill
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.layout import Folder, place_of
from nightdesk.vault.scan import notes_in, read

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

MAX_CLAIMS_A_PUSH = 50

log = structlog.get_logger(__name__)


class Claims(Protocol):
    """What takes tasks, confirmed in the hub."""

    def claim(self, paths: list[str]) -> list[str]:
        """Try to claim tasks by their paths; return the new paths of those that were won."""
        ...


class Cycles(Protocol[R_co]):
    """What brings this vault and the hub together."""

    def cycle(self) -> R_co:
        """Run one whole sync cycle and return its report."""
        ...


class OpenTask(NamedTuple):
    """A task that nobody has claimed.

    Attributes:
        path: vault-relative, in `Needs_Action/`.
        task: what the note says.
    """

    path: str
    task: Task


class Claimable(NamedTuple):
    """What a look at `Needs_Action/` found.

    Attributes:
        tasks: what this role may claim, in the order of their file names.
        problems: notes that cannot be read; they stay where they are, and a person must look.
    """

    tasks: list[OpenTask]
    problems: list[NoteError]


def check_claimed(_skill: Skill, vault: Path, task_path: str, agent: str) -> str | None:
    """Who owns a task, read from the folders (FR-006).

    Args:
        task_path: any path of the task's note; only its file name counts.
        agent: who asks. Should the note lie in two agents' folders, the other one is named,
            so that both back off.

    Returns:
        The owner's name, which may be `agent` itself; None when nobody has claimed it.
    """
    owners = _owners(vault).get(place_of(task_path).name, set())
    others = sorted(owners - {agent})
    return others[0] if others else (agent if owners else None)


def claimable(vault: Path, role: Role, agent: str) -> Claimable:
    """Look for tasks that this role may claim and nobody has.

    Args:
        agent: who asks; what lies in its own folder already is not claimed again.
    """
    owners = _owners(vault)
    found = Claimable([], [])
    for place in notes_in(vault, Folder.NEEDS_ACTION):
        if place.name in owners:
            log.debug("claimed already", task=place.stem, asked_by=agent)
            continue
        try:
            task = read_task(read(vault, place.path), place.path)
        except FileNotFoundError:
            continue  # it has moved since the look: somebody else was first
        except NoteError as e:
            found.problems.append(e)
            continue
        if may_claim(role, place.path, task.zone):
            found.tasks.append(OpenTask(place.path, task))
    return found


def may_claim(role: Role, path: str, zone: str) -> bool:
    """Whether the policy lets a role claim a task, by its property and by its folder.

    A note in `Needs_Action/whatsapp/` that calls itself `email` stays closed to the cloud.
    """
    folder_zone = place_of(path).group.casefold()
    zones = {zone, folder_zone} if folder_zone in set(Zone) else {zone}
    return all(may(role, each, Verb.CLAIM) for each in zones)


def claim_task(_skill: Skill, engine: Claims, paths: Sequence[str]) -> list[str]:
    """Claim open tasks; the engine decides who wins.

    Args:
        engine: moves and pushes; at most 50 claims go to it at a time.
        paths: vault-relative, in `Needs_Action/`, as `claimable` found them.

    Returns:
        The new paths in `In_Progress/<agent>/` of the tasks that are now this agent's.

    Raises:
        PolicyDenied: a path lies elsewhere; none is claimed then.
    """
    for path in paths:
        if place_of(path).folder is not Folder.NEEDS_ACTION:
            raise PolicyDenied(
                f"only tasks in {Folder.NEEDS_ACTION}/ can be claimed",
                remedy="Look again; it may have moved",
                where=path,
            )
    won: list[str] = []
    for start in range(0, len(paths), MAX_CLAIMS_A_PUSH):
        won += engine.claim(list(paths[start : start + MAX_CLAIMS_A_PUSH]))
    return won


def sync_vault(_skill: Skill, engine: Cycles[R]) -> R:
    """Bring this vault and the hub together once, and return the engine's report."""
    return engine.cycle()


def _owners(vault: Path) -> dict[str, set[str]]:
    owners: dict[str, set[str]] = {}
    for place in notes_in(vault, Folder.IN_PROGRESS):
        if place.group:
            owners.setdefault(place.name, set()).add(place.group)
    return owners

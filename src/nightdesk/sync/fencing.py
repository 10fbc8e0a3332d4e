"""The fence: nothing that an agent made for a task counts once the task is no longer its own.

A claim is checked again before every effect (docs/design.md, section 3). The last effect is the
push of a draft: an agent that was frozen or cut off may have written it for a task that went
back to `Needs_Action/` meanwhile, or was finished. The push is a compare-and-swap on the tip
that is looked at here, so what passes is owned at the moment in which it arrives. Pure
functions: path maps in, path maps out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.frontmatter import peek
from nightdesk.sync.pairing import Ident, is_state_note
from nightdesk.sync.pathmaps import changes_between
from nightdesk.vault.layout import Folder, card_task, place_of, plan_task


def unowned(
    agent: str, base: PathMap, ours: PathMap, theirs: PathMap, ident: Ident
) -> dict[str, str]:
    """Find drafts of this agent that must not leave: new on this disk, for a task it lost.

    A draft for a task that nobody knows (made on its own account) is not held.

    Args:
        agent: whose disk `ours` is.
        base: what was last in step with the hub.
        theirs: the hub's tip, on which the next push would build.
        ident: id of a note in a state folder.

    Returns:
        Path -> the id of the lost task; cards, plans, and the updates that tell of them.
    """
    made = {
        path: task
        for path, entry in _new(base, ours)
        if theirs.get(path) != entry and (task := _made_for(path))
    }
    if not made:
        return {}
    mine = f"{Folder.IN_PROGRESS}/{agent}/"
    wanted = set(made.values())
    known: set[str] = set()
    owned: set[str] = set()
    for side in (base, theirs):
        for path, entry in side.items():
            if is_state_note(path) and (task := ident(path, entry)[0]) in wanted:
                known.add(task)
                if side is theirs and path.startswith(mine):
                    owned.add(task)
    lost = {path: task for path, task in made.items() if task in known - owned}
    told = {f"{Folder.UPDATES}/{place_of(p).stem}-update.md": task for p, task in lost.items()}
    return lost | {p: task for p, task in told.items() if p in ours and p not in base}


def _new(base: PathMap, ours: PathMap) -> Iterator[tuple[str, Entry]]:
    # By what differs: a walk over all paths would make every cycle cost what the vault holds.
    for path, entry in changes_between(base, ours).items():
        if entry is not None and path not in base:
            yield path, entry


def _made_for(path: str) -> str:
    place = place_of(path)
    if place.folder is Folder.PENDING and place.is_note:
        return card_task(place.stem)
    return plan_task(place.stem) if place.folder is Folder.PLANS and place.is_note else ""


def lost_claims(agent: str, base: PathMap, ours: PathMap, theirs: PathMap, ident: Ident) -> PathMap:
    """The base for a merge that does not claim again what was claimed once and given back.

    The cloud moves a task on its disk only after the hub has taken its claim. If the hub shows
    the task where it was before, the claim is gone (given back, or in a hub from a backup), and
    that base and hub agree must not make the move on this disk look like a new one.

    Args:
        agent: the cloud's name; a claim in its folder needs the hub.
    """
    mine = f"{Folder.IN_PROGRESS}/{agent}/"
    here = {
        ident(path, entry)[0]: path
        for path, entry in _new(base, ours)
        if path.startswith(mine) and path not in theirs and is_state_note(path)
    }
    if not here:
        return base
    given_back = {
        path: here[task]
        for path, entry in base.items()
        if path in theirs and is_state_note(path) and (task := ident(path, entry)[0]) in here
    }
    moved = {claim: base[path] for path, claim in given_back.items()}
    return {**{path: e for path, e in base.items() if path not in given_back}, **moved}


def second_plans(
    agent: str, base: PathMap, ours: PathMap, theirs: PathMap, read: Callable[[str], bytes]
) -> dict[str, Entry]:
    """Find plans from the hub for what this agent has planned itself, both off the same task.

    Returns:
        Path -> the hub's entry, which gives way without a conflict copy.
    """
    both = {
        path: theirs[path]
        for path, entry in _new(base, ours)
        if path.startswith(f"{Folder.PLANS}/")
        and theirs.get(path, entry) != entry
        and _made_for(path)
    }
    return {
        path: entry
        for path, entry in both.items()
        if peek(read(ours[path].oid), "created_by") == agent
        and peek(read(entry.oid), "created_by") not in {agent, ""}
    }


class Whereabouts:
    """Where a task lies on both sides, for judging a card before the sides are one.

    Args:
        base, ours, theirs: what was in step, this disk, the hub.
        ident: id of a note in a state folder.
    """

    def __init__(self, base: PathMap, ours: PathMap, theirs: PathMap, ident: Ident) -> None:
        self._sides = (base, ours, theirs)
        self._ident = ident

    def of(self, task: str) -> frozenset[str]:
        """The paths that somebody moved the task with this id to, or where it has always been.

        Empty where nobody knows the task; a side that removed it is the path "".
        """
        before, here, there = (paths.get(task, "") for paths in self._paths)
        moved = {path for path in (here, there) if path != before}
        return frozenset(moved or ({before} if before else ()))

    @cached_property
    def _paths(self) -> tuple[dict[str, str], ...]:
        return tuple(
            {self._ident(p, side[p])[0]: p for p in sorted(side) if is_state_note(p)}
            for side in self._sides
        )

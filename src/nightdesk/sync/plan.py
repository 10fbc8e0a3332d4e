"""The plan of a merge: the tree that shall be, and the steps that bring this disk to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.pathmaps import changes_between
from nightdesk.vault.layout import is_conflict_copy


class Verb(Enum):
    """What a step does to the disk."""

    CREATE = "create"
    REPLACE = "replace"
    MOVE = "move"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one file.

    Attributes:
        path: where it is (for a new file: where it will be), vault-relative.
        expect: the id of the bytes that must be there now; "" for a new file.
        target: where a move leads.
        new: the id of the bytes to write, by CREATE and REPLACE.
    """

    verb: Verb
    path: str
    expect: str = ""
    target: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What a merge decided.

    Attributes:
        tree: path -> entry, as the hub shall hold it.
        steps: in the order in which they are safe: copies of losers first.
        conflicts: the conflict copies that this merge made.
        blobs: id -> bytes that exist nowhere yet (clean text merges).
    """

    tree: Mapping[str, Entry]
    steps: tuple[Step, ...] = ()
    conflicts: tuple[str, ...] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)


def steps_between(
    disk: PathMap,
    tree: PathMap,
    moved: Mapping[str, str],
    untouched: Collection[str],
) -> tuple[Step, ...]:
    """The steps from what the disk holds to what it shall hold.

    Args:
        disk: what is there, without the paths that only seem to be there.
        tree: what shall be there.
        moved: old path -> new path of notes that moved.
        untouched: paths of `tree` that are not written here.
    """
    changes = changes_between(disk, tree)
    gone = {path for path, entry in changes.items() if entry is None}
    fresh = {path for path in changes.keys() - gone if path not in disk and path not in untouched}
    moves: list[Step] = []
    replaces: list[Step] = []
    for source, target in moved.items():
        if source in gone and target in fresh:
            gone.discard(source)
            fresh.discard(target)
            moves.append(Step(Verb.MOVE, source, disk[source].oid, target))
            if disk[source].oid != tree[target].oid:
                replaces.append(Step(Verb.REPLACE, target, disk[source].oid, new=tree[target].oid))
    removes = [Step(Verb.REMOVE, path, disk[path].oid) for path in gone]
    new = [Step(Verb.CREATE, path, new=tree[path].oid) for path in fresh]
    copies = [step for step in new if is_conflict_copy(step.path)]
    creates = [step for step in new if not is_conflict_copy(step.path)]
    for path, entry in changes.items():
        if entry and path in disk and path not in untouched:
            replaces.append(Step(Verb.REPLACE, path, disk[path].oid, new=entry.oid))
    # A file that yields its path to a folder moves away before others move into that folder.
    moves.sort(key=lambda step: (not is_conflict_copy(step.target), step.path))
    for group in (copies, removes, creates, replaces):
        group.sort(key=lambda step: step.path)
    return (*copies, *removes, *moves, *creates, *replaces)

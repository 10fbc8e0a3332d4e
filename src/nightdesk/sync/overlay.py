"""The overlay: what the disk shows to the merge where it must not, or cannot, tell all.

A card in `Approved/` that the journal has not recorded, a note that holds a credential, a
file that cannot be read or written here: for all of them the merge sees what the hub has,
so that silence is never taken for a removal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.pairing import Find, Ident, is_state_note
from nightdesk.sync.pathmaps import Draft, Paths
from nightdesk.sync.snapshot import Snapshot
from nightdesk.vault.files import write
from nightdesk.vault.layout import Folder, place_of

_DECISION = (f"{Folder.APPROVED}/", f"{Folder.REJECTED}/")


@dataclass(frozen=True, slots=True)
class Shown:
    """This disk as the merge sees it.

    Attributes:
        ours: path -> entry.
        frozen: paths of `ours` that show what the hub has, not what the disk holds.
        absent: those of them that the disk does not hold in any form that can be read.
    """

    ours: Paths[Entry]
    frozen: frozenset[str]
    absent: frozenset[str]


def show(
    snapshot: Snapshot,
    base: Paths[Entry],
    theirs: PathMap,
    ident: Ident,
    find: Find,
    named: Callable[[PathMap, str], Sequence[str]],
    unwritten: Mapping[str, str],
) -> Shown:
    """Lay the hub's last known state over what is not told.

    Args:
        base: what was last in step.
        theirs: the hub; where it already holds a decision on a waiting card, that decision
            meets the one of this disk in the merge.
        ident: id of a note in a state folder.
        find, named: where the notes with an id, or with a file name, lie on a side, in order.
        unwritten: paths of `base` that could not be written on this disk.
    """
    ours = Draft(snapshot.entries)
    frozen: set[str] = set()

    def freeze(path: str) -> None:
        if path not in ours:
            ours[path] = base[path]
            frozen.add(path)

    for folder in snapshot.unread:
        for path, _ in base.below(folder):
            freeze(path)
    for path in unwritten:
        if path in base:
            freeze(path)
    absent = frozenset(frozen)
    for path in snapshot.stuck:
        if path in base:
            freeze(path)
        # Moves keep the file's name, so the name finds the place that the hub has.
        elif is_state_note(path) and (homes := named(base, place_of(path).name)):
            freeze(homes[-1])
    for path, entry in snapshot.waiting.items():
        name = ident(path, entry)[0]
        home = next(iter(find(base, [name])[name]), None)
        if home is None:
            continue
        decided = any(p.startswith(_DECISION) and p != home for p in find(theirs, [name])[name])
        if decided:
            ours[path] = entry
        else:
            freeze(home)
    return Shown(ours.done(), frozenset(frozen), absent)


class Unwritten:
    """Paths of the hub that this disk could not take, and why; kept across restarts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self.reasons: dict[str, str] = json.loads(file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            self.reasons = {}

    def add(self, found: Mapping[str, str]) -> None:
        """Note further ones."""
        if found.items() - self.reasons.items():
            self.reasons.update(found)
            self._save()

    def settle(self, present: PathMap, base: PathMap) -> None:
        """Forget those that are on the disk by now, or no longer in the hub."""
        done = [p for p in self.reasons if p in present or p not in base]
        for path in done:
            del self.reasons[path]
        if done:
            self._save()

    def _save(self) -> None:
        write(self._file, json.dumps(self.reasons).encode())

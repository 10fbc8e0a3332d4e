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
from nightdesk.sync.plan import Step, Verb
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
    """Paths that this disk could not bring to the hub's state, and why; kept across restarts.

    What still lies there is no edit of the person's: telling it would undo what the hub has.
    Every cycle tries them again.

    Attributes:
        reasons: path -> why.
        stale: path -> id of the bytes that lie there and should not; nothing lies at the others.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            said = json.loads(file.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            said = {}
        self.reasons: dict[str, str] = dict(said.get("reasons", {}))
        self.stale: dict[str, str] = dict(said.get("stale", {}))

    def add(self, found: Mapping[str, str], stale: Mapping[str, str] | None = None) -> None:
        """Note further ones."""
        new = {path: reason for path, reason in found.items() if path not in self.reasons}
        changed = {p: oid for p, oid in (stale or {}).items() if self.stale.get(p) != oid}
        if new or changed:
            self.reasons.update(new)
            self.stale.update(changed)
            self._save()

    def steps(self, base: PathMap) -> list[Step]:
        """What would bring the disk to the hub's state."""
        steps: list[Step] = []
        awaited = {base[p].oid for p in self.reasons if p in base and p not in self.stale}
        for path in self.reasons:
            had = self.stale.get(path, "")
            if path in base:
                verb = Verb.REPLACE if had else Verb.CREATE
                steps.append(Step(verb, path, had, new=base[path].oid))
            elif had and had not in awaited:  # a note that moves goes only when it has arrived
                steps.append(Step(Verb.REMOVE, path, had))
        return steps

    def settle(self, present: PathMap, base: PathMap) -> None:
        """Forget those that are as the hub has them, and those that a person has changed."""
        done = [p for p in self.reasons if self._is_settled(p, present.get(p), base.get(p))]
        for path in done:
            del self.reasons[path]
            self.stale.pop(path, None)
        if done:
            self._save()

    def hide(self, entries: Paths[Entry]) -> Paths[Entry]:
        """Without what lies on the disk only for want of a way to change it."""
        here = {path: entries.get(path) for path in self.stale}
        hidden = [path for path, entry in here.items() if entry and entry.oid == self.stale[path]]
        return entries.updated(dict.fromkeys(hidden))

    def _is_settled(self, path: str, here: Entry | None, hub: Entry | None) -> bool:
        had = self.stale.get(path, "")
        return here == hub or (here.oid if here else "") != had

    def _save(self) -> None:
        said = {"reasons": self.reasons, "stale": self.stale}
        write(self._file, json.dumps(said).encode())

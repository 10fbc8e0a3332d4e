"""The merge: base, ours and theirs as path maps become one, in a pure function.

docs/design.md, section 4. Nothing here reads a disk or runs git; what it needs to know is
handed in. Both machines that resolve the same conflict come to the same names and bytes, and
merging the result again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from nightdesk.policy import Role
from nightdesk.sync.entries import FILE_MODE, Entry, PathMap, blob_oid
from nightdesk.sync.heads import split
from nightdesk.sync.pairing import Find, Ident, Unit, pair
from nightdesk.sync.pathmaps import Draft, Paths
from nightdesk.sync.plan import MergePlan, steps_between
from nightdesk.vault.layout import STATE_FOLDERS, Folder, conflict_name

_DECISION = (f"{Folder.APPROVED}/", f"{Folder.REJECTED}/")
_OF_CLOUD = f"{Folder.IN_PROGRESS}/{Role.CLOUD}/"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a merge may ask.

    Attributes:
        ident: id of a note in a state folder.
        read: id of bytes -> the bytes.
        merge_text: ours, base, theirs -> clean merge, or None.
        ours_time: path -> when it was last changed on this disk, seconds since the epoch.
        theirs_time: path -> time of the commit that last changed it in the hub.
        now: a time after this counts as older than any other.
        find: an index of the ids of the three sides; without one they are searched.
    """

    ident: Ident
    read: Callable[[str], bytes]
    merge_text: Callable[[bytes, bytes, bytes], bytes | None]
    ours_time: Callable[[str], float]
    theirs_time: Callable[[str], float]
    now: float
    find: Find | None = None


@dataclass(slots=True)
class _Outcome:
    """Where a unit ends, with what, and which bytes lost."""

    unit: Unit
    path: str
    entry: Entry
    losers: list[Entry] = field(default_factory=list)


def merge(
    base: PathMap,
    ours: PathMap,
    theirs: PathMap,
    *,
    ours_is: Role,
    know: Knowledge,
    agent: str = "",
    frozen: frozenset[str] = frozenset(),
    absent: frozenset[str] = frozenset(),
    occupied: Mapping[str, str] | None = None,
) -> MergePlan:
    """Merge three path maps.

    Args:
        base: what both sides had in common.
        ours: this disk.
        theirs: the hub.
        ours_is: which half of the desk this disk is; Local beats the cloud where both changed
            one note in a state folder, and only Local keeps conflict copies there.
        know: everything else that decides.
        agent: the name of this disk's agent, where it is not its role's: claims in its folder
            are its own, so this disk knows best what has come of them.
        frozen: paths of `ours` that show what was, not what is on the disk; the tree follows
            the hub there, and the disk is not touched.
        absent: those of `frozen` whose note the disk does not hold at all, so that it is written
            as soon as the hub has it elsewhere or otherwise.
        occupied: paths of the disk that are no part of `ours` and must not be written over ->
            the id of the bytes there.
    """
    merging = _Merge(base, ours, theirs, ours_is, know, frozen, absent, occupied or {})
    merging.own_claims = f"{Folder.IN_PROGRESS}/{agent or ours_is}/"
    return merging.plan()


class _Merge:
    def __init__(
        self,
        base: PathMap,
        ours: PathMap,
        theirs: PathMap,
        ours_is: Role,
        know: Knowledge,
        frozen: frozenset[str],
        absent: frozenset[str],
        occupied: Mapping[str, str],
    ) -> None:
        self.base, self.ours, self.theirs = map(Paths.of, (base, ours, theirs))
        self.ours_is = ours_is
        self.know = know
        self.frozen = frozen
        self.absent = absent
        self.occupied = occupied
        self.own_claims = f"{Folder.IN_PROGRESS}/{ours_is}/"
        self.blobs: dict[str, bytes] = {}
        self.conflicts: list[str] = []
        self.tree = Draft(self.ours)
        self.untouched: set[str] = set()
        self.moved: dict[str, str] = {}

    def plan(self) -> MergePlan:
        units = pair(self.base, self.ours, self.theirs, self.know.ident, self.know.find)
        in_units = {p for u in units for p in (u.base, u.ours, u.theirs) if p}
        self.tree.changes = dict.fromkeys(in_units)
        # What is told as it was and has not changed anywhere is in no unit, and stays untold.
        self.untouched |= self.frozen - in_units
        outcomes = [outcome for unit in units if (outcome := self.resolve(unit))]
        self.settle_twins(outcomes)
        # Whoever stands where the hub has it keeps a path that two want.
        outcomes.sort(key=lambda o: (o.path, o.path != o.unit.theirs, o.unit.id, o.entry))
        for outcome in outcomes:
            self.place(outcome)
        for outcome in outcomes:
            for loser in outcome.losers:
                self.keep(outcome.path, loser)
        self.files_yield_to_folders()
        disk = self.ours.updated(dict.fromkeys(self.frozen))
        tree = self.tree.done()
        steps = steps_between(disk, tree, self.moved, self.untouched)
        return MergePlan(tree, steps, tuple(self.conflicts), self.blobs)

    # One unit ---------------------------------------------------------------------------

    def resolve(self, unit: Unit) -> _Outcome | None:
        b, o, t = (
            side[path] if path is not None else None
            for side, path in (
                (self.base, unit.base),
                (self.ours, unit.ours),
                (self.theirs, unit.theirs),
            )
        )
        if o is None and t is None:
            return None
        if o is None or t is None:
            path, entry = (unit.ours, o) if o is not None else (unit.theirs, t)
            assert path is not None
            assert entry is not None
            # Removed on one side: that holds only if the other left it as it was.
            unchanged = path == unit.base and entry == b
            return None if unchanged else _Outcome(unit, path, entry)
        assert unit.ours is not None
        assert unit.theirs is not None
        path = self.choose_place(unit)
        outcome = _Outcome(unit, path, o)
        decided_here = self.decider(unit, path)
        if decided_here is not None:
            outcome.entry, other = (o, t) if decided_here else (t, o)
            if other not in (outcome.entry, b):
                outcome.losers.append(other)
        elif t in (o, b):
            pass
        elif o == b:
            outcome.entry = t
            if unit.ours in self.frozen - self.absent:
                outcome.losers.append(t)  # the disk has another version that is not told
        else:
            self.resolve_content(outcome, b, o, t)
        return outcome

    def choose_place(self, unit: Unit) -> str:
        assert unit.ours is not None
        assert unit.theirs is not None
        if unit.ours in (unit.theirs, unit.base):
            return unit.theirs
        if unit.theirs == unit.base:
            return unit.ours
        ours, theirs = _rank(unit.ours), _rank(unit.theirs)
        if ours == theirs and unit.theirs.startswith(self.own_claims):
            return unit.ours  # the hub has our own claim; this disk, what has come of it since
        return unit.ours if ours > theirs else unit.theirs

    def resolve_content(self, outcome: _Outcome, b: Entry | None, o: Entry, t: Entry) -> None:
        text = self.combine(outcome.path, b, o, t)
        if text is not None:
            entry = Entry(FILE_MODE, blob_oid(text))
            if entry not in {o, t}:
                self.blobs[entry.oid] = text
            outcome.entry = entry
            return
        outcome.entry, loser = (o, t) if self.ours_wins(outcome.unit, o, t) else (t, o)
        outcome.losers.append(loser)

    def decider(self, unit: Unit, path: str) -> bool | None:
        """Whether ours (True) or theirs (False) holds a person's decision made by this move.

        The person decided on the text of that side, so no other text may follow it there.
        """
        if not path.startswith(_DECISION) or path == unit.base:
            return None
        if path == unit.theirs and path == unit.ours:
            return None
        return path == unit.ours

    def combine(self, path: str, b: Entry | None, o: Entry, t: Entry) -> bytes | None:
        """A clean merge of two edits, or None; properties are never merged line by line."""
        if b is None or not path.endswith(".md") or path.startswith(_DECISION):
            return None
        base, ours, theirs = (self.know.read(e.oid) for e in (b, o, t))
        heads, bodies = zip(*map(split, (ours, base, theirs)), strict=True)
        head = _one_sided(*heads)
        if head is None:
            return None
        body = _one_sided(*bodies)
        if body is None:
            body = self.know.merge_text(*bodies)
        return None if body is None else head + body

    def ours_wins(self, unit: Unit, o: Entry, t: Entry) -> bool:
        if unit.is_state:
            return self.ours_is is Role.LOCAL
        assert unit.ours is not None
        assert unit.theirs is not None
        times = (self.know.ours_time(unit.ours), self.know.theirs_time(unit.theirs))
        ours, theirs = (-1.0 if at > self.know.now else at for at in times)
        return (ours, o.oid) > (theirs, t.oid)

    # All units together -----------------------------------------------------------------

    def settle_twins(self, outcomes: list[_Outcome]) -> None:
        """See to it that an id that a note itself carries stands in one place only."""
        groups: dict[str, list[_Outcome]] = defaultdict(list)
        for outcome in outcomes:
            if outcome.unit.id and self.know_id(outcome) == outcome.unit.id:
                groups[outcome.unit.id].append(outcome)
        for twins in groups.values():
            if len(twins) < 2 or all(self.base.get(o.path) == o.entry for o in twins):
                continue
            known = {o.unit.base for o in twins if o.unit.base}
            twins.sort(key=lambda o: (-_claim_on(o.path, known), o.path != o.unit.theirs, o.path))
            keeper, *others = twins
            had = {self.base[path] for path in known} | {keeper.entry}
            for other in others:
                outcomes.remove(other)
                keeper.losers += other.losers
                if other.entry not in had:
                    keeper.losers.append(other.entry)

    def know_id(self, outcome: _Outcome) -> str:
        name, said = (
            self.know.ident(outcome.path, outcome.entry)
            if outcome.entry.oid not in self.blobs
            else (outcome.unit.id, True)
        )
        return name if said else ""

    def place(self, outcome: _Outcome) -> None:
        unit, path = outcome.unit, outcome.path
        frozen = unit.ours in self.frozen
        if unit.ours in self.absent and (path != unit.ours or self.ours[path] != outcome.entry):
            frozen = False
        if self.tree.get(path, outcome.entry) != outcome.entry:
            path = _beside(path, unit.id or outcome.entry.oid)
        if not frozen and path in self.occupied and self.ours.get(path) != outcome.entry:
            if self.occupied[path] == outcome.entry.oid:
                self.untouched.add(path)
            else:
                path = self.copy_name(path, outcome.entry)
                self.conflicts.append(path)
        if self.tree.get(path, outcome.entry) != outcome.entry:
            path = self.copy_name(path, outcome.entry)
        if frozen:
            self.untouched.add(path)
        self.tree[path] = outcome.entry
        outcome.path = path
        if unit.ours and unit.ours != path and not frozen:
            self.moved[unit.ours] = path

    def keep(self, path: str, loser: Entry) -> None:
        """Put a losing version beside the winner; in state folders the cloud's is history only."""
        if self.ours_is is Role.CLOUD and path.split("/", 1)[0] in STATE_FOLDERS:
            return
        name = self.copy_name(path, loser)
        self.tree[name] = loser
        self.conflicts.append(name)

    def files_yield_to_folders(self) -> None:
        """Git and the disk know a name as a file or as a folder: the file takes another name."""
        tree = self.tree.done()
        # Disk and hub each are in order; only what came together here can be in the way.
        new = self.tree.changes.keys() | self.frozen
        parents = {folder for path in new if path in tree for folder in _folders_of(path)}
        for path in sorted(p for p in new | parents if p in tree and tree.has_folder(p)):
            entry = self.tree.pop(path)
            name = self.copy_name(path, entry)
            self.tree[name] = entry
            self.conflicts.append(name)
            sources = [source for source, target in self.moved.items() if target == path]
            self.moved[sources[0] if sources else path] = name

    def copy_name(self, path: str, entry: Entry) -> str:
        """The name of a copy: of its bytes alone, unless a person edited that very copy."""
        data = salted = self.bytes_of(entry)
        while True:
            name = conflict_name(path, salted)
            free = self.tree.get(name, entry) == entry
            if free and self.occupied.get(name, entry.oid) == entry.oid:
                return name
            salted += data[:1] or b"\0"

    def bytes_of(self, entry: Entry) -> bytes:
        return self.blobs[entry.oid] if entry.oid in self.blobs else self.know.read(entry.oid)


def _folders_of(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]


def _rank(path: str) -> int:
    """How strong a move is: a person's decision, then Local's, then the cloud's.

    Of two decisions the one that lets nothing out is the stronger.
    """
    if path.startswith(_DECISION):
        return 4 if path.startswith(f"{Folder.REJECTED}/") else 3
    return 1 if path.startswith(_OF_CLOUD) else 2


def _claim_on(path: str, known: Collection[str | None]) -> int:
    """Which of two notes with one id is the note, and which a copy of it.

    A copy in another folder is how a file manager moves, so it counts as the move; a copy in
    the same folder is a copy.
    """
    if path in known:
        return 1
    folder = path.rpartition("/")[0]
    if any(other and other.rpartition("/")[0] == folder for other in known):
        return 0
    return 1 + _rank(path)


def _one_sided(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    if theirs in (base, ours):
        return ours
    return theirs if ours == base else None


def _beside(path: str, name: str) -> str:
    """Another path for the second of two notes that want one: still seen by every scanner."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{path.removesuffix('.md')}-{digest}.md"

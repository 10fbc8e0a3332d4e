"""Pairing: which note of one side is which note of the other (DESIGN section 4).

In folders that are a state, a note is known by its id before its path, so that a move is a
move whatever was edited. Everything else is known by its path.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.vault.layout import place_of

Ident: TypeAlias = Callable[[str, Entry], tuple[str, bool]]
"""Path and entry of a note in a state folder -> its id, and whether the note itself says it."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One note (or other file) on the three sides: its path there, None where it is not.

    Attributes:
        id: what the note itself says it is; "" where it does not, and for free notes.
        is_state: whether it is a note in a folder that is a state.
    """

    base: str | None
    ours: str | None
    theirs: str | None
    id: str = ""
    is_state: bool = False


@lru_cache(maxsize=1 << 17)
def is_state_note(path: str) -> bool:
    """Whether a path is a note in a folder that is a state (no conflict copy, no attachment)."""
    place = place_of(path)
    return place.is_state and place.is_note


def pair(base: PathMap, ours: PathMap, theirs: PathMap, ident: Ident) -> list[Unit]:
    """Pair what differs between the sides; what is the same on all three is in no unit.

    The one exception: a note that did not change is in a unit when another path has its id.
    """
    touched = {p for p, _ in (base.items() ^ ours.items()) | (base.items() ^ theirs.items())}
    units = [
        Unit(*_where(path, base, ours, theirs))
        for path in sorted(touched)
        if not is_state_note(path)
    ]
    return units + _pair_state(base, ours, theirs, ident, {p for p in touched if is_state_note(p)})


def _pair_state(
    base: PathMap, ours: PathMap, theirs: PathMap, ident: Ident, touched: set[str]
) -> list[Unit]:
    if not touched:
        return []
    sides = (base, ours, theirs)
    wanted = {ident(p, side[p])[0] for side in sides for p in touched if p in side}
    groups: dict[str, tuple[list[str], list[str], list[str]]] = {
        name: ([], [], []) for name in sorted(wanted)
    }
    explicit: dict[str, bool] = dict.fromkeys(groups, False)
    for number, side in enumerate(sides):
        for path, entry in side.items():
            if not is_state_note(path):
                continue
            name, said = ident(path, entry)
            if name in wanted:
                groups[name][number].append(path)
                explicit[name] |= said
    units: list[Unit] = []
    for name, (b, o, t) in groups.items():
        found = _match(set(b), set(o), set(t))
        units += [Unit(*paths, id=name if explicit[name] else "", is_state=True) for paths in found]
    return units


def _where(path: str, *sides: Container[str]) -> tuple[str | None, str | None, str | None]:
    b, o, t = (path if path in side else None for side in sides)
    return b, o, t


def _match(
    b: set[str], o: set[str], t: set[str]
) -> Iterable[tuple[str | None, str | None, str | None]]:
    """Match the paths that carry one id: same path first, what is left in order of names."""
    matched: list[tuple[str | None, str | None, str | None]] = []

    def single() -> bool:
        return max(len(b), len(o), len(t)) <= 1

    def peel(common: set[str]) -> None:
        for path in sorted(common):
            matched.append(_where(path, b, o, t))
            for side in (b, o, t):
                side.discard(path)

    if not single():
        peel(b & o & t)
    if not single():
        peel((b & o) | (b & t) | (o & t))
    left = [sorted(side) for side in (b, o, t)]
    for number in range(max(map(len, left), default=0)):
        row = [side[number] if number < len(side) else None for side in left]
        matched.append((row[0], row[1], row[2]))
    return matched

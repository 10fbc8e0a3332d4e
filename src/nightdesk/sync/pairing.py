"""Pairing: which note of one side is which note of the other (docs/design.md, section 4).

In folders that are a state, a note is known by its id before its path, so that a move is a
move whatever was edited. Everything else is known by its path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.pathmaps import changes_between
from nightdesk.vault.layout import place_of

Ident: TypeAlias = Callable[[str, Entry], tuple[str, bool]]
"""Path and entry of a note in a state folder -> its id, and whether the note itself says it."""

Find: TypeAlias = Callable[[PathMap, Collection[str]], Mapping[str, Collection[str]]]
"""A side and ids -> for each id the paths of the state notes of that side that carry it."""


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


@lru_cache(maxsize=1 << 14)
def is_state_note(path: str) -> bool:
    """Whether a path is a note in a folder that is a state (no conflict copy, no attachment)."""
    place = place_of(path)
    return place.is_state and place.is_note


def pair(
    base: PathMap, ours: PathMap, theirs: PathMap, ident: Ident, find: Find | None = None
) -> list[Unit]:
    """Pair what differs between the sides; what is the same on all three is in no unit.

    The one exception: a note that did not change is in a unit when another path has its id.

    Args:
        find: an index of ids; without one, every note is asked for its id.
    """
    touched = changes_between(base, ours).keys() | changes_between(base, theirs).keys()
    units = [
        Unit(*_where(path, base, ours, theirs))
        for path in sorted(touched)
        if not is_state_note(path)
    ]
    state = {p for p in touched if is_state_note(p)}
    return units + _pair_state((base, ours, theirs), ident, find or _searching(ident), state)


def _searching(ident: Ident) -> Find:
    def find(side: PathMap, ids: Collection[str]) -> Mapping[str, Collection[str]]:
        found: dict[str, list[str]] = {name: [] for name in ids}
        for path, entry in side.items():
            if is_state_note(path) and (name := ident(path, entry)[0]) in found:
                found[name].append(path)
        return found

    return find


def _pair_state(
    sides: tuple[PathMap, PathMap, PathMap], ident: Ident, find: Find, touched: set[str]
) -> list[Unit]:
    if not touched:
        return []
    wanted = {ident(p, side[p])[0] for side in sides for p in touched if p in side}
    groups: dict[str, tuple[dict[str, Entry], dict[str, Entry], dict[str, Entry]]] = {
        name: ({}, {}, {}) for name in sorted(wanted)
    }
    explicit: dict[str, bool] = dict.fromkeys(groups, False)
    for number, side in enumerate(sides):
        for name, paths in find(side, wanted).items():
            for path in paths:
                groups[name][number][path] = side[path]
                explicit[name] |= ident(path, side[path])[1]
    units: list[Unit] = []
    for name, (b, o, t) in groups.items():
        found = _match(b, o, t)
        units += [Unit(*paths, id=name if explicit[name] else "", is_state=True) for paths in found]
    return units


def _where(path: str, *sides: Container[str]) -> tuple[str | None, str | None, str | None]:
    b, o, t = (path if path in side else None for side in sides)
    return b, o, t


def _match(b: PathMap, o: PathMap, t: PathMap) -> list[tuple[str | None, str | None, str | None]]:
    """Match the paths that carry one id on the three sides.

    Nearly always there is one path on each side. Where there are more (a copy, or two notes in
    plain words with one name), the same path is the same note; then the same content; then
    the order of names.
    """
    settled = sorted(b.keys() & o.keys() & t.keys()) if max(map(len, (b, o, t))) > 1 else []
    rows: list[list[str | None]] = [[path, path, path] for path in settled]
    left = [{p: e for p, e in side.items() if p not in settled} for side in (b, o, t)]
    if max(map(len, left)) <= 1:
        rows.append([next(iter(side), None) for side in left])
    else:
        rows += _match_many(*left)
    return [(row[0], row[1], row[2]) for row in rows if any(row)]


def _match_many(
    b: dict[str, Entry], o: dict[str, Entry], t: dict[str, Entry]
) -> list[list[str | None]]:
    rows: list[list[str | None]] = [[path, None, None] for path in sorted(b)]
    # What was there before is found again; what is left is new on its side.
    ours = _find_again(rows, 1, b, o)
    theirs = _find_again(rows, 2, b, t)
    rows += [[None, path, path] for path in ours if path in theirs]
    ours, theirs = (
        [path for path in ours if path not in theirs],
        [path for path in theirs if path not in ours],
    )
    if len(ours) == len(theirs) == 1:
        return [*rows, [None, ours[0], theirs[0]]]
    return rows + [[None, path, None] for path in ours] + [[None, None, path] for path in theirs]


def _find_again(rows: list[list[str | None]], number: int, b: PathMap, side: PathMap) -> list[str]:
    """Fill one column of the rows, and return the paths of that side that found no row."""
    rest = dict(sorted(side.items()))

    def take(row: list[str | None], path: str | None) -> None:
        if path is not None:
            row[number] = path
            del rest[path]

    for row in rows:
        take(row, row[0] if row[0] in rest else None)
    for row in rows:
        if row[number] is None:
            take(row, next((p for p, e in rest.items() if e == b[row[0] or ""]), None))
    for row in rows:
        if row[number] is None:
            take(row, next(iter(rest), None))
    return list(rest)

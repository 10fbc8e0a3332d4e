"""Handbook.md as the laptop reads it: the people named there, and the limits.

The user writes it; the cloud can neither change nor add to it (the path table, docs/design.md,
section 5). It is read at the moment that it counts, without following links. What is missing or
cannot be read leaves the default, never no limit at all.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.local_agent.amounts import amount_of, plain_amount
from nightdesk.local_agent.found import read_alone
from nightdesk.vault.body import fenced_lines, lines_of
from nightdesk.vault.layout import HANDBOOK
from nightdesk.vault.notes import parse_note

SENDS_A_DAY = "Sends a day"
CONFIRM_ABOVE = "Confirm amounts above"

_HEADING = re.compile(r"#{1,6}[ \t]+(.*?)[ \t#]*")
_BULLET = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+(.*)")
_LINE = re.compile(r"([^:]{1,60}):(.*)")
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'`*]+@[^\s<>()\[\],;:\"'`*]+[^\s<>()\[\],;:\"'`*.]")
_MARKS = " \t*_`"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the laptop holds every card to.

    Attributes:
        sends_a_day: how many actions may go out in one calendar day of this laptop's clock.
        confirm_above: amounts above this are typed by the person, whatever the currency.
    """

    sends_a_day: int = 40
    confirm_above: Decimal = Decimal(1000)


@dataclass(frozen=True, slots=True)
class Handbook:
    """The user's rules.

    Attributes:
        text: all of it.
        people: the addresses under `People`, in small letters; examples in italics do not count.
        faults: what stands there and cannot be obeyed; a person must hear of each.
    """

    text: str = field(default="", repr=False)
    people: frozenset[str] = frozenset()
    limits: Limits = Limits()
    faults: tuple[NoteError, ...] = ()


def read_handbook(vault: Path) -> Handbook:
    """Read the vault's handbook; where there is none, the defaults hold."""
    try:
        data, _ = read_alone(vault / HANDBOOK)
        note = parse_note(data, HANDBOOK)
    except FileNotFoundError:
        return Handbook()
    except NoteError as e:
        fault = NoteError(
            f"the handbook cannot be read ({e.what}), so your limits are not known",
            remedy=f"{e.remedy}. Until then the defaults hold: {_said(Limits())}",
            where=HANDBOOK,
        )
        return Handbook(faults=(fault,))
    above = data[: len(data) - len(note.body)].count(b"\n")
    people = (
        address.casefold()
        for _, line in _section(note.text, "people")
        if not _is_example(line)
        for address in _ADDRESS.findall(line)
    )
    limits, faults = _limits(list(_section(note.text, "limits")), above)
    return Handbook(note.text, frozenset(people), limits, faults)


def _limits(lines: list[tuple[int, str]], above: int) -> tuple[Limits, tuple[NoteError, ...]]:
    known = {key.casefold(): key for key in (SENDS_A_DAY, CONFIRM_ABOVE)}
    values: dict[str, list[Decimal]] = {}
    unreadable: set[str] = set()
    faults: list[NoteError] = []

    def fault(number: int, what: str, remedy: str) -> None:
        faults.append(NoteError(what, remedy=remedy, where=HANDBOOK, line=above + number))

    for number, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        typed, value = " ".join(match[1].strip(_MARKS).split()), match[2].strip(_MARKS)
        key = known.get(typed.casefold())
        if key is None:
            if near := difflib.get_close_matches(typed.casefold(), known, n=1, cutoff=0.75):
                meant = known[near[0]]
                fault(number, f"the limit {typed!r} is not known", f"Did you mean `{meant}`?")
            continue
        read = _value(key, value)
        if read is None:
            example = f"`- {SENDS_A_DAY}: 40`" if key == SENDS_A_DAY else f"`- {key}: 1000 EUR`"
            default = Limits()
            held = default.sends_a_day if key == SENDS_A_DAY else default.confirm_above
            what = f"the limit `{key}` cannot be read: {value[:60]!r}"
            fault(number, what, f"Write it like {example}. Until then {held} holds")
            unreadable.add(key)
        else:
            values.setdefault(key, []).append(read)
            if len(values[key]) > 1:
                what = f"the limit `{key}` stands twice"
                fault(number, what, "Keep one. Until then the smaller one holds")

    def limit(key: str, default: Decimal) -> Decimal:
        found = values.get(key, [])
        return min([*found, default] if key in unreadable else found or [default])

    default = Limits()
    sends = limit(SENDS_A_DAY, Decimal(default.sends_a_day))
    return Limits(int(sends), limit(CONFIRM_ABOVE, default.confirm_above)), tuple(faults)


def _value(key: str, text: str) -> Decimal | None:
    if key == CONFIRM_ABOVE:
        return amount_of(text)
    match = re.fullmatch(r"(\d{1,6})(?:[ ]+(?:sends|mails|e-mails|messages))?", text, re.ASCII)
    return Decimal(match[1]) if match else None


def _said(limits: Limits) -> str:
    return (
        f"{limits.sends_a_day} sends a day, and amounts above "
        f"{plain_amount(limits.confirm_above)} are typed"
    )


def _section(text: str, name: str) -> Iterator[tuple[int, str]]:
    """The lines under a heading up to the next one, without bullets, each with its number."""
    inside = False
    for number, (line, in_fence) in enumerate(fenced_lines(lines_of(text)), start=1):
        if in_fence:
            continue
        if heading := _HEADING.fullmatch(line):
            inside = heading[1].strip(_MARKS + ":").casefold() == name
        elif inside and line.strip():
            bullet = _BULLET.fullmatch(line)
            yield number, (bullet[1] if bullet else line).strip()


def _is_example(line: str) -> bool:
    marked = re.fullmatch(r"([*_])(?![*_]).*(?<![*_])\1", line)
    return marked is not None

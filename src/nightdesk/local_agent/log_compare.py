"""Comparing a day's file with what the journal says was written into it.

Pure but for the report that it fills. A person's own text between the entries is no fault; it is
told, so that nobody takes it for an entry. Everything else that differs is one, with file, line
and what was there.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from nightdesk.local_agent.audit import Entry, day_header
from nightdesk.local_agent.log_text import Block, read_day
from nightdesk.vault.layout import Folder, is_conflict_copy

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"## (\d\d):(\d\d):(\d\d)Z ", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One difference between the log and what was written.

    Attributes:
        path: the file, vault-relative.
        line: where, counted from 1; 0 for the whole file.
        what: what is wrong.
        was: what was written there, by the journal; "" where nothing was.
        now: what stands there now; "" where nothing does.
    """

    path: str
    line: int
    what: str
    was: str = ""
    now: str = ""


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        events: the length of the journal's chain.
        entries: how many entries the journal holds.
        days: in how many files.
        notes: what is no fault and should be known, a sentence each.
    """

    events: int = 0
    entries: int = 0
    days: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Comparison:
    """Compares one file after the other.

    Args:
        report: takes what is found.
        recorded: every entry of the journal, by its key.
        began: the moment of the journal's first event; what is older cannot be checked.
        now: the present moment, aware.
    """

    def __init__(
        self, report: Report, recorded: dict[str, Entry], began: datetime, now: datetime
    ) -> None:
        self.report = report
        self._recorded = recorded
        self._began = began
        self._today = f"{now.astimezone(UTC):%Y-%m-%d}"

    def day(self, path: str, text: str, expected: list[Entry]) -> None:
        """The file of a day of which the journal holds entries."""
        parsed = read_day(text)
        pairs, left = _exact(parsed.blocks, expected)
        strangers: list[Block] = []
        for block in parsed.blocks:
            if id(block) in pairs:
                continue
            entry = _meant(block, left)
            if entry is None:
                strangers.append(block)
            else:
                left.remove(entry)
                pairs[id(block)] = entry
                self._changed(path, block, entry)
        for block in strangers:
            self._stranger(path, block)
        self._order(path, [(b, pairs[id(b)]) for b in parsed.blocks if id(b) in pairs], expected)
        for entry in left:
            if entry.written:
                line = _place(entry, expected, parsed.blocks, pairs)
                what = f"the entry `{entry.key}` is missing"
                self.report.faults.append(Fault(path, line, what, was=entry.text))
        self._own(path, text, parsed.own)

    def other(self, path: str, text: str) -> None:
        """A file of which the journal holds nothing."""
        parsed = read_day(text)
        copies = {e.text for e in self._recorded.values()} if is_conflict_copy(path) else set()
        for block in parsed.blocks:
            if block.text not in copies:
                self._stranger(path, block)
        if copies:
            self.report.notes.append(f"{path} is a copy that sync has kept")
        else:
            self._own(path, text, parsed.own)

    def _changed(self, path: str, block: Block, entry: Entry) -> None:
        was = entry.text.split("\n")
        there = [line for _, line in block.lines]
        same = 0
        while same < min(len(was), len(there)) and was[same] == there[same]:
            same += 1
        line = block.lines[min(same, len(block.lines) - 1)][0]
        self.report.faults.append(
            Fault(
                path,
                line,
                f"the entry `{entry.key}` was changed",
                was=was[same] if same < len(was) else "",
                now=there[same] if same < len(there) else "",
            )
        )

    def _stranger(self, path: str, block: Block) -> None:
        entry = self._recorded.get(block.key)
        what = "this entry was not written by this laptop"
        day = path.removeprefix(f"{Folder.LOGS}/").removesuffix(".md")
        if entry and entry.text == block.text:
            other = "it stands there twice" if entry.path == path else f"it belongs to {entry.path}"
            what = f"a copy of the entry `{entry.key}`: {other}"
        elif not _DAY.fullmatch(day):
            what = "an entry in a file that is no day's log"
        elif day > self._today:
            what = "an entry of a day that has not come"
        elif not entry and self._is_older(day, block):
            self.report.notes.append(
                f"{path}, line {block.line}: an entry older than this laptop's journal; "
                "whether it is true cannot be checked"
            )
            return
        self.report.faults.append(Fault(path, block.line, what, now=block.text))

    def _is_older(self, day: str, block: Block) -> bool:
        clock = _TIME.match(block.heading)
        try:
            moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
        except ValueError:
            return False
        if clock:
            hours, minutes, seconds = (int(part) for part in clock.groups())
            moment += timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return bool(clock) and moment + timedelta(seconds=1) < self._began

    def _order(self, path: str, found: list[tuple[Block, Entry]], expected: list[Entry]) -> None:
        order = {entry.key: n for n, entry in enumerate(expected)}
        places = [order[entry.key] for _, entry in found]
        in_place = _longest_rising(places)
        for n, (block, entry) in enumerate(found):
            if n not in in_place:
                what = f"the entry `{entry.key}` is not in its place"
                before = expected[places[n] - 1].key if places[n] else ""
                was = f"after `{before}`" if before else "the first of the day"
                self.report.faults.append(Fault(path, block.line, what, was=was))
            if block.hidden:
                what = f"the entry `{entry.key}` is hidden by what begins on line {block.hidden}"
                self.report.faults.append(Fault(path, block.line, what, was=entry.text))

    def _own(self, path: str, text: str, own: list[int]) -> None:
        day = path.removeprefix(f"{Folder.LOGS}/").removesuffix(".md")
        lines = text.split("\n")
        numbers = [n for n in own if lines[n - 1].strip() != day_header(day)]
        if numbers:
            shown = ", ".join(_ranges(numbers))
            self.report.notes.append(f"{path}, line {shown}: not an entry, somebody's own text")


def _exact(blocks: list[Block], expected: list[Entry]) -> tuple[dict[int, Entry], list[Entry]]:
    """Which blocks stand as they were written, by the block's identity, and what is left."""
    by_text = {entry.text: entry for entry in expected}
    pairs: dict[int, Entry] = {}
    for block in blocks:
        if entry := by_text.pop(block.text, None):
            pairs[id(block)] = entry
    return pairs, [entry for entry in expected if entry.text in by_text]


def _meant(block: Block, left: list[Entry]) -> Entry | None:
    """The entry that a changed block once was."""
    for entry in left:
        if block.key == entry.key:
            return entry
    return next((e for e in left if block.heading == e.text.partition("\n")[0]), None)


def _place(
    entry: Entry, expected: list[Entry], blocks: list[Block], pairs: dict[int, Entry]
) -> int:
    # The line after what stands before it, as far as that is still there.
    before = {e.key for e in expected[: expected.index(entry)]}
    ends = [b.lines[-1][0] for b in blocks if id(b) in pairs and pairs[id(b)].key in before]
    return max(ends, default=0) + 1


def _longest_rising(numbers: list[int]) -> set[int]:
    """Which places of a list make up its longest rising part: what lies outside was moved."""
    tops: list[int] = []  # for each length, where the part with the lowest end ends
    before: list[int] = []
    for n, number in enumerate(numbers):
        length = bisect_left(tops, number, key=lambda place: numbers[place])
        before.append(tops[length - 1] if length else -1)
        tops[length : length + 1] = [n]
    kept: set[int] = set()
    at = tops[-1] if tops else -1
    while at >= 0:
        kept.add(at)
        at = before[at]
    return kept


def _ranges(numbers: list[int]) -> Iterator[str]:
    start = last = numbers[0]
    for number in [*numbers[1:], numbers[-1] + 2]:
        if number != last + 1:
            yield str(start) if start == last else f"{start}–{last}"
            start = number
        last = number

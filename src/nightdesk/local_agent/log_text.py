"""What a day's log says: entries, the lines that make them, and a person's own text between them.

Pure: text in, values out. An entry begins with its heading (`## 08:14:05Z …`) and ends with its
mark (``- Entry: `<key>` ``). What Obsidian or an editor changes without changing what is said (the
form of a link, spaces at the end of a line, empty lines, line ends) does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

_CODE = re.compile(r"(`[^`]*`)")
_WIKI_LINK = re.compile(r"\[\[([^\[\]|#^]+)(?:\|([^\[\]]*))?\]\]")
_LINK = re.compile(r"\[([^\[\]]*)\]\(<?([^()<>]+)>?\)")
_HEADING = re.compile(r"[ \t>*+-]{0,8}#{0,6}[ \t]*\**\d\d:\d\d(:\d\d)?[ \t]*Z\b")
_MARK = re.compile(r"[ \t>]{0,8}[-*+][ \t]*\**Entry\**:", re.IGNORECASE)
_KEY = re.compile(r"- Entry: `([^`]+)`")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_RAW = re.compile(r"<(script|style|pre|textarea|template|details|svg|iframe)\b", re.IGNORECASE)


@dataclass(slots=True)
class Block:
    """Something in a log that is an entry, or looks like one.

    Attributes:
        line: where it begins, counted from 1.
        lines: its lines in canonical form, each with its number in the file.
        hidden: the line above that keeps a reader from seeing it; 0 where nothing does.
    """

    line: int
    lines: list[tuple[int, str]] = field(default_factory=list)
    hidden: int = 0

    @property
    def text(self) -> str:
        """Its canonical text."""
        return "\n".join(line for _, line in self.lines)

    @property
    def heading(self) -> str:
        """Its first line."""
        return self.lines[0][1]

    @property
    def key(self) -> str:
        """What its mark names; "" where it has none."""
        match = _KEY.fullmatch(self.lines[-1][1])
        return match[1] if match else ""


@dataclass(slots=True)
class DayText:
    """A log taken apart: its entries in their order, and the numbers of all other lines."""

    blocks: list[Block]
    own: list[int]


def entry_text(title: str, lines: Sequence[str], key: str) -> str:
    """Write one entry in canonical form, without the line break at its end.

    Args:
        title: what follows the `##` of its heading; begins with the time, `HH:MM:SSZ`.
        lines: what happened, each without its list mark.
        key: identifies the effect for ever; holds no backtick.
    """
    whole = [f"## {title}", *(f"- {line}" for line in lines), f"- Entry: `{key}`"]
    return "\n".join(canonical(" ".join(line.split())) for line in whole)


def canonical(line: str) -> str:
    """A line as it is compared: no spaces at its end, every link to a note as `[[stem]]`.

    Obsidian writes `[[card]]` as `[[Done/2026-11/card|card]]` or `[card](Done/2026-11/card.md)`
    when a note moves. A link that shows other words than the note's name is left as it is, and
    so is everything inside a code span.
    """
    parts = _CODE.split(line.rstrip())
    for n in range(0, len(parts), 2):
        text = _WIKI_LINK.sub(lambda m: _link(m[0], m[1], m[2] or ""), parts[n])
        parts[n] = _LINK.sub(lambda m: _link(m[0], unquote(m[2]), m[1]), text)
    return "".join(parts)


def _link(whole: str, target: str, shown: str) -> str:
    if ":" in target:  # an address outside the vault
        return whole
    stem = target.rpartition("/")[2].removesuffix(".md")
    return f"[[{stem}]]" if shown in {"", stem, target} else whole


def read_day(text: str) -> DayText:
    """Take the text of a day's log apart."""
    blocks: list[Block] = []
    own: list[int] = []
    current: Block | None = None  # begun, and its mark has not come
    tail: Block | None = None  # ended on the line before: what follows at once belongs to it
    lines = text.replace("\r\n", "\n").split("\n")
    for number, raw in enumerate(lines, start=1):
        line = canonical(raw)
        if not line:
            tail = None
        elif _HEADING.match(line):
            current, tail = Block(number, [(number, line)]), None
            blocks.append(current)
        elif _MARK.match(line):
            if current is None:
                current = Block(number)
                blocks.append(current)
            current.lines.append((number, line))
            current, tail = None, current
        elif open_block := current or tail:
            open_block.lines.append((number, line))
        else:
            own.append(number)
    _mark_hidden(lines, blocks)
    return DayText(blocks, own)


def _mark_hidden(lines: list[str], blocks: list[Block]) -> None:
    hides = hidden(lines)
    for block in blocks:
        block.hidden = next((hides[n] for n, _ in block.lines if n in hides), 0)


def hidden(lines: Sequence[str]) -> dict[int, int]:
    """The lines that a reading view does not show as they stand, each with what hides it.

    Code fences, `%%` and HTML comments, elements with raw text, and properties.

    Returns:
        Line number -> number of the line that opens what it lies in.
    """
    found: dict[int, int] = {}
    ends: re.Pattern[str] | None = None
    opener = 0
    for number, line in enumerate(lines, start=1):
        rest = _CODE.sub("", line) if ends is None else line
        if ends is not None:
            found[number] = opener
            if (match := ends.search(rest)) is None:
                continue
            rest, ends = rest[match.end() :], None
        elif number == 1 and line.rstrip() == "---":
            ends, opener = re.compile(r"^---[ \t]*$"), number
            continue
        elif fence := _FENCE.match(line):
            ends, opener = re.compile(rf"^ {{0,3}}{fence[1]}{fence[1][0]}*[ \t]*$"), number
            continue
        ends = _opened(rest)
        if ends is not None:
            opener = number
    return found


def _opened(rest: str) -> re.Pattern[str] | None:
    # What a line opens and does not close again.
    while True:
        starts = [("%%", "%%"), ("<!--", "-->")]
        starts += [(m[0], f"</{m[1]}>") for m in [_RAW.search(rest)] if m]
        at = {rest.find(start): (start, end) for start, end in starts if start in rest}
        if not at:
            return None
        first = min(at)
        start, end = at[first]
        rest = rest[first + len(start) :]
        closing = re.compile(re.escape(end), re.IGNORECASE)
        if (match := closing.search(rest)) is None:
            return closing
        rest = rest[match.end() :]

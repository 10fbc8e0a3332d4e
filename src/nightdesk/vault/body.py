"""The body of a note: headings, fences, and where a card's draft begins and ends.

Untrusted text (a mail, for example) stands inside a code fence. What is looked for in a body –
a heading, a marker – is never found inside one, so a mail cannot forge it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

DRAFT_HEADING = "# Draft"
DRAFT_END = "%% end of draft %%"
ORIGINAL_HEADING = "# Original"
FEEDBACK_HEADING = "# Feedback"
OUTCOME_HEADING = "# What happened"

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
_HEADING = re.compile(r"#{1,6}[ \t]+\S")
# What a person may put outside the draft without meaning it to be sent: quotes and
# callouts, comments, tags, rules.
_ASIDE = re.compile(r"[ \t]*(>|%%.*%%[ \t]*$|#[^\s#]|(-{3,}|\*{3,}|_{3,})[ \t]*$)")


class DraftFault(ValueError):
    """The draft of a card cannot be told from what stands around it.

    Args:
        what: what is wrong, one sentence without a full stop.
        remedy: what to do about it.
        line: line number in the body, counted from 1; 0 when no one line is at fault.
    """

    def __init__(self, what: str, remedy: str, line: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.line = line


class Parts(NamedTuple):
    """A card's body taken apart.

    Attributes:
        above: the lines above `# Draft`.
        draft: the text between `# Draft` and the marker line.
        rest: the text below the marker line.
    """

    above: list[str]
    draft: str
    rest: str


def lines_of(text: str) -> list[str]:
    """The lines of a text, whatever its line ends (only CRLF and LF end a line)."""
    return text.replace("\r\n", "\n").split("\n")


def is_draft_end(line: str) -> bool:
    """Whether a line is the marker that ends a draft."""
    return line.strip() == DRAFT_END


def fence(text: str) -> str:
    """Wrap untrusted text in a code fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}text\n{text.rstrip(chr(10))}\n{ticks}\n"


def unfence(text: str) -> str:
    """The text inside the first closed code fence, or "" where there is none."""
    opened: str | None = None
    found: list[str] = []
    for line in lines_of(text):
        if opened is None:
            opened = _opens(line)
        elif _closes(line, opened):
            return "\n".join(found).rstrip("\n")
        else:
            found.append(line)
    return ""


def section(text: str, heading: str) -> str:
    """The text under a heading, up to the next top heading; "" where there is none.

    The heading is found in any case and at any level ("## feedback:" too), but never inside a
    code fence or inside a card's draft.
    """
    title = re.escape(heading.lstrip("# \t"))
    wanted = re.compile(rf"#{{1,6}}[ \t]*{title}[ \t]*:?[ \t]*", re.IGNORECASE)
    lines = lines_of(text)
    start, end = _draft_lines(lines)
    if start is not None and end is not None:
        lines = lines[:start] + lines[end + 1 :]
    found: list[str] | None = None
    for line, inside in fenced_lines(lines):
        if found is None:
            if not inside and wanted.fullmatch(line):
                found = []
        elif not inside and (line.startswith("# ") or is_draft_end(line)):
            break
        else:
            found.append(line)
    return "\n".join(found or []).strip()


def split_draft(text: str) -> Parts:
    """Find the draft in a card's body.

    Text that a person wrote outside the draft would silently not be sent, so it is refused;
    quotes, comments, tags, rules, and everything under a heading of its own may stand there.

    Raises:
        DraftFault: a marker is missing or stands twice, or loose text stands outside.
    """
    lines = lines_of(text)
    start, end = _draft_lines(lines)
    if start is None or end is None:
        raise DraftFault(
            f"the text to send is not between `{DRAFT_HEADING}` and `{DRAFT_END}`",
            "Put both lines back, each on a line of its own",
        )
    if (at := _loose(lines[:start], ended_by_heading=False)) is not None:
        raise _loose_text(lines[at], at + 1)
    rest = lines[end + 1 :]
    for offset, (line, inside) in enumerate(fenced_lines(rest)):
        if not inside and (is_draft_end(line) or line.rstrip() == DRAFT_HEADING):
            raise DraftFault(
                f"the line `{line.strip()}` stands twice",
                "Leave one draft and one end marker",
                end + 2 + offset,
            )
    if (at := _loose(rest, ended_by_heading=True)) is not None:
        raise _loose_text(rest[at], end + 2 + at)
    return Parts(lines[:start], "\n".join(lines[start + 1 : end]), "\n".join(rest))


def _draft_lines(lines: list[str]) -> tuple[int | None, int | None]:
    start = next((n for n, line in enumerate(lines) if line.rstrip() == DRAFT_HEADING), None)
    if start is None:
        return None, None
    ends = (n for n, line in enumerate(lines) if n > start and is_draft_end(line))
    return start, next(ends, None)


def _loose(lines: list[str], *, ended_by_heading: bool) -> int | None:
    for number, (line, inside) in enumerate(fenced_lines(lines)):
        if inside or not line.strip() or _ASIDE.match(line):
            continue
        if _HEADING.match(line) and ended_by_heading:
            return None
        return number
    return None


def _loose_text(line: str, number: int) -> DraftFault:
    return DraftFault(
        f"{line.strip()[:60]!r} stands outside the draft and would not be sent",
        f"Move it between `{DRAFT_HEADING}` and `{DRAFT_END}`, or under a heading `# Notes`"
        " at the end, or delete it",
        number,
    )


def fenced_lines(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a code fence (CommonMark 4.5)."""
    opened: str | None = None
    for line in lines:
        if opened is None:
            opened = _opens(line)
            yield line, opened is not None
        else:
            yield line, True
            if _closes(line, opened):
                opened = None


def _opens(line: str) -> str | None:
    match = _FENCE.fullmatch(line)
    # The info string after backticks holds no backtick, else it is inline code.
    if match is None or (match[1][0] == "`" and "`" in match[2]):
        return None
    return match[1]


def _closes(line: str, opened: str) -> bool:
    match = _FENCE.fullmatch(line)
    return bool(
        match and match[1][0] == opened[0] and len(match[1]) >= len(opened) and not match[2].strip()
    )

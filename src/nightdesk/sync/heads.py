"""A note's properties block without a YAML parser: told apart from the body, its id read.

Standard library only, because the hub's hook runs this. Where the answer must be certain, the
block has to be in the form in which agents write it: one property a line, nothing that runs
over a line's end.
"""

from __future__ import annotations

import json
import re

_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n(?:(?!---[ \t]*(?:\r?\n|\Z)).*\n)*---[ \t]*(?:\r?\n|\Z)"
)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PLAIN = r"[A-Za-z0-9_(~/+.][^\r\n]*"
_LINE = re.compile(
    rf"(?P<key>[A-Za-z_][A-Za-z0-9_-]{{0,99}}):(?: (?P<value>{_QUOTED}|'[^']*'|\[\]|{_PLAIN}))?"
    rf"|  - (?:{_QUOTED}|'[^']*'|{_PLAIN})"
)
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
_NULLS = frozenset({"null", "Null", "NULL"})


class NotPlainError(ValueError):
    """The block is not in the form in which agents write one."""


def split(data: bytes) -> tuple[bytes, bytes]:
    """Divide a note into its properties block (with both `---` lines) and the rest."""
    head = _HEAD.match(data)
    return (head.group(), data[head.end() :]) if head else (b"", data)


def plain_id(data: bytes) -> str:
    """The id that a note says it has; "" where it says none.

    Raises:
        NotPlainError: the block could hold an id that only a YAML parser would find.
    """
    head, _ = split(data)
    if not head:
        return ""
    try:
        lines = head.decode("utf-8-sig").splitlines()[1:-1]
    except UnicodeDecodeError as e:
        raise NotPlainError("not UTF-8") from e
    found: list[str] = []
    for line in lines:
        match = _LINE.fullmatch(line.rstrip())
        if not match:
            raise NotPlainError(line[:80])
        if match["key"] == "id":
            found.append(_text(match["value"] or ""))
    if len(found) > 1:
        raise NotPlainError("two ids")
    return found[0].strip() if found else ""


def _text(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError as e:
            raise NotPlainError(value[:80]) from e
    if value.startswith("'"):
        return value[1:-1]
    if value and not _PLAIN_ID.fullmatch(value):
        raise NotPlainError(value[:80])
    return "" if value in _NULLS else value

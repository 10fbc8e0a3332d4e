"""Notes: Markdown with flat properties on top, read without changing their meaning.

The properties are read and written by `vault.properties`; the body is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from nightdesk.errors import NoteError
from nightdesk.vault.body import fence
from nightdesk.vault.layout import MAX_NOTE_BYTES
from nightdesk.vault.properties import Value, read_properties, write_properties

__all__ = ["KEY_ORDER", "Note", "Value", "fence", "parse_note", "render_note"]

_BOM = b"\xef\xbb\xbf"
_OPENING = re.compile(rb"---[ \t]*\r?\n")
_CLOSING = re.compile(rb"^---[ \t]*\r?(?:\n|\Z)", re.MULTILINE)

KEY_ORDER: tuple[str, ...] = (
    "id", "kind", "task", "zone", "action", "source", "from", "sender_name", "reply_to", "to", "cc",
    "subject", "in_reply_to", "references", "attachments", "confirm", "received", "message_id",
    "thread", "priority", "status", "feedback", "created_by", "created", "expires", "model", "why",
    "supersedes", "outcome",
)  # fmt: skip
"""The order in which an agent writes properties; others follow in the order they came."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it stands in the file.

    Attributes:
        properties: key -> text, or list of texts; "" where the value is empty or null.
        body: the bytes after the closing `---` line (the whole file where there are no
            properties), untouched.
        has_properties: whether the file has a properties block at all.
    """

    properties: Mapping[str, Value] = field(default_factory=dict)
    body: bytes = b""
    has_properties: bool = False

    @property
    def text(self) -> str:
        """The body as text, without a byte order mark."""
        return self.body.decode("utf-8").removeprefix("\ufeff")

    def get(self, key: str) -> str:
        """The property as one text; "" when absent; a list is joined by ", "."""
        value = self.properties.get(key, "")
        return value if isinstance(value, str) else ", ".join(value)


def parse_note(data: bytes, where: str = "") -> Note:
    """Read a note.

    Args:
        data: the file's bytes, UTF-8, at most 256 KiB.
        where: the path to name in an error.

    Raises:
        NoteError: over-long, not UTF-8, or properties that are broken, nested, duplicate,
            or use anchors, aliases or tags.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise _too_large(len(data), where)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise NoteError(
            f"the note is not UTF-8 (byte {e.start})",
            remedy="Save it as UTF-8",
            where=where,
            line=data[: e.start].count(b"\n") + 1,
        ) from e
    content = data.removeprefix(_BOM)
    opening = _OPENING.match(content)
    if not opening:
        return Note({}, data, has_properties=False)
    closing = _CLOSING.search(content, opening.end())
    if closing:
        block = content[opening.end() : closing.start()].decode("utf-8")
        return Note(read_properties(block, where), content[closing.end() :], has_properties=True)
    raise NoteError(
        "the properties opened with --- on line 1 are never closed",
        remedy="Put a line --- after the last property",
        where=where,
        line=1,
    )


def _too_large(size: int, where: str) -> NoteError:
    return NoteError(
        f"the note is {-(-size // 1024)} KiB, more than {MAX_NOTE_BYTES // 1024} KiB",
        remedy="Split it, or move large text into Attachments/",
        where=where,
    )


def render_note(properties: Mapping[str, Value | None], body: bytes) -> bytes:
    """Write a note: fixed key order, texts double-quoted, block lists, the body as it is.

    A property whose value is None is left out. `parse_note(render_note(p, b))` gives p and b;
    only half characters (lone surrogates), which no file can hold, become U+FFFD.

    Raises:
        NoteError: the note would be too large to be read again.
    """
    data = write_properties(properties, KEY_ORDER).encode("utf-8") + body
    if len(data) > MAX_NOTE_BYTES:
        raise _too_large(len(data), "")
    return data

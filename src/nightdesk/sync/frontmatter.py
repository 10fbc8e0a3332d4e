"""One property of a note, read fast and without failing: sync looks at every note it carries.

The common forms are read by a pattern; whatever looks unusual goes to the full parser, and a
note that the parser refuses has no readable property.
"""

from __future__ import annotations

import re

from nightdesk.errors import NoteError
from nightdesk.sync.heads import split
from nightdesk.vault.layout import Place
from nightdesk.vault.notes import parse_note

_SIMPLE = rb"^%b:[ \t]+(?:\"([^\"\\\r\n]*)\"|'([^'\r\n]*)'|([A-Za-z0-9][A-Za-z0-9_.@-]*))[ \t]*\r?$"
_NULLS = frozenset({"null", "Null", "NULL"})


def peek(data: bytes, key: str) -> str:
    """The text of one property; "" where there is none, or none that can be read."""
    head, _ = split(data)
    name = key.encode()
    if name not in head:
        if b"\\" not in head:  # an escape could spell the key
            return ""
    elif len(re.findall(rb"\b%b\b[\"']?[ \t]*:" % name, head)) == 1 and (
        found := re.search(_SIMPLE % name, head, re.MULTILINE)
    ):
        text = next(group for group in found.groups() if group is not None)
        value = text.decode("utf-8", "replace")
        return "" if found.group(3) is not None and value in _NULLS else value
    try:
        return parse_note(head).get(key)
    except NoteError:
        return ""


def id_of(place: Place, data: bytes) -> tuple[str, bool]:
    """The id of a note in a state folder, and whether the note itself says it.

    Without an `id` property it is the file's stem: a request in plain words has no other.
    """
    said = peek(data, "id").strip()
    return (said, True) if said else (place.stem, False)

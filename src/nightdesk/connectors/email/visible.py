"""What a person would see of a text: invisible and control characters are removed and counted."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")
_JOINERS = "\u200c\u200d"
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Co", "Cs", "Cn"})


@dataclass(frozen=True, slots=True)
class Visible:
    """A text and how many characters of it nobody could see.

    Attributes:
        text: with `\\n` as line end and without control characters.
        removed: characters that were there and showed nothing (zero-width, bidirectional
            overrides, tag characters, private use, C0/C1 controls).
    """

    text: str
    removed: int


def visible(text: str) -> Visible:
    """Remove what cannot be seen; joiners inside emoji and non-Latin words stay."""
    text = _LINE_ENDS.sub("\n", text)
    if text.isascii() and text.isprintable():
        return Visible(text, 0)
    kept: list[str] = []
    for at, character in enumerate(text):
        if not _hidden(character, text, at):
            kept.append(character)
    return Visible("".join(kept), len(text) - len(kept))


def one_line(text: str) -> Visible:
    """The same for a header: every white space is one plain space."""
    seen = visible(_LINE_ENDS.sub(" ", text).replace("\n", " "))
    return Visible(" ".join(seen.text.split()), seen.removed)


def _hidden(character: str, text: str, at: int) -> bool:
    if " " <= character <= "~" or character in "\n\t":
        return False
    if character in _JOINERS:
        return not (_beyond_ascii(text, at - 1) and _beyond_ascii(text, at + 1))
    if "\ufe00" <= character <= "\ufe0f":
        # One variation selector chooses an emoji's form; a run of them smuggles data.
        return at == 0 or not _selectable(text[at - 1])
    if "\U000e0100" <= character <= "\U000e01ef" or character in _BLANK:
        return True
    category = unicodedata.category(character)
    return category == "Cc" or category in _INVISIBLE_CATEGORIES


def _beyond_ascii(text: str, at: int) -> bool:
    return 0 <= at < len(text) and ord(text[at]) > 0x7F and text[at] not in _JOINERS


def _selectable(character: str) -> bool:
    return character in "#*0123456789" or (
        ord(character) > 0x7F and not "\ufe00" <= character <= "\ufe0f"
    )

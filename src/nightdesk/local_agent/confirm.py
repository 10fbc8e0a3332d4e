"""The typed confirmation: what a person typed into `confirm`, held against what a card asks for.

Preflight asks anew, from the private copy of what was approved: the person may have changed the
recipients since the card was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from nightdesk.errors import NotSent
from nightdesk.local_agent.amounts import amount_of
from nightdesk.local_agent.checks.case import Risk
from nightdesk.local_agent.checks.lookalike import same_domain
from nightdesk.local_agent.checks.table import tokens_of
from nightdesk.vault.notes import Note

CONFIRM = "confirm"
"""The property that a person types into."""

_AMOUNT = re.compile(r"\d+\.\d\d")
_BETWEEN = re.compile(r"[;\n]|,(?!\d)|(?<!\d),")
_SHORT_NUMBERS = re.compile(r"\d{4}(?:,\d{4})+")


def typed_in(note: Note) -> tuple[str, ...]:
    """What the person typed: one text, several parted by commas, or a list."""
    texts: list[str] = []
    for key, value in note.properties.items():
        if key.strip().casefold() == CONFIRM:
            texts += [value] if isinstance(value, str) else value
    return tuple(piece for text in texts for piece in pieces(text))


def asks(note: Note) -> bool:
    """Whether a card has the property, typed into or not: it was risky when it was written."""
    return any(key.strip().casefold() == CONFIRM for key in note.properties)


def pieces(text: str) -> list[str]:
    """The single words of a confirmation; the commas of `1,250.00` part nothing."""
    found = [piece.strip() for piece in _BETWEEN.split(text)]
    return [
        part
        for piece in found
        for part in (piece.split(",") if _SHORT_NUMBERS.fullmatch(piece) else [piece])
        if part
    ]


def matches(token: str, typed: str) -> bool:
    """Whether this was typed for this token, whatever its case, spaces and separators."""
    if _AMOUNT.fullmatch(token):
        value, wanted = amount_of(typed), amount_of(token)
        return value is not None and value == wanted
    plain = "".join(unicodedata.normalize("NFKC", typed).casefold().split()).strip("`'\"")
    if plain == token.casefold():
        return True
    if len(token) == 4 and token.isdecimal() and plain.isdecimal():
        return plain.zfill(4) == token  # Obsidian drops the leading zeros of a number
    return "@" not in token and "." in token and same_domain(plain, token)


def unconfirmed(risks: Iterable[Risk], typed: Sequence[str]) -> list[Risk]:
    """The risks for which the person has not typed what they ask for."""
    return [r for r in risks if r.token and not any(matches(r.token, text) for text in typed)]


def refusal(risks: Sequence[Risk]) -> NotSent:
    """What a person reads whose card lacks these confirmations: why, and what to type."""
    names = list(dict.fromkeys(risk.name for risk in risks))
    named = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    one = "a typed confirmation" if len(tokens_of(risks)) == 1 else "typed confirmations"
    return NotSent(
        f"it needs {one}: {named}",
        remedy=f"{way_out(risks)} {wanted(risks)} into the property `{CONFIRM}`. Then approve "
        "it again",
    )


def way_out(risks: Sequence[Risk]) -> str:
    """The sentence before the words to type; it names what else would settle all of them."""
    ways = list(dict.fromkeys(risk.instead for risk in risks))
    return "Type" if "" in ways else f"{' and '.join(ways)}; or, to send it as it is, type"


def wanted(risks: Iterable[Risk]) -> str:
    """The words to type, quoted for a person."""
    words = [f"`{token}`" for token in tokens_of(risks)]
    most = 4
    more = f" and {len(words) - most} more that its warnings name" if len(words) > most else ""
    return ", ".join(words[:most]) + more

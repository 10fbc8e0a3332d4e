"""What the laptop warns of on a card: each check a small function, values in, lines out.

A warning never decides; the person does. Untrusted values stand in code marks, so that
nothing in them renders.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from email.utils import getaddresses
from typing import TypeAlias

from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, Task

Check: TypeAlias = Callable[[Card, Task | None, frozenset[str]], list[str]]

GAP = re.compile(r"\[[^\[\]\n]*(?:…|\.{3})[^\[\]\n]*\]")
"""How a drafter marks what the person must fill in: `[…]`, also with words inside."""

_NOT_SHOWN = {
    "a comment (%%)": re.compile("%%"),
    "an HTML comment or tag": re.compile(r"<!--|</?[A-Za-z][A-Za-z0-9-]*(?=[\s/>])[^<>\n]*>"),
    "an embed": re.compile(r"!\[\[|!\[[^\]\n]*\]\("),
    "a link whose text differs from its target": re.compile(r"(?<!!)\[[^\]\n]+\]\([^)\n]+\)"),
}

_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_JOINERS = frozenset("\u200c\u200d")  # part of emoji, and of Persian and Indic words


def warnings_for(card: Card, task: Task | None, own: Iterable[str]) -> tuple[str, ...]:
    """Every warning that belongs on a card.

    Args:
        card: the card as parsed.
        task: the task it answers, None where its note is not here.
        own: the user's own addresses.
    """
    mine = frozenset(address.casefold() for address in own if address)
    return tuple(line for check in CHECKS for line in check(card, task, mine))


def new_recipient(card: Card, task: Task | None, own: frozenset[str]) -> list[str]:
    """A recipient who has no part in the mail that is answered."""
    recipients = _recipients(card)
    if not recipients:
        return []
    if task is None:
        return [
            "Recipients not checked: this card answers no message in the vault. "
            "Look at each address."
        ]
    thread = getaddresses([task.sender, task.reply_to, *task.to, *task.cc])
    known = own | {address.casefold() for _, address in thread if address}
    return [
        f"New recipient: {_shown(address)} has no part in the message that this answers."
        for address in recipients
        if address.casefold() not in known
    ]


def foreign_domain(card: Card, task: Task | None, own: frozenset[str]) -> list[str]:
    """A domain in other letters, which may look like one that it is not."""
    lines = []
    for address in _recipients(card):
        domain = address.rpartition("@")[2]
        if not domain.isascii():
            coded = ".".join(_to_punycode(label) for label in domain.split("."))
            lines.append(f"Look-alike danger: {_shown(domain)} is really {_shown(coded)}.")
        elif any(label.startswith("xn--") for label in domain.casefold().split(".")):
            read = ".".join(_from_punycode(label) for label in domain.casefold().split("."))
            lines.append(f"Look-alike danger: {_shown(domain)} is shown by mailers as "
                         f"{_shown(read)}.")  # fmt: skip
    return lines


def hidden_characters(card: Card, task: Task | None, own: frozenset[str]) -> list[str]:
    """Characters that are sent and cannot be seen, or that turn the order of the others."""
    places = {"the draft": card.action.body}
    if isinstance(card.action, EmailSend):
        places["the subject"] = card.action.subject
    lines = []
    for place, text in places.items():
        hidden = [c for c in text if _is_hidden(c)]
        if hidden:
            codes = ", ".join(sorted({f"U+{ord(c):04X}" for c in hidden})[:5])
            one = "character" if len(hidden) == 1 else "characters"
            lines.append(f"Hidden text: {len(hidden)} invisible {one} in {place} ({codes}).")
    return lines


def not_shown(card: Card, task: Task | None, own: frozenset[str]) -> list[str]:
    """Text that is sent as it stands, but that Obsidian's reading view hides or replaces."""
    kinds = [kind for kind, pattern in _NOT_SHOWN.items() if pattern.search(card.action.body)]
    if not kinds:
        return []
    return [
        f"Not all is shown: the draft holds {', '.join(kinds)}, which the reading view hides or "
        "replaces but the mail will carry. Read it in the editor's source mode."
    ]


def gaps(card: Card, task: Task | None, own: frozenset[str]) -> list[str]:
    """Places that the drafter left for the person to fill in."""
    count = count_gaps(card.action.body)
    if not count:
        return []
    one = "gap" if count == 1 else "gaps"
    return [f"Not finished: the draft has {count} {one} marked `[…]`. Fill in before approving."]


def count_gaps(text: str) -> int:
    """How many gaps a text still has; lines that quote somebody else do not count."""
    own = (line for line in text.splitlines() if not line.startswith(">"))
    return sum(len(GAP.findall(line)) for line in own)


CHECKS: tuple[Check, ...] = (
    new_recipient,
    foreign_domain,
    hidden_characters,
    not_shown,
    gaps,
)
"""The checks, in the order in which a person should read their lines."""


def _recipients(card: Card) -> list[str]:
    if not isinstance(card.action, EmailSend):
        return []
    return [*card.action.to, *card.action.cc]


def _is_hidden(character: str) -> bool:
    if character in _JOINERS:
        return False
    if character in _FILLERS or 0xE0100 <= ord(character) <= 0xE01EF:
        return True
    return unicodedata.category(character) in {"Cf", "Co", "Cs"}


def _shown(text: str) -> str:
    plain = "".join("\ufffd" if _is_hidden(c) or not c.isprintable() else c for c in text)
    return f"`{plain.replace('`', chr(39))}`"


def _to_punycode(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _from_punycode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label

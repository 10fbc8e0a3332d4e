"""A card under review with all that it is judged by, and what a check finds on it.

Nothing here reads a file: values in, values out. Every text on a card is somebody else's, so what
a warning quotes stands in code marks (`shown`) and nothing in it renders.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import getaddresses
from functools import cached_property

from nightdesk.local_agent.handbook import Handbook
from nightdesk.local_agent.sent import Sent
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, Task

_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
JOINERS = frozenset("\u200c\u200d")  # part of emoji, and of Persian and Indic words
_SELECTORS = range(0xE0100, 0xE01F0)
_MAX_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Risk:
    """Something on a card that the person should know.

    Attributes:
        line: what it is, whole sentences, one line.
        name: the same in a few words, for a list or a reason.
        token: what the person must type into `confirm` if it is to run all the same; "" where
            the warning is enough. Plain ASCII.
        instead: what else would settle it, a sentence without a full stop.
    """

    line: str
    name: str
    token: str = ""
    instead: str = ""

    @property
    def warning(self) -> str:
        """The line for the card; it says exactly what to type."""
        if not self.token:
            return self.line
        return f"{self.line} To send it all the same, type `{self.token}` into `confirm`."


@dataclass(frozen=True)
class Known:
    """What the laptop knows by itself; no note of the cloud's adds to it.

    Attributes:
        own: the user's own addresses, in small letters.
        sent: what went out from here.
    """

    own: frozenset[str] = frozenset()
    handbook: Handbook = field(default_factory=Handbook)
    sent: tuple[Sent, ...] = ()

    @cached_property
    def written(self) -> frozenset[str]:
        """The addresses that the user has written to."""
        return frozenset(a for sent in self.sent if sent.certain for a in sent.recipients)

    @cached_property
    def trusted(self) -> frozenset[str]:
        """Every address of the user's own or of somebody whom the user knows."""
        return self.own | self.handbook.people | self.written

    @cached_property
    def domains(self) -> frozenset[str]:
        """The domains of all of these, in ASCII form."""
        return frozenset(filter(None, map(domain_of, self.trusted)))


@dataclass(frozen=True)
class Case:
    """One card, the task that it answers (None where its note is not here), and what is known."""

    card: Card
    task: Task | None
    known: Known

    @cached_property
    def recipients(self) -> tuple[str, ...]:
        """The addresses to which it would go."""
        action = self.card.action
        return (*action.to, *action.cc) if isinstance(action, EmailSend) else ()

    @property
    def subject(self) -> str:
        """The subject, "" where the action has none."""
        return self.card.action.subject if isinstance(self.card.action, EmailSend) else ""

    @cached_property
    def thread(self) -> frozenset[str]:
        """Who has a part in the message that is answered, in small letters."""
        if self.task is None:
            return frozenset()
        heads = [self.task.sender, self.task.reply_to, *self.task.to, *self.task.cc]
        return addresses(heads)

    @cached_property
    def original(self) -> str:
        """What came in, as a person can see it: without invisible characters."""
        if self.task is None:
            return plain(self.card.original)
        return plain(f"{self.task.subject}\n{self.task.body}")

    @cached_property
    def said(self) -> str:
        """The subject and what the draft says itself, without what it takes from the mail."""
        quotable = {" ".join(line.split()) for line in self.original.splitlines()}
        answers = self.task is not None and topic(self.subject) == topic(self.task.subject)
        kept = [] if answers else [self.subject]
        for line in self.card.action.body.splitlines():
            quoted = " ".join(plain(line).lstrip("> \t").split())
            if not (line.startswith(">") and quoted in quotable | {""}):
                kept.append(line)
        return plain("\n".join(kept))


def words(text: str) -> str:
    """A text for comparing: small letters, single spaces."""
    return " ".join(text.casefold().split())


def topic(subject: str) -> str:
    """A subject for comparing, without the marks of answers and forwards."""
    return words(re.sub(r"^(?:\s*(?:re|aw|fwd?|wg|sv|tr)\s*:)+", "", subject, flags=re.IGNORECASE))


def addresses(heads: Iterable[str]) -> frozenset[str]:
    """The bare addresses in header values, in small letters."""
    texts = [head for head in heads if head]
    return frozenset(a.casefold() for _, a in getaddresses(texts) if "@" in a)


def domain_of(address: str) -> str:
    """An address's domain in small letters and ASCII form (RFC 3492); "" where it has none."""
    return ascii_domain(address.rpartition("@")[2])


def ascii_domain(domain: str) -> str:
    """A domain in small letters, its labels as they travel (`xn--…`); compare by this."""
    text = unicodedata.normalize("NFKC", domain).casefold().strip(".")
    labels = (label if label.isascii() else _coded(label) for label in text.split("."))
    return ".".join(labels)


def _coded(label: str) -> str:
    try:
        return "xn--" + label.encode("punycode").decode("ascii")
    except UnicodeError:  # half a character; no mail server knows such a domain
        return "?"


def is_hidden(character: str) -> bool:
    """Whether a character is sent but cannot be seen, or turns the order of the others."""
    if character in JOINERS:
        return False
    if character in _FILLERS or ord(character) in _SELECTORS:
        return True
    return unicodedata.category(character) in {"Cf", "Co", "Cs"}


def plain(text: str) -> str:
    """A text without its invisible characters, so that none can part what belongs together."""
    if text.isascii():  # they lie beyond; most texts are short of any
        return text
    return "".join(c for c in text if c not in JOINERS and not is_hidden(c))


def shown(text: str, limit: int = _MAX_SHOWN) -> str:
    """Somebody else's text for a warning: one line of code, nothing in it renders."""
    clean = "".join("\ufffd" if is_hidden(c) or not c.isprintable() else c for c in text)
    clean = clean.replace("`", "'").strip() or "?"
    if len(clean) > limit:
        clean = f"{clean[:limit]}…"
    return f"`{clean}`"


def listed(items: Iterable[str], most: int = 5) -> str:
    """Several quoted texts in a row, the rest counted."""
    every = list(items)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more

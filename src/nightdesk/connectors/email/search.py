"""The query language of mail search: words and a few prefixes, all of which must fit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nightdesk.connectors.email.inbound import InboundMail
from nightdesk.errors import UsageError

SYNTAX = (
    "words (all must occur in sender, subject or text), from:ada, to:me@example.com, "
    'subject:invoice, since:2026-11-01, before:2026-12-01; "quotes" keep words together'
)
_TERM = re.compile(r'(?:(from|to|subject|since|before):)?(?:"([^"]*)"|(\S+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; every text is casefolded, dates are UTC midnights."""

    words: tuple[str, ...] = ()
    sender: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    since: datetime | None = None
    before: datetime | None = None

    def fits(self, mail: InboundMail) -> bool:
        """Whether a mail has everything that the query asks for."""
        if (self.since and mail.received < self.since) or (
            self.before and mail.received >= self.before
        ):
            return False
        sender = f"{mail.sender_name} {mail.sender}".casefold()
        subject = mail.subject.casefold()
        to = " ".join((*mail.to, *mail.cc)).casefold()
        return (
            all(word in sender for word in self.sender)
            and all(word in to for word in self.to)
            and all(word in subject for word in self.subject)
            and self._words_in(f"{sender}\n{subject}", mail)
        )

    def _words_in(self, head: str, mail: InboundMail) -> bool:
        left = [word for word in self.words if word not in head]
        if not left:
            return True
        text = mail.text.casefold()
        return all(word in text for word in left)


@dataclass
class _Parts:
    words: list[str] = field(default_factory=list)
    sender: list[str] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    subject: list[str] = field(default_factory=list)
    since: datetime | None = None
    before: datetime | None = None


def parse_query(text: str) -> Query:
    """Read a query; an empty one fits every mail.

    Raises:
        UsageError: a date is not YYYY-MM-DD, or the query is over 1,000 characters.
    """
    if len(text) > 1000:
        raise UsageError("the query is longer than 1,000 characters", remedy="Use fewer words")
    parts = _Parts()
    lists = {"": parts.words, "from": parts.sender, "to": parts.to, "subject": parts.subject}
    for prefix, quoted, bare in _TERM.findall(text):
        value, kind = quoted or bare, prefix.lower()
        if kind == "since":
            parts.since = _day(kind, value)
        elif kind == "before":
            parts.before = _day(kind, value)
        elif value.strip():
            lists[kind].append(value.casefold())
    return Query(
        words=tuple(parts.words),
        sender=tuple(parts.sender),
        to=tuple(parts.to),
        subject=tuple(parts.subject),
        since=parts.since,
        before=parts.before,
    )


def _day(prefix: str, text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as e:
        raise UsageError(
            f"{prefix}:{text} is not a date", remedy=f"Write it as {prefix}:2026-11-23"
        ) from e

"""The fields of a reply, taken from the mail's headers alone, never from its text."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from nightdesk.connectors.email.inbound import InboundMail

MAX_REFERENCES = 25
_MAX_QUOTED = 20_000
_REPLY_PREFIX = re.compile(
    r"(?:re|aw|sv|antw|antwort|vs|odp|ynt|rif|rép|réf|res|回复|回覆|答复|返信)"
    r"\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[::]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ReplyFields:
    """Where a reply goes and how it threads; addresses are bare."""

    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    in_reply_to: str
    references: tuple[str, ...]


def reply_fields(mail: InboundMail, own: Collection[str]) -> ReplyFields:
    """Derive a reply's fields (RFC 5322 sections 3.6.2 and 3.6.4).

    It goes to Reply-To or From; the mail's other recipients, if it had any, are in copy.

    Args:
        own: the user's own addresses, which are never written to.
    """
    mine = {address.casefold() for address in own}
    answer_to = mail.reply_to or mail.sender
    if answer_to.casefold() in mine:
        # A message of one's own is followed up to those whom it was written to.
        to = tuple(address for address in mail.to if address.casefold() not in mine)
    else:
        to = (answer_to,) if answer_to else ()
    taken = mine | {address.casefold() for address in to}
    cc: list[str] = []
    for address in (*mail.to, *mail.cc):
        if address.casefold() not in taken:
            taken.add(address.casefold())
            cc.append(address)
    own_id = mail.message_id if mail.has_own_id else ""
    chain = [ref for ref in mail.references if ref != own_id] + ([own_id] if own_id else [])
    if len(chain) > MAX_REFERENCES:
        chain = [chain[0], *chain[-(MAX_REFERENCES - 1) :]]
    return ReplyFields(to, tuple(cc), reply_subject(mail.subject), own_id, tuple(chain))


def reply_subject(subject: str) -> str:
    """`Re:` once; a subject that already says so in any common language stays as it is."""
    subject = " ".join(subject.split())
    if _REPLY_PREFIX.match(subject):
        return subject
    return f"Re: {subject}".strip()[:900]


def quote(mail: InboundMail, limit: int = 200) -> str:
    """The original, quoted below an attribution line.

    Args:
        limit: lines of the original to quote (and at most 20,000 characters); what is left
            out is marked.
    """
    text = mail.text.strip("\n")
    kept = text[:_MAX_QUOTED].split("\n")[:limit] if text else []
    lines = [f"> {line}".rstrip() for line in kept]
    if len("\n".join(kept)) < len(text):
        lines.append("> […]")
    who = f"{mail.sender_name} <{mail.sender}>" if mail.sender_name else mail.sender
    head = f"On {mail.received:%Y-%m-%d %H:%M} UTC, {who or 'somebody'} wrote:"
    return "\n".join([head, *lines])

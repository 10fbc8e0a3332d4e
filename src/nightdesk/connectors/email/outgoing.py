"""Building a message: exactly the headers that were asked for leave, or nothing does.

The standard library's own writer is not trusted with that: on some Python versions an encoded
line break in a Subject becomes a header of its own (CVE-2024-6923), and long message ids are
encoded until no thread recognises them. So headers are written here, and what was written is
read again and compared.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import quote as quote_string
from typing import Any

from nightdesk.connectors.email.reply import ReplyFields, quote, reply_fields
from nightdesk.connectors.email.written import check_written
from nightdesk.errors import NotSent

__all__ = [
    "Outgoing",
    "OutgoingAttachment",
    "ReplyFields",
    "build",
    "message_id_for",
    "quote",
    "reply_fields",
    "serialise",
]

_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[bqBQ]\?")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_ADDRESS = re.compile(r"[^\s<>,;:()\"\[\]@\\]{1,64}@[^\s<>,;:()\"\[\]@\\]{1,255}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_LINE = 76


@dataclass(frozen=True, slots=True)
class OutgoingAttachment:
    """A file to send along; `content_type` as "application/pdf"."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message before it is written.

    Attributes:
        sender: the user's bare address; `to` and `cc` are bare addresses too.
        body: plain text with `\\n` line ends.
        message_id: with brackets, as are `in_reply_to` ("" for none) and `references`.
        date: with a time zone.
    """

    sender: str
    sender_name: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    body: str
    in_reply_to: str
    references: tuple[str, ...]
    message_id: str
    date: datetime
    attachments: tuple[OutgoingAttachment, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody whom it goes to, each once."""
        return tuple({a.casefold(): a for a in reversed((*self.to, *self.cc))}.values())[::-1]


class _Exact(EmailPolicy):
    """RFC 5322 with CRLF and 7-bit bodies, whose header lines are folded by `_folded`."""

    def fold(self, name: str, value: Any) -> str:
        lowered = name.lower()
        if lowered in {"subject", "from", "to", "cc", "message-id", "in-reply-to", "references"}:
            return f"{name}: {_folded(lowered, value, utf8=self.utf8)}{self.linesep}"
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("utf-8" if self.utf8 else "ascii")


_ASCII = _Exact(linesep="\r\n", cte_type="7bit")
_UTF8 = _Exact(linesep="\r\n", cte_type="7bit", utf8=True)


def build(outgoing: Outgoing) -> EmailMessage:
    """Make the message.

    Raises:
        NotSent: a field is empty where it must not be, or holds something that could become
            another header, recipient or line.
    """
    for address in (outgoing.sender, *outgoing.to, *outgoing.cc):
        _check_address(address)
    if not outgoing.to:
        raise NotSent("the message has no recipient", remedy="Put one into `to`")
    _check_line("the subject", outgoing.subject, 900)
    _check_line("your name", outgoing.sender_name, 200)
    ids = (outgoing.message_id, *outgoing.references)
    for id_ in (*ids, outgoing.in_reply_to) if outgoing.in_reply_to else ids:
        if not _MESSAGE_ID.fullmatch(id_):
            raise NotSent(f"{id_!r} is no message id", remedy="It must look like <x@y>, in ASCII")
    if outgoing.date.tzinfo is None:
        raise NotSent("the date has no time zone", remedy="Give it in UTC")
    body = outgoing.body.replace("\r\n", "\n").replace("\r", "\n")
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in body):
        raise NotSent("the text holds a control character", remedy="Remove it and approve again")
    everybody = (outgoing.sender, *outgoing.to, *outgoing.cc)
    message = EmailMessage(policy=_ASCII if all(a.isascii() for a in everybody) else _UTF8)
    message["From"] = _address(outgoing.sender, outgoing.sender_name)
    message["To"] = [_address(address) for address in outgoing.to]
    if outgoing.cc:
        message["Cc"] = [_address(address) for address in outgoing.cc]
    message["Subject"] = outgoing.subject
    message["Date"] = outgoing.date
    message["Message-ID"] = outgoing.message_id
    if outgoing.in_reply_to:
        message["In-Reply-To"] = outgoing.in_reply_to
    if outgoing.references:
        message["References"] = " ".join(outgoing.references)
    message.set_content(body)
    for attachment in outgoing.attachments:
        _attach(message, attachment)
    _check_same(message, outgoing, body)
    return message


def serialise(message: EmailMessage) -> bytes:
    """Write a message as it goes over the wire (CRLF), and make sure that it says the same.

    Raises:
        NotSent: what was written does not read back as exactly the message's own headers.
    """
    utf8 = getattr(message.policy, "utf8", False)
    data = message.as_bytes(policy=_UTF8 if utf8 else _ASCII)
    check_written(data, message)
    return data


def message_id_for(action_id: str, digest: str, domain: str) -> str:
    """The message id of an action: the same action with the same text has the same id.

    Args:
        action_id: the card's id.
        digest: of the approved action, in hex.
        domain: of the sender; one that is not plain ASCII is replaced.
    """
    seed = f"{action_id}\n{digest}".encode("utf-8", "surrogatepass")
    if not re.fullmatch(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", domain):
        domain = "nightdesk.invalid"
    return f"<nd.{hashlib.sha256(seed).hexdigest()[:40]}@{domain.lower()}>"


def _check_address(address: str) -> None:
    hidden = any(unicodedata.category(c) in {*_REFUSED, "Cf", "Co"} for c in address)
    if hidden or not _ADDRESS.fullmatch(address) or _ENCODED_WORD.search(address):
        raise NotSent(
            f"{address!r} is not an e-mail address", remedy="Correct the address and approve again"
        )


def _check_line(what: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise NotSent(f"{what} is longer than {limit} characters", remedy="Shorten it")
    if any(unicodedata.category(c) in _REFUSED for c in text):
        raise NotSent(f"{what} holds a line break or control character", remedy="Remove it")
    if _ENCODED_WORD.search(text):
        # The recipient's program would show something else than the person approved.
        raise NotSent(
            f"{what} holds encoded text (=?…?=)", remedy="Type what it should say and approve again"
        )


def _address(address: str, name: str = "") -> Address:
    user, _, domain = address.rpartition("@")
    return Address(display_name=name.strip(), username=user, domain=domain)


def _attach(message: EmailMessage, attachment: OutgoingAttachment) -> None:
    _check_line("an attachment's name", attachment.name, 200)
    main, _, sub = attachment.content_type.lower().partition("/")
    if main in {"message", "multipart"} or not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", sub):
        main, sub = "application", "octet-stream"
    message.add_attachment(attachment.data, maintype=main, subtype=sub, filename=attachment.name)


def _check_same(message: EmailMessage, outgoing: Outgoing, body: str) -> None:
    """Setting a header parses it; refuse where that made something else of it."""
    own = [(a.display_name, a.addr_spec) for a in message["From"].addresses]
    to = tuple(a.addr_spec for a in message["To"].addresses)
    cc = tuple(a.addr_spec for a in message["Cc"].addresses) if outgoing.cc else ()
    part = message.get_body(("plain",))
    text = part.get_content() if part else ""
    if (
        own != [(outgoing.sender_name.strip(), outgoing.sender)]
        or (to, cc) != (outgoing.to, outgoing.cc)
        or str(message["Subject"]) != outgoing.subject
        or text.replace("\r\n", "\n").rstrip("\n") != body.rstrip("\n")
    ):
        raise NotSent(
            "the message would not say what was approved",
            remedy="Retype the subject, the names and the addresses, then approve again",
        )


def _folded(name: str, value: Any, *, utf8: bool) -> str:
    if name in {"from", "to", "cc"}:
        return ",\r\n ".join(_mailbox(address, utf8=utf8) for address in value.addresses)
    text = str(value)
    if name == "subject":
        return text if utf8 else _encoded(text, "Subject")
    return "\r\n ".join(text.split())


def _mailbox(address: Address, *, utf8: bool) -> str:
    name = address.display_name
    if not name:
        return address.addr_spec
    if not name.isascii() and not utf8:
        return f"{_encoded(name, 'From')} <{address.addr_spec}>"
    if _PLAIN_NAME.fullmatch(name):
        return f"{name} <{address.addr_spec}>"
    return f'"{quote_string(name)}" <{address.addr_spec}>'


def _encoded(text: str, name: str) -> str:
    if text.isascii() and max(map(len, text.split(" "))) > _LINE - 16:
        return text  # nowhere to fold; at most 900 characters, so the line stays within 998
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(text, charset, maxlinelen=_LINE, header_name=name).encode(linesep="\r\n")

"""A mail as it came in: parsed from any bytes, never raising, bounded in size."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.policy import compat32

from nightdesk.connectors.email import headers
from nightdesk.connectors.email.automatic import why_automatic
from nightdesk.connectors.email.bulk import KEEP_BYTES, Slim, encoded_length, slim
from nightdesk.connectors.email.html_text import MAX_HTML_CHARACTERS, visible_text
from nightdesk.connectors.email.visible import one_line, visible

MAX_TEXT_CHARACTERS = 100_000
SYNTHETIC_DOMAIN = "nightdesk.invalid"
"""Domain of the ids that Nightdesk gives to mails without one; never sent to anybody."""

_MAX_PARTS = 500


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a mail; its content stays in the mailbox.

    Attributes:
        size: bytes after decoding; close, not exact, where the encoding is broken.
    """

    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class InboundMail:
    """What a mail says.

    Attributes:
        key: the mailbox's own name for it.
        message_id: with brackets; made from the bytes (`<…@nightdesk.invalid>`) where it has none.
        sender: bare address, "" where there is none. `reply_to`: the same.
        received: the mail's own date in UTC, or when it was delivered where that is absurd.
        references: the ids of the thread, oldest first.
        text: the visible text, at most 100,000 characters and a note that it was cut.
        automatic: why no reply should be drafted, "" where one may.
        removed_invisible: characters removed because nobody could see them.
        size: bytes of the whole mail.
    """

    key: str
    message_id: str
    sender: str
    sender_name: str
    reply_to: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    received: datetime
    in_reply_to: str
    references: tuple[str, ...]
    text: str
    attachments: tuple[Attachment, ...]
    automatic: str
    removed_invisible: int
    size: int

    @property
    def thread(self) -> str:
        """The id of the conversation: its first message."""
        return self.references[0] if self.references else self.in_reply_to or self.message_id

    @property
    def has_own_id(self) -> bool:
        """Whether the message id is the sender's, not one that was made here."""
        return not self.message_id.endswith(f"@{SYNTHETIC_DOMAIN}>")


@dataclass
class _Body:
    plain: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    cut: bool = False


def parse_mail(raw: bytes, key: str, delivered: datetime | None = None) -> InboundMail:
    """Read a mail; whatever the bytes are, something readable comes out.

    Args:
        raw: the whole mail (RFC 5322), or what there is of it.
        key: the mailbox's name for it, kept as it is.
        delivered: when it arrived, for mails whose Date is missing or absurd; now if None.
    """
    light = slim(raw)
    message, body = _parsed(light)
    senders = headers.addresses(headers.raw(message, "From"))
    if not senders:
        senders = headers.addresses(headers.raw(message, "Sender"))
    sender_name, sender = senders[0] if senders else ("", "")
    replies = headers.addresses(headers.raw(message, "Reply-To"))
    reply_to = replies[0][1] if replies else ""
    parents = headers.message_ids(headers.raw(message, "In-Reply-To"))
    subject = one_line(headers.decoded(headers.first(message, "Subject")))
    name = one_line(sender_name)
    text, removed = _shown(body, truncated=light.truncated)
    own_id = headers.message_id(headers.first(message, "Message-ID"))
    return InboundMail(
        key=key,
        message_id=own_id or f"<{hashlib.sha256(raw).hexdigest()}@{SYNTHETIC_DOMAIN}>",
        sender=sender,
        sender_name=name.text[:200],
        reply_to=reply_to,
        to=_bare(message, "To"),
        cc=_bare(message, "Cc"),
        subject=subject.text[:900],
        received=headers.date_of(headers.first(message, "Date"), delivered or datetime.now(UTC)),
        in_reply_to=parents[0] if parents else "",
        references=headers.message_ids(headers.raw(message, "References")) or parents,
        text=text,
        attachments=tuple(body.attachments),
        automatic=why_automatic(message, sender, reply_to or sender),
        removed_invisible=removed + subject.removed + name.removed,
        size=len(raw),
    )


def _bare(message: Message, name: str) -> tuple[str, ...]:
    found = headers.addresses(headers.raw(message, name))
    return tuple(dict.fromkeys(address for _, address in found))


def _parsed(light: Slim) -> tuple[Message, _Body]:
    try:
        message: Message = BytesParser(policy=compat32).parsebytes(light.data)
        body = _Body()
        for part in _leaves(message):
            _take(part, light.mark, body)
    except Exception:  # noqa: BLE001 - the standard parser fails on crafted nesting and names
        message = BytesHeaderParser(policy=compat32).parsebytes(light.data)
        rest = re.split(rb"\r?\n\r?\n", light.data, maxsplit=1)[-1]
        readable = headers.text_of(rest[: MAX_TEXT_CHARACTERS * 4], cut=True)
        body = _Body(plain=[f"[This mail could not be taken apart; as it came:]\n\n{readable}"])
    return message, body


def _leaves(message: Message) -> Iterator[Message]:
    # An explicit stack: nesting is the sender's choice. A forwarded message counts as one file.
    stack = [message]
    for _ in range(_MAX_PARTS):
        if not stack:
            return
        part = stack.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            stack += [item for item in reversed(_inner(part)) if isinstance(item, Message)]
        else:
            yield part


def _take(part: Message, mark: str, body: _Body) -> None:
    kind = part.get_content_type()
    name = _file_name(part)
    if name or part.get_content_disposition() == "attachment" or not kind.startswith("text/"):
        if kind.startswith("multipart/"):  # a multipart without parts: broken, shown as text
            body.plain.append(_text(part, mark, body))
            return
        size = _size(part, mark)
        body.attachments.append(Attachment(name or _default_name(part, kind), kind, size))
    elif kind == "text/html":
        body.html.append(_text(part, mark, body))
    elif kind == "text/calendar":
        body.attachments.append(Attachment("invitation.ics", kind, _size(part, mark)))
    else:
        body.plain.append(_text(part, mark, body))


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename("")
    except Exception:  # noqa: BLE001 - broken RFC 2231 parameters raise various errors
        name = "unnamed"
    shown = one_line(headers.decoded(name)).text
    return re.split(r"[/\\]", shown)[-1].strip(" .")[:120]


def _default_name(part: Message, kind: str) -> str:
    if kind == "message/rfc822":
        inner = _inner(part)
        title = ""
        if inner and isinstance(inner[0], Message):
            title = one_line(headers.decoded(headers.first(inner[0], "Subject"))).text
        return (re.sub(r"[^\w .-]+", "_", title).strip(" .")[:80] or "message") + ".eml"
    return "unnamed"


def _encoding(part: Message) -> str:
    return headers.first(part, "Content-Transfer-Encoding").lower()


def _inner(part: Message) -> list[object]:
    payload = part.get_payload() if part.is_multipart() else []
    return list(payload) if isinstance(payload, list) else []


def _flat(part: Message) -> str:
    try:
        payload = part.get_payload()
    except (LookupError, ValueError):  # 8-bit bytes where the declared charset has no "replace"
        return ""
    return payload if isinstance(payload, str) else ""


def _size(part: Message, mark: str) -> int:
    if part.is_multipart():
        try:
            return sum(len(bytes(item)) for item in _inner(part) if isinstance(item, Message))
        except Exception:  # noqa: BLE001 - writing a broken forwarded mail may fail
            return 0
    if _encoding(part) == "base64":
        length = encoded_length(_flat(part), mark)
        return max(0, length * 3 // 4 - _flat(part)[-4:].count("="))
    return len(_bytes(part, mark))


def _bytes(part: Message, mark: str) -> bytes:
    if _encoding(part) == "base64":
        letters = re.sub(r"[^A-Za-z0-9+/]", "", _flat(part).partition(mark)[0][: KEEP_BYTES * 2])
        if len(letters) % 4 == 1:
            letters = letters[:-1]
        return binascii.a2b_base64(letters + "=" * (-len(letters) % 4))
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _text(part: Message, mark: str, body: _Body) -> str:
    data = _bytes(part, mark)
    limit = MAX_HTML_CHARACTERS * 4
    if len(data) > limit or (_encoding(part) == "base64" and mark in _flat(part)):
        body.cut = True
    try:
        charset = part.get_content_charset("") or ""
    except Exception:  # noqa: BLE001 - broken RFC 2231 parameters raise various errors
        charset = ""
    return headers.text_of(data[:limit], charset, cut=len(data) > limit or body.cut)


def _shown(body: _Body, *, truncated: bool) -> tuple[str, int]:
    plain = "\n\n".join(text for text in body.plain if text.strip())
    if not plain.strip():
        plain = "\n\n".join(visible_text(html) for html in body.html)
    seen = visible(plain[: MAX_TEXT_CHARACTERS * 2])
    text = "\n".join(line.rstrip() for line in seen.text.split("\n")).strip("\n")
    if len(text) > MAX_TEXT_CHARACTERS or len(plain) > MAX_TEXT_CHARACTERS * 2 or body.cut:
        text = text[:MAX_TEXT_CHARACTERS]
        text += f"\n\n[… cut here: the mail goes on after {len(text):,} characters]"
    if truncated:
        text += "\n\n[This mail is very large; what follows its first megabytes was not read.]"
    return text, seen.removed

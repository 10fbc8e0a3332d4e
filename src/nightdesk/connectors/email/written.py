"""Reading back what was written: exactly these headers and parts, line by line, or nothing leaves.

This reads the bytes with its own few lines instead of the parser that belongs to the writer.
"""

from __future__ import annotations

import re
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import getaddresses

from nightdesk.connectors.email.headers import decoded
from nightdesk.errors import NotSent

ONCE = ("From", "To", "Subject", "Date", "Message-ID")
ALLOWED = frozenset(
    {*ONCE, "Cc", "In-Reply-To", "References", "MIME-Version", "Content-Type",
     "Content-Transfer-Encoding"}
)  # fmt: skip
"""Headers that a message of ours may have; `Bcc` is none of them."""

_LINE = re.compile(rb"([!-9;-~]+): ?(.*)", re.DOTALL)
_BARE_BREAK = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")
_MAX_LINE = 998


def check_written(data: bytes, message: EmailMessage) -> None:
    """Compare written bytes with the message that they should say.

    Raises:
        NotSent: a header more, less or different, a bare line break, an over-long line, or
            another content.
    """
    if _BARE_BREAK.search(data):
        raise _refused("it would hold a bare line break")
    if any(len(line) > _MAX_LINE for line in data.split(b"\r\n")):
        raise _refused("it would hold a line of more than 998 bytes")
    head = data.partition(b"\r\n\r\n")[0]
    read = [_header(line) for line in re.split(rb"\r\n(?![ \t])", head)]
    wanted = [(name, str(value)) for name, value in message.items()]
    names = [name for name, _ in read]
    if names != [name for name, _ in wanted] or not set(names) <= ALLOWED:
        raise _refused(f"it would have the headers {', '.join(names)}")
    if any(names.count(name) != 1 for name in ONCE) or len(set(names)) != len(names):
        raise _refused("a header would be missing or stand twice")
    for (name, got), (_, want) in zip(read, wanted, strict=True):
        if _meaning(name, got) != _meaning(name, want):
            raise _refused(f"{name} would read {got[:200]!r}")
    parsed: Message = BytesParser(policy=compat32).parsebytes(data)
    if _contents(parsed) != _contents(message):
        raise _refused("its content would read back differently")


def _header(line: bytes) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if not match:
        raise _refused(f"it would hold the header line {line[:80]!r}")
    value = match.group(2).replace(b"\r\n", b"")
    return match.group(1).decode("ascii"), value.decode("utf-8")


def _meaning(name: str, value: str) -> object:
    if name in {"From", "To", "Cc"}:
        return [(decoded(shown), address) for shown, address in getaddresses([value])]
    if name == "Subject":
        return decoded(value)
    return value.split()


def _contents(message: Message) -> list[tuple[str, str, bytes]]:
    found = []
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            data = payload if isinstance(payload, bytes) else b""
            if part.get_content_maintype() == "text" and not part.get_filename():
                data = data.replace(b"\r\n", b"\n")
            name = part.get_filename("")
            found.append((part.get_content_type(), name, data))
    return found


def _refused(why: str) -> NotSent:
    return NotSent(
        f"the message was not written as approved: {why}",
        remedy="Retype the subject, the names and the addresses, then approve again",
    )

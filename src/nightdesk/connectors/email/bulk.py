"""Keeping big mails small: attachments' bulk is cut out before the mail is parsed.

The standard parser keeps every line of a mail as a Python string, so a 30 MB attachment would
cost hundreds of megabytes. What is cut is remembered in a mark that only this parse knows.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

KEEP_BYTES = 600_000
"""So much of a long base64 run stays: more than any text that is ever shown."""

MAX_PARSED_BYTES = 8 * 1024 * 1024
"""What is left after cutting is parsed up to here."""

_RUN = re.compile(rb"(?m)^(?:[A-Za-z0-9+/]{40,998}+={0,2}\r?\n)++")


@dataclass(frozen=True, slots=True)
class Slim:
    """A mail without its bulk.

    Attributes:
        data: what is to be parsed.
        mark: stands in `data` where base64 characters were cut out, followed by their number.
        truncated: whether the end of the mail is missing from `data`.
    """

    data: bytes
    mark: str
    truncated: bool


def slim(raw: bytes) -> Slim:
    """Cut the middle out of every long base64 run, and the end off what is still too long."""
    mark = f"nightdesk-cut-{secrets.token_hex(8)}:"
    if len(raw) <= KEEP_BYTES:
        return Slim(raw, mark, truncated=False)
    pieces: list[bytes] = []
    done = size = 0
    for run in _RUN.finditer(raw):
        start, end = run.span()
        if end - start <= KEEP_BYTES:
            continue
        keep = raw.rfind(b"\n", start, start + KEEP_BYTES) + 1
        lines = raw.count(b"\n", keep, end) + raw.count(b"\r", keep, end)
        pieces += [raw[done:keep], f"{mark}{end - keep - lines}\n".encode()]
        size += keep - done
        done = end
        if size > MAX_PARSED_BYTES:
            break
    pieces.append(raw[done : done + MAX_PARSED_BYTES])
    data = b"".join(pieces)
    cut = data[:MAX_PARSED_BYTES]
    return Slim(cut, mark, truncated=len(cut) < len(data) or done + MAX_PARSED_BYTES < len(raw))


def encoded_length(payload: str, mark: str) -> int:
    """How many base64 characters a payload has, with those that were cut out."""
    head, found, number = payload.partition(mark)
    length = len(head) - head.count("\n") - head.count("\r")
    if found:
        digits, _, rest = number.partition("\n")
        length += int(digits) if digits.isdigit() else 0
        length += len(rest) - rest.count("\n") - rest.count("\r")
    return length

"""Reading the headers of mails that strangers wrote: nothing in them may raise."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.header import decode_header
from email.headerregistry import HeaderRegistry
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime

MAX_HEADER_CHARACTERS = 50_000
_MAX_SIMPLE, _MAX_STRICT = 20_000, 4_000  # characters of addresses; the strict parser is quadratic
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bqBQ]\?[^?]*\?=")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_BARE_ID = re.compile(r"[!-;=?-~]{1,400}@[!-;=?-~]{1,400}")
_ADDRESS = re.compile(r"[^\s<>,;:()\"\[\]@]{1,64}@[^\s<>,;:()\"\[\]@]{1,255}")
_SINGLE_BYTE = frozenset({"ascii", "iso8859-1", "cp1252", "iso8859-15"})
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
_registry = HeaderRegistry()


def raw(message: Message, name: str) -> list[str]:
    """Every value of a header, unfolded; bytes over 127 as surrogates."""
    wanted = name.lower()
    return [
        re.sub(r"\r?\n(?=[ \t])", "", str(value))[:MAX_HEADER_CHARACTERS]
        for key, value in message.raw_items()
        if key.lower() == wanted
    ]


def first(message: Message, name: str) -> str:
    """The first value of a header; "" where there is none."""
    values = raw(message, name)
    return values[0].strip() if values else ""


def text_of(data: bytes, charset: str = "", *, cut: bool = False) -> str:
    """Decode bytes whose declared charset may be missing, unknown or a lie.

    Args:
        charset: as declared; "" for none.
        cut: whether the last character may be incomplete.
    """
    for name in _candidates(charset):
        try:
            decoder = codecs.getincrementaldecoder(name)("strict")
            return decoder.decode(data, final=not cut)
        except (LookupError, ValueError):  # unknown, no text encoding, or the bytes do not fit
            continue
    return data.decode("cp1252", "replace")


def _candidates(charset: str) -> list[str]:
    try:
        name = codecs.lookup(charset.strip("\"' ")).name if charset else "utf-8"
    except (LookupError, ValueError):
        name = "utf-8"
    if name in _NO_CHARSETS:
        name = "utf-8"
    # Valid UTF-8 beyond ASCII is hardly ever anything else, whatever was declared.
    return ["utf-8", name] if name in _SINGLE_BYTE else [name, "utf-8"]


def decoded(value: str) -> str:
    """Decode encoded words (RFC 2047), also doubly encoded ones, and raw 8-bit bytes."""
    value = _without_surrogates(value)
    for _ in range(3):
        if not _ENCODED_WORD.search(value):
            break
        try:
            value = "".join(
                part if isinstance(part, str) else text_of(part, charset or "utf-8")
                for part, charset in decode_header(value)
            )
        except (ValueError, LookupError):  # broken base64; HeaderParseError is a ValueError
            break
    return value


def _without_surrogates(value: str) -> str:
    if value.isascii():
        return value
    return text_of(value.encode("utf-8", "surrogateescape"))


def addresses(values: Sequence[str]) -> list[tuple[str, str]]:
    """(display name, address) of every well-formed address in the headers, in order."""
    found: list[tuple[str, str]] = []
    for value in values:
        for name, address in _parsed(value):
            clean = _without_surrogates(address).strip()
            if _ADDRESS.fullmatch(clean) and len(found) < 500:
                found.append((decoded(name), clean))
    return found


def _parsed(value: str) -> list[tuple[str, str]]:
    value = _without_surrogates(value)[:_MAX_SIMPLE]
    try:
        simple = getaddresses([value])
    except (RecursionError, ValueError, IndexError):  # thousands of brackets or colons
        simple = []
    if len(value) > _MAX_STRICT:
        return simple
    try:
        strict = [
            (address.display_name, address.addr_spec)
            for address in getattr(_registry("To", value), "addresses", ())
        ]
    except Exception:  # noqa: BLE001 - the standard parser raises IndexError and worse
        return simple
    # The strict parser knows groups and comments and is not fooled by quoted tricks, but it
    # puts spaces between the pieces of a long name; where both agree, the other's name is right.
    same = [address for _, address in simple] == [address for _, address in strict]
    return simple if same else strict


def message_ids(values: Sequence[str], limit: int = 100) -> tuple[str, ...]:
    """The message ids in In-Reply-To or References; the first and the latest are kept."""
    found = list(dict.fromkeys(id_ for value in values for id_ in _MESSAGE_ID.findall(value)))
    if len(found) > limit:
        found = [found[0], *found[-(limit - 1) :]]
    return tuple(found)


def message_id(value: str) -> str:
    """A mail's own id with its brackets, also where they are missing; "" for none."""
    if match := _MESSAGE_ID.search(value):
        return match.group()
    bare = value.strip()
    return f"<{bare}>" if _BARE_ID.fullmatch(bare) else ""


def date_of(value: str, otherwise: datetime) -> datetime:
    """The Date header in UTC; `otherwise` where it is broken, absurd or in the future."""
    try:
        found = parsedate_to_datetime(value)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return otherwise
    if found.year < 1985 or found > otherwise + timedelta(days=1):
        return otherwise
    return found

"""Finding a known secret in a file, in whatever common encoding it stands there.

The file is normalised in a few linear passes ("views") and each view is searched for a few byte
strings ("needles"). A view deletes or translates single bytes, and its needles went through the
same deletions: whatever stood in the file is still there in the view, so nothing is missed
however it was wrapped. What a view finds besides (a secret whose letters happen to stand across
two words) is the price, and does not happen by accident to anything that is worth guarding.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from html.entities import html5
from typing import NamedTuple

MIN_SECRET_LENGTH = 6
"""Characters; shorter credentials would match by accident."""

_SPACE = b" \t\r\n\v\f\0"
"""NUL: UTF-16 of plain letters is those letters."""
_WIDE_SPACES = (b"\xc2\xa0", b"\xc2\xad", b"\xe2\x80\x8b", b"\xe2\x80\xa8", b"\xe2\x81\xa0")
_ALL = bytes(range(256))
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_NOT_BASE64 = bytes(set(_ALL) - set(_BASE64))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_NOT_HEX = bytes(set(_ALL) - set(b"0123456789abcdefABCDEF"))
_LOWER = bytes.maketrans(b"ABCDEF", b"abcdef")

_QUOTE = re.compile(rb"\n>+ ?")

View = Callable[[bytes], bytes]


class Needle(NamedTuple):
    """A byte string to look for in a view, and whose it is."""

    data: bytes
    owner: str


class Match(NamedTuple):
    """Whose secret was found, and in which line it begins (counted from 1)."""

    owner: str
    line: int


class Searcher:
    """Looks for a set of secrets.

    Args:
        secrets: (owner, value) pairs; text, or bytes for keys that are no text. Those shorter
            than `MIN_SECRET_LENGTH` are left out.
    """

    def __init__(self, secrets: list[tuple[str, str | bytes]]) -> None:
        plain: dict[bytes, str] = {}
        close: dict[bytes, str] = {}
        tight: dict[bytes, str] = {}
        loose: dict[bytes, str] = {}
        coded: dict[bytes, str] = {}
        hexed: dict[bytes, str] = {}
        for owner, value in secrets:
            if len(value) < MIN_SECRET_LENGTH:
                continue
            for raw in _turned(value):
                if len(_tightly(raw)) >= MIN_SECRET_LENGTH:
                    tight.setdefault(_tightly(raw), owner)
                elif len(_closely(raw)) >= MIN_SECRET_LENGTH:
                    close.setdefault(_closely(raw), owner)
                else:
                    plain.setdefault(raw.replace(b"\0", b""), owner)
                if _has_space(value) and len(_loosely(raw)) >= MIN_SECRET_LENGTH:
                    loose.setdefault(_loosely(raw), owner)
            for raw in _spellings(value):
                hexed.setdefault(raw.hex().encode(), owner)
            for raw in _encoded(value):
                coded.update({core: owner for core in _base64_cores(raw) if core not in coded})
        steps: tuple[tuple[View, dict[bytes, str], frozenset[View]], ...] = (
            (_as_it_is, plain, _EVERY_WAY),
            (_closely, close, _EVERY_WAY),
            (_unquoted, close, _EVERY_WAY),
            (_tightly, tight, _EVERY_WAY),
            (_loosely, loose, _EVERY_WAY),
            (_base64_only, coded, _CHAINS),
            (_hex_only, hexed, frozenset({_as_it_is})),
        )
        self._steps = [
            (view, [Needle(*item) for item in needles.items()], ways)
            for view, needles, ways in steps
            if needles
        ]

    def find(self, data: bytes) -> Match | None:
        """The first secret found; None where there is none."""
        if not self._steps:
            return None
        data = data.replace(b"\0", b"")
        for decode, text in _decoded(data):
            for view, needles, ways in self._steps:
                if decode in ways:
                    seen = view(text)
                    for needle in needles:
                        if needle.data in seen:
                            return Match(needle.owner, _line(data, needle.data, decode, view))
        return None


def _line(data: bytes, needle: bytes, decode: View, view: View) -> int:
    """The line in which a needle begins: the last one that it can still be found from."""
    lines = data.split(b"\n")

    def found_in(start: int, end: int) -> bool:
        return needle in view(decode(b"\n".join(lines[start:end])))

    low, end = 1, len(lines)
    while low < end:  # the first end that is far enough
        middle = (low + end) // 2
        if found_in(0, middle):
            end = middle
        else:
            low = middle + 1
    start, high = 0, end - 1
    while start < high:  # the last beginning that is early enough
        middle = (start + high + 1) // 2
        if found_in(middle, end):
            start = middle
        else:
            high = middle - 1
    return start + 1


# The spellings of a secret ---------------------------------------------------------------


def _spellings(value: str | bytes) -> dict[bytes, None]:
    """The bytes that a secret may be in a file, before any encoding."""
    if isinstance(value, bytes):
        return {value: None}
    found: dict[bytes, None] = {}
    for text in (value, unicodedata.normalize("NFC", value), unicodedata.normalize("NFD", value)):
        for codec in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
            with suppress(UnicodeEncodeError):
                errors = "surrogateescape" if codec == "utf-8" else "strict"
                found[text.encode(codec, errors)] = None
    return found


def _encoded(value: str | bytes) -> list[bytes]:
    """The spellings that programs put into base64."""
    if isinstance(value, bytes):
        return [value]
    return [value.encode("utf-8", "surrogateescape"), value.encode("utf-16-le", "surrogatepass")]


def _turned(value: str | bytes) -> dict[bytes, None]:
    """The spellings, also back to front, by character and by byte."""
    forward = _spellings(value)
    backward = _spellings(value[::-1])
    return {**forward, **backward, **dict.fromkeys(raw[::-1] for raw in forward)}


def _has_space(value: str | bytes) -> bool:
    return isinstance(value, str) and any(c.isspace() for c in value)


def _base64_cores(raw: bytes) -> Iterator[bytes]:
    # Base64 of a longer text looks different for each of three alignments; the first and last
    # characters also depend on the neighbours, so they are left out.
    for offset, start in enumerate((0, 2, 3)):
        coded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        core = coded[start : len(coded) - (1 if (len(raw) + offset) % 3 else 0)]
        if len(core) >= MIN_SECRET_LENGTH:
            yield core


# Views -----------------------------------------------------------------------------------


def _as_it_is(data: bytes) -> bytes:
    return data


def _unquoted(data: bytes) -> bytes:
    # For short secrets that hold a `>` themselves.
    return _closely(_QUOTE.sub(b"", data) if b"\n>" in data else data)


def _closely(data: bytes) -> bytes:
    if b"\xc2" in data or b"\xe2" in data:
        for space in _WIDE_SPACES:
            data = data.replace(space, b"")
    return data.translate(None, _SPACE)


def _tightly(data: bytes) -> bytes:
    # `>` begins the lines of a quoted mail.
    return _closely(data).translate(None, b">")


def _loosely(data: bytes) -> bytes:
    # `+` is a space in a form, `_` one in an encoded header.
    return _tightly(data).translate(None, b"+_")


def _base64_only(data: bytes) -> bytes:
    return data.translate(_STANDARD, _NOT_BASE64)


def _hex_only(data: bytes) -> bytes:
    # Also 70:61, 0x70 0x61, \x70\x61, %70%61.
    return data.replace(b"0x", b"").replace(b"0X", b"").translate(_LOWER, _NOT_HEX)


# Decoders --------------------------------------------------------------------------------

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_SOFT_BREAK = re.compile(rb"=[ \t]*\r?\n")
_QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})")
_ESCAPE = re.compile(
    rb"\\(?:((?:u[0-9A-Fa-f]{4})(?:\\u[0-9A-Fa-f]{4})*)|u\{([0-9A-Fa-f]{1,6})\}"
    rb"|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|([^ux]))"
)
_ENTITY = re.compile(rb"&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,30}));?")
_BYTE = {b"%02x" % n: bytes([n]) for n in range(256)}


def _decoded(data: bytes) -> Iterator[tuple[View, bytes]]:
    """The file as it is, and decoded in each way that it gives a reason for."""
    yield _as_it_is, data
    seen = {data}
    for decode in _DECODERS:
        text = decode(data)
        if text not in seen:
            seen.add(text)
            yield decode, text


def _from_percent(data: bytes) -> bytes:
    if b"%" not in data:
        return data
    return _PERCENT.sub(lambda m: _BYTE[m[1].lower()], data)


def _from_quoted(data: bytes) -> bytes:
    if b"=" not in data:
        return data
    return _QUOTED.sub(lambda m: _BYTE[m[1].lower()], _SOFT_BREAK.sub(b"", data))


def _from_escapes(data: bytes) -> bytes:
    return _ESCAPE.sub(_escape, data) if b"\\" in data else data


def _from_entities(data: bytes) -> bytes:
    return _ENTITY.sub(_entity, data) if b"&" in data else data


def _chain(data: bytes) -> bytes:
    # A link in HTML in JSON; twice, because links are often escaped twice.
    return _from_percent(_from_percent(_from_entities(_from_escapes(data))))


def _mail_chain(data: bytes) -> bytes:
    return _chain(_from_quoted(data))


# The chains come first: of two that decode alike the first is searched, and they in more ways.
_DECODERS: tuple[View, ...] = (
    _chain, _mail_chain, _from_percent, _from_quoted, _from_escapes, _from_entities,
)  # fmt: skip
_EVERY_WAY = frozenset({_as_it_is, *_DECODERS})
_CHAINS = frozenset({_as_it_is, _chain, _mail_chain})


def _escape(match: re.Match[bytes]) -> bytes:
    units, braced, long, byte, other = match.groups()
    if units:
        text = bytes.fromhex(re.sub(rb"[\\u]", b"", units).decode()).decode(
            "utf-16-be", "surrogatepass"
        )
        return text.encode("utf-8", "surrogatepass")
    if byte:
        return _character(int(byte, 16))
    if number := braced or long:
        return _character(int(number, 16))
    plain: bytes = other
    return b" " if plain in b"nrtbf0" else plain


def _entity(match: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, name = match.groups()
    if name:
        text = html5.get(name.decode() + ";")
        return text.encode() if text else match[0]
    return _character(int(decimal) if decimal else int(hexadecimal, 16))


def _character(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else b""

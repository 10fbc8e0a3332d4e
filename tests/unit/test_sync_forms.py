"""Own secrets in every encoding, anywhere in a note: found always, and nothing else ever."""

from __future__ import annotations

import base64
import html
import json
import quopri
import random
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from clean_notes import clean_note, clean_notes
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.sync.forms import Searcher
from nightdesk.sync.secrets import Guard, Secret

RANDOM = random.Random(20261124)
LETTERS = string.ascii_letters + string.digits


def made(length: int, letters: str = LETTERS) -> str:
    return "".join(RANDOM.choice(letters) for _ in range(length))


SECRETS: list[str] = [
    *(made(n) for n in (6, 7, 8, 12, 20, 32, 40, 64)),
    *(made(n, string.ascii_lowercase) for n in (10, 16)),
    *(made(n, string.printable.strip()) for n in (6, 8, 13, 24, 48)),
    f"{made(5)}+{made(3)}/{made(4)}==",
    f"{made(3)}&{made(3)}%{made(2)}={made(2)}+",
    "pä$$wört/+&x" + made(3),
    f"{made(4)} {made(5)} {made(6)}",
    f"ключ {made(4)} от сейфа",
    f"パスワード{made(3)}",
    f"quote\"{made(3)}\\{made(2)}'",
    f"😀{made(6)}",
    f"a_b+{made(2)}_c <{made(2)}>",
    f"%41{made(4)}%",
    made(8).upper(),
]
KEY = RANDOM.randbytes(32)


def partly(text: str) -> str:
    return "".join(
        "".join(f"%{b:02X}" if RANDOM.random() < 0.5 else f"%{b:02x}" for b in c.encode())
        if c in "%+ &=" or RANDOM.random() < 0.5
        else c
        for c in text
    )


def soft(text: str) -> str:
    """Quoted-printable with soft breaks where they may stand, in either case."""
    out = ""
    for byte in text.encode():
        plain = chr(byte) if 33 <= byte < 127 and byte != 61 and RANDOM.random() < 0.7 else ""
        out += plain or (f"={byte:02X}" if RANDOM.random() < 0.5 else f"={byte:02x}")
        out += RANDOM.choice(["", "", "", "=\n", "=\r\n", "= \r\n"])
    return out


def wrapped(data: bytes, width: int = 76, end: bytes = b"\r\n") -> bytes:
    return end.join(data[i : i + width] for i in range(0, len(data), width))


def split(text: str) -> str:
    return "".join(c + RANDOM.choice(["", "", " ", "\n", "\r\n", "\t", "\n> "]) for c in text)


def around(raw: bytes, before: int) -> bytes:
    return RANDOM.randbytes(before) + raw + RANDOM.randbytes(RANDOM.randint(0, 90))


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    **{f"base64+{n}": lambda t, n=n: base64.b64encode(around(t.encode(), n)) for n in (0, 1, 2)},
    **{
        f"base64url+{n}": lambda t, n=n: base64.urlsafe_b64encode(around(t.encode(), n))
        for n in (0, 1, 2)
    },
    "base64 in lines": lambda t: wrapped(
        base64.b64encode(around(t.encode(), RANDOM.randint(40, 80)))
    ),
    "base64 in lines, LF": lambda t: wrapped(
        base64.b64encode(around(t.encode(), RANDOM.randint(40, 80))), end=b"\n"
    ),
    "base64 in a quoted mail": lambda t: wrapped(
        base64.b64encode(around(t.encode(), 50)), end=b"\n> "
    ),
    "base64 in JSON": lambda t: json.dumps(base64.b64encode(t.encode()).decode())
    .replace("/", "\\/")
    .encode(),
    "base64 in a link": lambda t: quote(base64.b64encode(t.encode()), safe="").encode(),
    "base64 of UTF-16": lambda t: base64.b64encode(t.encode("utf-16-le")),
    "hex": lambda t: t.encode().hex().encode(),
    "HEX": lambda t: t.encode().hex().upper().encode(),
    "hEx": lambda t: "".join(RANDOM.choice([c, c.upper()]) for c in t.encode().hex()).encode(),
    "hex:": lambda t: t.encode().hex(":").encode(),
    "hex ": lambda t: t.encode().hex(" ").encode(),
    "0x": lambda t: ", ".join(f"0x{b:02x}" for b in t.encode()).encode(),
    "\\x": lambda t: "".join(f"\\x{b:02x}" for b in t.encode()).encode(),
    "URL": lambda t: quote(t, safe="").encode(),
    "URL, all": lambda t: "".join(f"%{b:02x}" for b in t.encode()).encode(),
    "form": lambda t: quote_plus(t).encode(),
    "URL, in part": lambda t: partly(t).encode(),
    "URL, twice": lambda t: quote(quote(t, safe=""), safe="").encode(),
    "quoted-printable": lambda t: quopri.encodestring(around(t.encode(), 0), quotetabs=True),
    "quoted-printable, broken": lambda t: soft(t).encode(),
    "encoded header": lambda t: quopri.encodestring(t.encode(), header=True),
    "JSON": lambda t: json.dumps(t).encode(),
    "JSON, all": lambda t: "".join(
        f"\\u{u:04x}" for u in memoryview(t.encode("utf-16-le")).cast("H")
    ).encode(),
    "JSON, UTF-8": lambda t: json.dumps(t, ensure_ascii=False).replace("/", "\\/").encode(),
    "JSON in JSON, in HTML": lambda t: html.escape(json.dumps(t)).encode(),
    "HTML": lambda t: html.escape(t).encode(),
    "HTML, decimal": lambda t: "".join(f"&#{ord(c)};" for c in t).encode(),
    "HTML, hex": lambda t: "".join(f"&#x{ord(c):X};" for c in t).encode(),
    "HTML in a link": lambda t: html.escape(f"?a=1&b={quote(t, safe='')}").encode(),
    "UTF-16 LE": lambda t: t.encode("utf-16-le"),
    "UTF-16 BE": lambda t: t.encode("utf-16-be"),
    "reversed": lambda t: t[::-1].encode(),
    "split": lambda t: split(t).encode(),
    "a letter a line": lambda t: "\n".join(t).encode(),
    "wide spaces": lambda t: "\u00a0".join(t).encode(),
    "zero width": lambda t: "\u200b".join(t).encode(),
}  # fmt: skip


def in_note(coded: bytes) -> tuple[bytes, int]:
    """A note with this somewhere in it, and the line where it begins."""
    note = clean_note(RANDOM).encode()
    lines = note.split(b"\n")
    at = RANDOM.randint(0, len(lines))
    before = RANDOM.choice([b"", b"token: ", b'{"a": "', b"the word is ", b"(", b"| "])
    lines.insert(at, before + coded + RANDOM.choice([b"", b".", b'"', b" |", b"\r"]))
    return b"\n".join(lines), at + 1


@pytest.mark.requirement("FR-007")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_secret_is_found_in_every_encoding(encoding: str) -> None:
    """At three random places each; the guard knows all of them at once."""
    guard = Guard([Secret(f"secret {i}", text) for i, text in enumerate(SECRETS)])
    for index, text in enumerate(SECRETS):
        for _ in range(3):
            coded = ENCODINGS[encoding](text)
            if encoding in {"UTF-16 LE", "UTF-16 BE"}:
                codec = encoding.lower().replace(" ", "-").replace("utf-16-", "utf-16-")
                data, line = clean_note(RANDOM).encode(codec) + coded, 0
            else:
                data, line = in_note(coded)
            hit = guard.check("Notes/x.md", data)
            assert hit is not None, (encoding, text)
            assert f"secret {index};" in hit.reason, (encoding, text, hit)
            assert text not in hit.reason
            if len(text) > 7 and line and b"\n" not in coded:
                assert hit.line == line, (encoding, text)


@pytest.mark.requirement("FR-007")
def test_keys_that_are_bytes_are_found_too() -> None:
    """A private key as it is, in hex, and in base64 inside a key file of any alignment."""
    searcher = Searcher([("key", KEY)])
    for before in range(3):
        coded = wrapped(base64.b64encode(RANDOM.randbytes(90 + before) + KEY), 70, b"\n")
        assert searcher.find(b"# x\n" + coded)
    assert searcher.find(b"x" + KEY + b"y")
    assert searcher.find(KEY.hex(":").upper().encode())
    assert searcher.find(base64.b64encode(RANDOM.randbytes(500))) is None


@pytest.mark.requirement("FR-007")
def test_clean_notes_are_never_held_back() -> None:
    """10,000 of them, against all the secrets at once."""
    searcher = Searcher([("x", text) for text in SECRETS] + [("key", KEY)])
    assert [note for note in clean_notes(10_000) if searcher.find(note)] == []


@given(st.binary(max_size=400))
def test_any_bytes_can_be_searched(data: bytes) -> None:
    """Broken escapes and half entities raise nothing."""
    searcher = Searcher([("x", "correct horse"), ("y", "pä$$wört")])
    for noise in (data, data.replace(b"a", b"\\u"), data.replace(b"b", b"&#"), b"%" + data):
        assert searcher.find(noise) is None
        assert searcher.find(b"%41&amp;\\u00" + noise + b"\ncorrect horse")


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from(["\n", "\r\n"]))
def test_the_line_is_where_the_secret_begins(before: int, after: int, end: str) -> None:
    """Also when it is broken over two lines, or stands there twice."""
    note = "".join(f"line {n}{end}" for n in range(before))
    note += f"x hunter2{end}hunter3 y{end}" + "".join(f"more{end}" for _ in range(after))
    found = Searcher([("x", "hunter2hunter3")]).find((note + note).encode())
    assert found == ("x", before + 1)


def test_without_secrets_nothing_is_searched() -> None:
    """Short ones would match by accident, so they are not looked for."""
    assert Searcher([("x", "abc"), ("y", "")]).find(b"abc") is None

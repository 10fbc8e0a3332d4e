"""Notes as people have them, with everything that looks a little like a secret and is none."""

from __future__ import annotations

import base64
import functools
import random
import string
import uuid

words = [
    "the",
    "a",
    "we",
    "you",
    "report",
    "invoice",
    "meeting",
    "tomorrow",
    "please",
    "send",
    "thanks",
    "order",
    "draft",
    "budget",
    "key",
    "token",
    "secret",
    "password",
    "account",
    "skill",
    "task",
    "risk",
    "desk",
    "ask",
    "review",
    "Tuesday",
    "March",
    "release",
    "train",
    "café",
    "Köln",
    "naïve",
    "plan",
    "call",
    "customer",
    "offer",
    "number",
    "hotel",
    "ticket",
    "friend",
    "holiday",
    "summary",
    "agenda",
    "decision",
]
_HEX = "0123456789abcdef"
_WORD = string.ascii_letters + string.digits


def _some(rng: random.Random, letters: str, length: int) -> str:
    return "".join(rng.choices(letters, k=length))


def _text(rng: random.Random) -> str:
    return " ".join(rng.choices(words, k=rng.randint(4, 14))).capitalize() + "."


def _image(rng: random.Random) -> str:
    kind, head = rng.choice(
        [("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), ("jpeg", b"\xff\xd8\xff\xe0")]
    )
    return f"![](data:image/{kind};base64,{base64.b64encode(head + rng.randbytes(400)).decode()})"


def _digest(rng: random.Random) -> str:
    return (
        f"sha256: {_some(rng, _HEX, 64)}, commit {_some(rng, _HEX, 40)}, md5 {_some(rng, _HEX, 32)}"
    )


def _uuid(rng: random.Random) -> str:
    return f"id {uuid.UUID(int=rng.getrandbits(128))} / {uuid.UUID(int=rng.getrandbits(128)).hex}"


def _message_id(rng: random.Random) -> str:
    left = rng.choice([_some(rng, _WORD + "-_+=", 40), f"CAF{_some(rng, _WORD + '-_', 45)}"])
    return f"Message-ID: <{left}@mail.example.com>"


def _link(rng: random.Random) -> str:
    long = _some(rng, _WORD + "-_", rng.randint(20, 120))
    return rng.choice(
        [
            f"https://www.example.com/{rng.choice(words)}/{long}?utm_source=x&id={long}",
            f"https://docs.google.com/document/d/1{_some(rng, _WORD + '-_', 43)}/edit#gid=0",
            f"https://example.org:8443/a/b@{rng.choice(words)}?u={_some(rng, _HEX, 40)}%3D%3D",
            f"[{rng.choice(words)}](https://lists.example.net/u/{long}.{long})",
            f"https://maps.example.com/@50.93,6.95,15z/data=!4m2!{long}",
        ]
    )


def _prose_about_secrets(rng: random.Random) -> str:
    return rng.choice(
        [
            "My password: is at home. A GitHub token begins with ghp_, an AWS key with AKIA.",
            "The file begins with -----BEGIN PRIVATE KEY----- and ends as usual.",
            "Use https://user:<password>@example.com or https://$USER:$PASS@example.com here.",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + _some(rng, _WORD, 43) + " me@laptop",
            "sk-learn, risk-based-approach-for-the-desk-task-list, /sk-SK/produkty, xoxo-love-you",
            "Call 0221 123456:AA or +49 30 " + _some(rng, string.digits, 8),
            "IBAN DE" + _some(rng, string.digits, 20) + ", card 4111 1111 1111 1111",
            "eyJ is how JSON begins in base64; npm_config_registry, SG.1, hf_hub, pypi-server",
            "AccountKey=… , WABrowserId is a key of the browser; AC" + _some(rng, _HEX, 10),
            "http://localhost:8080/@me and mailto:ada@example.com; see C://x:y",
        ]
    )


def _code(rng: random.Random) -> str:
    name = _some(rng, string.ascii_lowercase, 9)
    return f"`{name} = env['{name.upper()}_TOKEN']`; \\n \\u00e4 &amp; &#38; %20 =20 x=\\'y\\'"


_KINDS = (_text, _text, _text, _text, _image, _digest, _uuid, _message_id, _link, _code,
          _prose_about_secrets)  # fmt: skip


def clean_note(rng: random.Random) -> str:
    """One note of 2 to 10 lines."""
    head = f"---\nid: {_some(rng, _HEX, 6)}\nsubject: {rng.choice(words)}\n---\n# {_text(rng)}\n"
    return head + "\n".join(rng.choice(_KINDS)(rng) for _ in range(rng.randint(2, 10))) + "\n"


@functools.cache
def clean_notes(number: int) -> list[bytes]:
    """So many of them, always the same."""
    rng = random.Random(number)
    return [clean_note(rng).encode() for _ in range(number)]

"""Known token formats: what a key, token or password of a provider looks like.

A table, read by the guard (a note that would leave) and by the mail watcher (a mail's text).
Each row needs one fixed piece of text to be there before its pattern runs, so a clean note costs
a few substring searches. A line such as `password: x` is in no row: it has no format, and a rule
for it would hit ordinary notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple


class Found(NamedTuple):
    """A match: what it looks like ("GitHub token"), and where it begins and ends."""

    kind: str
    start: int
    end: int


class _Row(NamedTuple):
    kind: str
    pieces: tuple[str, ...]
    """One of these must be in the text, spelled so."""
    pattern: re.Pattern[str]
    """The group `it`, or else the whole match, is what must not be seen."""
    alone: bool
    """Whether it must not begin in the middle of a word, such as an image in base64."""


def _row(kind: str, pieces: str, pattern: str, *, alone: bool = True) -> _Row:
    source = rf"{pattern}(?![A-Za-z0-9])" if alone else pattern
    return _Row(kind, tuple(pieces.split()), re.compile(source, re.ASCII), alone)


_WORD_BEFORE = re.compile(r"[A-Za-z0-9]\Z")
_NO_WORD = re.compile(r"(?:%[0-9A-Fa-f]{2}|\\[nrt]|/bot)\Z")
"""The end of an escape (%3D, \n) is no part of the word; Telegram's links join the two."""

_NOT_DASHES = r"(?:[^-]|-(?!----))"
_END = r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
_BASE64_LINES = r"(?:[A-Za-z0-9+/=]{16,76}(?:\\r|\\n|[\s>])*){2,}"
_FORTY = r"(?<![A-Za-z0-9+/])(?P<it>[A-Za-z0-9+/]{40})(?![A-Za-z0-9+/=])"

TABLE: tuple[_Row, ...] = (
    _row("Google access token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    _row("Google refresh token", "1//0", r"1//0[A-Za-z0-9_-]{30,}"),
    _row("Google client secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,40}"),
    _row("Google API key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _row("AWS access key", "AKIA ASIA", r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
    _row(
        "AWS secret key",
        "AKIA ASIA",
        rf"(?:AKIA|ASIA)[0-9A-Z]{{16}}(?![0-9A-Za-z])(?s:.{{0,120}}?){_FORTY}",
        alone=False,
    ),
    _row(
        "AWS secret key",
        "ecret SECRET",
        r"(?i:aws[a-z_. -]{0,16}secret[a-z_. -]{0,24})[\"']?\s{0,4}[:=]\s{0,4}[\"']?" + _FORTY,
        alone=False,
    ),
    _row("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _row("GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _row(
        "GitLab token",
        "glpat- gldt- glrt- glptt- glcbt- glsoat- glft- glimt- glagent-",
        r"gl(?:pat|dt|rt|ptt|cbt|soat|ft|imt|agent)-[A-Za-z0-9_-]{20,}(?:\.[a-z0-9]{2,}){0,2}",
    ),
    _row(
        "Slack token",
        "xox",
        r"xox[abceoprs](?:\.xox[bp])?-(?=[A-Za-z-]{0,60}\d)[A-Za-z0-9-]{15,255}",
    ),
    _row("Slack token", "xapp-", r"xapp-\d-[A-Z0-9]{8,}-\d{8,}-[a-f0-9]{32,}"),
    _row(
        "Slack webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9]{8,}/[A-Za-z0-9/]{20,}",
        alone=False,
    ),
    _row("Stripe key", "_live_", r"[srp]k_live_[A-Za-z0-9]{16,}"),
    _row("Stripe webhook secret", "whsec_", r"whsec_[A-Za-z0-9+/]{32,}=*"),
    _row("Anthropic key", "sk-ant-", r"sk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{32,}"),
    _row(
        "OpenAI key",
        "sk-proj- sk-svcacct- sk-admin- sk-None- T3BlbkFJ",
        r"sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{32,}|[A-Za-z0-9]{16,}T3BlbkFJ[A-Za-z0-9]{16,})",
    ),
    _row("API key", "sk-", r"sk-(?:or-v1-)?(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}"),
    _row("npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _row("PyPI token", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    _row("Hugging Face token", "hf_", r"hf_[A-Za-z]{34}"),
    _row("DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _row("Shopify token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _row("Telegram bot token", ":AA", r"\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    _row("SendGrid key", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _row("Twilio key", "SK", r"SK[a-f0-9]{32}"),
    _row(
        "Twilio auth token",
        "AC",
        r"AC[a-f0-9]{32}(?![A-Za-z0-9])[^A-Za-z0-9](?s:.{0,80}?)"
        r"(?<![A-Za-z0-9])(?P<it>[a-f0-9]{32})",
    ),
    _row(
        "private key",
        "PRIVATE",
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        rf"(?={_NOT_DASHES}{{0,600}}?[A-Za-z0-9+/=]{{32}})"
        rf"(?:{_NOT_DASHES}{{0,20000}}{_END}|(?:\\r|\\n|[\s>])*{_BASE64_LINES})",
        alone=False,
    ),
    _row(
        "private key",
        "Private-Lines:",
        rf"Private-Lines: \d+\s+{_BASE64_LINES}(?:Private-MAC: [a-f0-9]+)?",
        alone=False,
    ),
    _row("age secret key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _row(
        "JSON Web Token",
        "eyJ",
        r"eyJ[A-Za-z0-9_-]{10,1000}\.(?:eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"
        r"|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,})",
    ),
    _row(
        "WhatsApp session",
        "WABrowserId WASecretBundle WAToken",
        r"WA(?:BrowserId|Token[12])[^A-Za-z0-9+/\n]{1,12}[A-Za-z0-9+/_-]{16,}=*"
        r"|WASecretBundle[^A-Za-z0-9\n{]{1,12}\{[^}\n]{20,4000}\}?",
        alone=False,
    ),
    _row(
        "Azure key",
        "AccountKey= SharedAccessKey=",
        r"(?:AccountKey|SharedAccessKey)=(?P<it>[A-Za-z0-9+/]{42,86}={0,2})",
        alone=False,
    ),
    _row(
        "password in a link",
        "://",
        r"://[^\s/:@?#\"'<>]{0,64}:"
        r"(?P<it>(?![<{$*\[(]|x+@|X+@|\.+@)[^\s/@?#\"'<>]{3,128})@[A-Za-z0-9\[]",
        alone=False,
    ),
)
"""Sources: each provider's own documentation of its tokens' form."""


def find(text: str) -> list[Found]:
    """Find what looks like a token, from the front, without overlaps.

    Args:
        text: for bytes, decode them as Latin-1: the positions are then those of the bytes.
    """
    hits = sorted(_all(text), key=lambda hit: (hit.start, -hit.end))
    kept: list[Found] = []
    for hit in hits:
        if not kept or hit.start >= kept[-1].end:
            kept.append(hit)
    return kept


def _all(text: str) -> Iterator[Found]:
    for kind, pieces, pattern, alone in TABLE:
        if any(piece in text for piece in pieces):
            group = "it" if "it" in pattern.groupindex else 0
            for match in pattern.finditer(text):
                # Looked at here: a condition in front of the pattern would slow it down.
                before = text[max(0, match.start() - 4) : match.start()]
                if alone and _WORD_BEFORE.search(before) and not _NO_WORD.search(before):
                    continue
                yield Found(kind, match.start(group), match.end(group))


class Redacted(NamedTuple):
    """A text without its tokens, and how many of which kind there were."""

    text: str
    counts: Counter[str]


def redact(text: str) -> Redacted:
    """Replace each token by "[redacted: GitHub token]"."""
    counts: Counter[str] = Counter()
    parts: list[str] = []
    end = 0
    for hit in find(text):
        counts[hit.kind] += 1
        parts += [text[end : hit.start], f"[redacted: {hit.kind}]"]
        end = hit.end
    return Redacted("".join([*parts, text[end:]]), counts)

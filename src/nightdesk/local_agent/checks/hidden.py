"""What is sent but not seen: invisible characters, and text that Obsidian hides or replaces."""

from __future__ import annotations

import re

from nightdesk.local_agent.checks.case import JOINERS, Case, Risk, is_hidden
from nightdesk.vault import tokens

HIDDEN = "hidden"
"""What is typed by somebody who means to send what cannot be seen."""

_HARMLESS = frozenset("\u00ad\u200b\u2060\ufeff")
_MANY = 8
"""So many of the harmless ones may carry a message of their own."""

_HIDES = {
    "a comment (`%%`)": re.compile("%%"),
    "an HTML comment (`<!--`)": re.compile("<!--"),
    "an HTML tag that can hide": re.compile(
        r"<[A-Za-z][^<>\n]{0,500}?\s(?:style|hidden|class|src|href)\b|"
        r"<(?:script|style|iframe|template|object|embed|svg|details|img)\b",
        re.IGNORECASE,
    ),
}
_REPLACES = {
    "an HTML tag": re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?=[\s/>])[^<>\n]*>"),
    "an embed": re.compile(r"!\[\[|!\[[^\]\n]*\]\("),
    "a folded callout": re.compile(r"^\s*>\s*\[![\w-]+\]-", re.MULTILINE),
}
_UNREADABLE = re.compile(r"[A-Za-z0-9+/=_-]{80}")
_LINK = re.compile(r"\bhttps?://\S+", re.IGNORECASE)  # shown whole by a check of its own


def hidden_characters(case: Case) -> list[Risk]:
    """Characters that are sent and cannot be seen, or that turn the order of the others."""
    risks = []
    for place, text in (("the draft", case.card.action.body), ("the subject", case.subject)):
        hidden = [] if text.isascii() else _hidden_in(text)
        if not hidden:
            continue
        codes = ", ".join(sorted({f"U+{ord(c):04X}" for c in hidden})[:5])
        one = "character" if len(hidden) == 1 else "characters"
        grave = len(hidden) >= _MANY or not _HARMLESS.issuperset(hidden)
        line = f"Hidden text: {len(hidden)} invisible {one} in {place} ({codes})."
        risks.append(Risk(line, "hidden text", HIDDEN if grave else ""))
    return risks


def _hidden_in(text: str) -> list[str]:
    # A joiner joins letters of other scripts or parts of an emoji; elsewhere it only hides.
    pairs = zip(f"\n{text}", text, strict=False)
    return [c for before, c in pairs if is_hidden(c) or (c in JOINERS and _joins_nothing(before))]


def _joins_nothing(before: str) -> bool:
    return before.isascii() or before in JOINERS or is_hidden(before)


def not_shown(case: Case) -> list[Risk]:
    """Text that is sent as it stands, but that the reading view hides or replaces."""
    body = case.card.action.body
    hides = [kind for kind, pattern in _HIDES.items() if pattern.search(body)]
    replaces = [kind for kind, pattern in _REPLACES.items() if pattern.search(body)]
    if not (hides or replaces):
        return []
    line = (
        f"Not all is shown: the draft holds {', '.join([*hides, *replaces])}, which the reading "
        "view hides or replaces but the mail will carry. Read it in the editor's source mode."
    )
    return [Risk(line, "text that is not shown", HIDDEN if hides else "")]


def unreadable(case: Case) -> list[Risk]:
    """A long run of letters that no person can read, and that may carry anything."""
    if not _UNREADABLE.search(_LINK.sub(" ", case.said)):
        return []
    line = "Unreadable: the draft holds a long run of letters and digits. What does it carry?"
    return [Risk(line, "unreadable text")]


def secret(case: Case) -> list[Risk]:
    """A key, a token or a private key of some provider, which no answer should hold."""
    kinds = sorted({found.kind for found in tokens.find(case.said)})
    if not kinds:
        return []
    line = f"Secret: the draft holds what looks like a {', '.join(kinds)}."
    return [Risk(line, "a secret in the draft", "secret", "Take it out of the draft")]

"""The built-in drafter: an honest skeleton without any model, the same for the same material.

It invents nothing: what only the user knows is a gap `[…]`, and `why` says that no model was used.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from nightdesk.errors import ConfigError
from nightdesk.skills.language import Language, language_of
from nightdesk.skills.outputs import (
    GAP,
    EmailDraft,
    PlannedEmail,
    RequestPlan,
    named_addresses,
)

T = TypeVar("T", bound=BaseModel)

MAX_QUESTIONS = 10
_MAX_QUOTE = 300
_MAX_STEPS = 20

_GREETING: dict[Language, str] = {"en": "Hi", "de": "Hallo"}
_GREETING_NOBODY: dict[Language, str] = {"en": "Hello", "de": "Guten Tag"}
_THANKS: dict[Language, str] = {
    "en": "Thank you for your e-mail{subject}.",
    "de": "vielen Dank für die E-Mail{subject}.",
}
_QUOTED: dict[Language, str] = {"en": " “{}”", "de": " „{}“"}
_SIGN_OFF: dict[Language, str] = {"en": "Best regards,", "de": "Viele Grüße"}

_TITLES = frozenset({"dr", "prof", "mr", "mrs", "ms", "mx", "herr", "frau", "sir", "dipl", "ing"})
_NO_PERSON = re.compile(
    r"\b(gmbh|ag|kg|inc|ltd|llc|corp|team|support|service|info|sales|billing|news\w*|no-?reply|"
    r"office|buchhaltung|accounts?|notifications?)\b|@",
    re.IGNORECASE,
)
_NAME_LINE = re.compile(
    r"[ \t>*+-]*(?:my |mein )?name(?:[ \t*]*:[ \t*]*| is | ist )(?P<name>[^\s:*].{0,80})",
    re.IGNORECASE,
)
_GIVEN_NAME = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_REPLY_PREFIX = re.compile(r"^(?:(?:re|aw|wg|fwd?|antwort)\s*:\s*)+", re.IGNORECASE)
_LIST_MARK = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_HISTORY = re.compile(
    r"^(?:-- ?|_{5,}|-{5,}.*|on .{5,200} wrote:|am .{5,200} schrieb.{0,200}:|"
    r"(?:from|von): .{1,200}@.*)\s*$",
    re.IGNORECASE,
)
# A full stop after these, after one letter or after a number ends no sentence.
_SENTENCE_END = re.compile(
    r"(?<=[.!?…])(?<!\bdr\.)(?<!\bmr\.)(?<!\bms\.)(?<!\bmrs\.)(?<!\bprof\.)(?<!\bnr\.)(?<!\bno\.)"
    r"(?<!\bca\.)(?<!\bbzw\.)(?<!\bst\.)(?<!\bvs\.)(?<!\betc\.)(?<!\b\w\.)(?<!\d\.)[\"”“’')\]]*\s+",
    re.IGNORECASE,
)


def outline(material: Mapping[str, str], output: type[T]) -> T:
    """Write the skeleton of an `EmailDraft` or a `RequestPlan`.

    Raises:
        ConfigError: nothing is built in for this shape of answer.
    """
    made: BaseModel
    if output is EmailDraft:
        made = outline_email(material)
    elif output is RequestPlan:
        made = outline_plan(material)
    else:
        raise ConfigError(
            f"the built-in outline drafter cannot write a {output.__name__}",
            remedy="Configure a provider in [model]",
        )
    assert isinstance(made, output)
    return made


def outline_email(material: Mapping[str, str]) -> EmailDraft:
    """The skeleton of an answer.

    Args:
        material: `mail` (its visible text), `subject`, `sender_name`, `handbook`, `user_name`,
            `feedback`; each may be missing.
    """
    mail, subject = material.get("mail", ""), tidy(material.get("subject", ""), 150)
    language = language_of(f"{subject}\n{mail}")
    questions = questions_in(mail)
    blocks = [
        _greeting(material.get("sender_name", ""), language),
        _thanks(subject, language),
        *(f"> {question}\n{GAP}" for question in questions or ()),
    ]
    gaps = [f"answer to “{question}”" for question in questions]
    if not questions:
        blocks.append(GAP)
        gaps.append("your answer")
    name = _user_name(material)
    if not name:
        gaps.append("your name, below the sign-off")
    blocks.append(f"{_SIGN_OFF[language]}\n{name or GAP}")
    why = (
        "No language model was used: this is an outline that quotes the questions found in the "
        f"mail and leaves {GAP} where your words belong."
    )
    # The feedback is for the desk, never for the recipient: it stays out of the body.
    feedback = [line for raw in material.get("feedback", "").splitlines() if (line := tidy(raw))]
    if feedback:
        why += " Your feedback still has to be worked in: " + "; ".join(feedback)
        gaps += [f"your feedback: {line}" for line in feedback[:MAX_QUESTIONS]]
    return EmailDraft(body="\n\n".join(blocks), why=why[:2_000], gaps=gaps)


def outline_plan(material: Mapping[str, str]) -> RequestPlan:
    """The skeleton of a plan for a request in plain words (`request`, `handbook`, `user_name`)."""
    request = material.get("request", "")
    lines = [line for raw in request.splitlines() if (line := tidy(raw.lstrip("# \t")))]
    summary = _LIST_MARK.sub("", lines[0]) if lines else "An empty request"
    steps = [_LIST_MARK.sub("", line) for line in lines if _LIST_MARK.match(line)]
    if not steps:
        prose = "\n".join(raw for raw in request.splitlines() if not raw.startswith("#"))
        steps = [tidy(s) for s in _sentences(prose)] or lines[:1]
    language, name = language_of(request), _user_name(material)
    letter = f"{_GREETING_NOBODY[language]},\n\n{GAP}\n\n{_SIGN_OFF[language]}\n{name or GAP}"
    addresses = named_addresses(request)[:10]
    asked = [f"What should the e-mail to {address} say?" for address in addresses]
    return RequestPlan(
        summary=summary,
        steps=steps[:_MAX_STEPS],
        emails=[PlannedEmail(to=to, subject=tidy(summary, 120), body=letter) for to in addresses],
        questions=[*questions_in(request), *asked],
    )


def questions_in(text: str) -> list[str]:
    """The questions that a mail's writer asks, each once; quoted history and signature aside."""
    kept: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if _HISTORY.match(line):
            break
        if not line.lstrip().startswith(">"):
            # A list item is a paragraph of its own.
            kept.append("\n" + _LIST_MARK.sub("", line) if _LIST_MARK.match(line) else line)
    asked = (s for s in _sentences("\n".join(kept)) if s.rstrip("\"”“’')]*_").endswith("?"))
    return list(dict.fromkeys(tidy(question) for question in asked))[:MAX_QUESTIONS]


def _sentences(text: str) -> list[str]:
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n[ \t]*\n", text))
    return [sentence for p in paragraphs for sentence in _SENTENCE_END.split(p) if tidy(sentence)]


def tidy(text: str, limit: int = _MAX_QUOTE) -> str:
    """One line of visible characters, cut at a word with `…` where it is too long."""
    visible = "".join(
        c if unicodedata.category(c)[0] != "C" or c in "\u200c\u200d" else " " for c in text
    )
    line = " ".join(visible.split())
    if len(line) <= limit:
        return line
    return (line[: limit - 1].rpartition(" ")[0] or line[: limit - 1]) + "…"


def _greeting(sender: str, language: Language) -> str:
    first = first_name(sender)
    return f"{_GREETING[language]} {first}," if first else f"{_GREETING_NOBODY[language]},"


def first_name(sender: str) -> str:
    """The first name in a sender's display name; "" where it seems to be no person's name."""
    name = tidy(sender, 100).strip("\"'")
    if not name or _NO_PERSON.search(name):
        return ""
    family, comma, given = name.partition(",")
    words = (given if comma and given.strip() else family).split()
    words = [w for w in words if w.strip(".").casefold() not in _TITLES]
    return words[0] if words and _GIVEN_NAME.fullmatch(words[0]) else ""


def _thanks(subject: str, language: Language) -> str:
    bare = _REPLY_PREFIX.sub("", subject).strip()
    quoted = _QUOTED[language].format(bare) if bare else ""
    return _THANKS[language].format(subject=quoted)


def _user_name(material: Mapping[str, str]) -> str:
    for line in material.get("handbook", "").splitlines():
        if match := _NAME_LINE.fullmatch(line[:200].rstrip()):
            name = tidy(match["name"].strip("* "), 80)
            if name and name[0] not in "[<_(…":  # the template's placeholder
                return name
    return tidy(material.get("user_name", ""), 80)

"""What a model may hand back: small pydantic shapes with limits, and nothing that acts.

Recipients of answers come from the mail's headers; those of planned e-mails must stand
literally in the user's request (`only_named`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nightdesk.vault.actions import check_address
from nightdesk.vault.documents import DRAFT_END, DRAFT_HEADING

GAP = "[…]"
"""Stands where only the user knows what belongs there."""

_ANY_GAP = re.compile(r"\[\s*(?:…|\.\.\.)[^\]\n]{0,200}\]")
_ATOM = r"\w.+&=/%!#$?^|~@-"
# Not inside a longer word: half an address is somebody else's address.
_ADDRESS = re.compile(
    rf"(?<![{_ATOM}])\w[\w.+&=/%'-]{{0,63}}@(?:[^\W_](?:[^\W_]|-)*\.)+[^\W_](?:[^\W_]|-)+(?![\w@-])"
)


def has_gap(text: str) -> bool:
    """Whether a text still holds a gap (`[…]`, also as `[...]` or `[… price]`)."""
    return bool(_ANY_GAP.search(text))


def _plain(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise ValueError("must not be empty")
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in text):
        raise ValueError("must be plain text without control characters")
    return text


def _letter(text: str) -> str:
    text = _plain(text)
    # A card finds its draft by these lines; a draft that holds one would be cut short.
    if {DRAFT_HEADING, DRAFT_END} & {line.strip() for line in text.split("\n")}:
        raise ValueError(f"no line may be {DRAFT_HEADING!r} or {DRAFT_END!r}")
    return text


def _line(text: str) -> str:
    return " ".join(_plain(text).split())


def _maybe_line(text: str) -> str:
    return _line(text) if text.strip() else ""


Letter = Annotated[str, Field(max_length=20_000), AfterValidator(_letter)]
Line = Annotated[str, Field(max_length=500), AfterValidator(_line)]


class _Output(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class EmailDraft(_Output):
    """A draft of an answer to one e-mail: text only, no recipients, no attachments."""

    body: Letter = Field(description="The whole answer as plain text, ready to read.")
    why: str = Field(
        default="",
        max_length=2_000,
        description="For the user: in one or two sentences, why this answer.",
    )
    gaps: list[Line] = Field(
        default_factory=list,
        max_length=30,
        description="For each […] in the body, in order: what the user must fill in.",
    )


class PlannedEmail(_Output):
    """An e-mail that a plan needs; it is sent only if the user approves it."""

    to: str = Field(
        max_length=320,
        description="One e-mail address that stands literally in the request; else empty.",
    )
    subject: Annotated[str, Field(max_length=200), AfterValidator(_maybe_line)] = ""
    body: Letter = Field(description="The whole e-mail as plain text.")


class RequestPlan(_Output):
    """What to do about a request in plain words."""

    summary: Line = Field(description="The request in one sentence.")
    steps: list[Line] = Field(
        default_factory=list, max_length=30, description="What to do, in order."
    )
    emails: list[PlannedEmail] = Field(
        default_factory=list, max_length=10, description="E-mails that the plan needs; often none."
    )
    questions: list[Line] = Field(
        default_factory=list, max_length=30, description="What only the user can answer."
    )


def named_addresses(text: str) -> list[str]:
    """The e-mail addresses that stand literally in a text, each once, in their order."""
    found: dict[str, str] = {}
    for match in _ADDRESS.finditer(text):
        address = match.group()
        try:
            check_address(address)
        except ValueError:
            continue
        found.setdefault(address.casefold(), address)
    return list(found.values())


def allowed_recipients(text: str) -> set[str]:
    """The only addresses that e-mails planned for this request may go to."""
    return set(named_addresses(text))


def only_named(plan: RequestPlan, request: str) -> RequestPlan:
    """Keep the e-mails whose recipient the request names; the others become questions.

    The address is written as the request writes it, so nothing of the model's spelling stays.
    """
    named = {address.casefold(): address for address in named_addresses(request)}
    kept: list[PlannedEmail] = []
    asked: list[str] = []
    for email in plan.emails:
        if address := named.get(email.to.strip().casefold()):
            kept.append(email.model_copy(update={"to": address}))
        else:
            asked.append(_who(email))
    return plan.model_copy(update={"emails": kept, "questions": [*plan.questions, *asked]})


def _who(email: PlannedEmail) -> str:
    about = f"an e-mail “{email.subject}”" if email.subject else "an e-mail"
    wanted = "".join(c for c in email.to if c.isprintable()).strip()
    if wanted:
        return f"The plan wanted {about} to {wanted}, which your request does not name: to whom?"
    return f"The plan needs {about}, but your request names no address: to whom?"

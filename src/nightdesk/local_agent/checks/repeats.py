"""The same thing twice, and what is not finished or does not belong to the task."""

from __future__ import annotations

import re

from nightdesk.local_agent.checks.case import Case, Risk, listed, shown, topic, words
from nightdesk.local_agent.sent import Sent
from nightdesk.vault.actions import EmailSend

GAP = re.compile(r"\[[^\[\]\n]*(?:…|\.{3})[^\[\]\n]*\]")
"""How a drafter marks what the person must fill in: `[…]`, also with words inside."""

_SHORTEST = 40
"""Texts shorter than this ("Thank you!") are sent to the same people again and again."""


def sent_before(case: Case) -> list[Risk]:
    """The same text to the same recipients, or another answer to the same task."""
    others = [sent for sent in case.known.sent if sent.id != case.card.id]
    to = frozenset(address.casefold() for address in case.recipients)
    body = words(case.card.action.body)
    same = [sent for sent in others if to and sent.recipients == to and words(sent.body) == body]
    exact = [sent for sent in same if topic(sent.subject) == topic(case.subject)]
    if exact:
        line = f"Sent before: this text went to the same recipients {_when(exact[-1])}."
        return [Risk(line, "sent before", "again")]
    if same and len(body) >= _SHORTEST:
        line = f"Much like one before: this text went to the same recipients {_when(same[-1])}."
        return [Risk(line, "much like one before")]
    answered = [sent for sent in others if sent.task == case.card.task]
    if answered:
        line = f"Answered before: something went out for this task {_when(answered[-1])}."
        return [Risk(line, "answered before")]
    return []


def gaps(case: Case) -> list[Risk]:
    """Places that the drafter left for the person to fill in."""
    count = count_gaps(case.card.action.body)
    if not count:
        return []
    one = "gap" if count == 1 else "gaps"
    line = f"Not finished: the draft has {count} {one} marked `[…]`. Fill in before approving."
    name = "the draft still has a gap marked `[…]`"
    return [Risk(line, name, "gaps", "Fill it in")]


def count_gaps(text: str) -> int:
    """How many gaps a text still has; lines that quote somebody else do not count."""
    own = (line for line in text.splitlines() if not line.startswith(">"))
    return sum(len(GAP.findall(line)) for line in own)


def foreign_attachment(case: Case) -> list[Risk]:
    """A file that the task does not name."""
    action = case.card.action
    paths = action.attachments if isinstance(action, EmailSend) else []
    text = case.task.body if case.task else ""
    strange = [path for path in paths if path.rpartition("/")[2] not in text]
    if not strange:
        return []
    names = listed(map(shown, strange))
    line = f"Attachment: {names} is not part of this task. Open it before you send it."
    return [Risk(line, "an attachment from elsewhere")]


def _when(sent: Sent) -> str:
    word = "on" if sent.certain else "perhaps, nobody knows, on"
    return f"{word} {sent.at:%Y-%m-%d} ({shown(sent.id)})"

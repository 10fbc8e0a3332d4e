"""All checks of a card, and the risks that they find on it.

A risk never decides. Most are a line to read. The few where a wrong click would hurt ask for a
word: tiers in docs/vault.md, "When a card asks you to type".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nightdesk.local_agent.checks.case import Case, Known, Risk
from nightdesk.local_agent.checks.hidden import hidden_characters, not_shown, secret, unreadable
from nightdesk.local_agent.checks.links import links
from nightdesk.local_agent.checks.lookalike import look_alike
from nightdesk.local_agent.checks.money import amounts, bank_details
from nightdesk.local_agent.checks.recipients import (
    answers_elsewhere,
    new_recipient,
    strange_address,
)
from nightdesk.local_agent.checks.repeats import foreign_attachment, gaps, sent_before
from nightdesk.vault.documents import Card, Task

Check = Callable[[Case], list[Risk]]

CHECKS: tuple[Check, ...] = (
    look_alike,
    new_recipient,
    answers_elsewhere,
    bank_details,
    amounts,
    hidden_characters,
    not_shown,
    secret,
    links,
    strange_address,
    unreadable,
    foreign_attachment,
    sent_before,
    gaps,
)
"""The checks, in the order in which a person should read their lines."""


def risks_of(card: Card, task: Task | None, known: Known) -> tuple[Risk, ...]:
    """Every risk on a card.

    Args:
        card: the card as it stands.
        task: the task it answers, None where its note is not here.
        known: what the laptop knows by itself.
    """
    case = Case(card, task, known)
    return tuple(risk for check in CHECKS for risk in check(case))


def tokens_of(risks: Iterable[Risk]) -> tuple[str, ...]:
    """What must be typed for these risks, each once."""
    return tuple(dict.fromkeys(risk.token for risk in risks if risk.token))

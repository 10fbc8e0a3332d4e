"""What went out, as the journal knows it: the ground for limits, repeats and known addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_laptop import CARD, PENDING, TASK, Laptop, accepted

from nightdesk.local_agent.sent import Outbox


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path)
    yield laptop
    laptop.close()


def _question(laptop: Laptop, folder: str) -> None:
    name = PENDING.replace(".md", "-question.md")
    laptop.move(name, name.replace("Pending_Approval", folder))
    laptop.executor.pass_once()


def test_what_was_never_sent_is_not_there(laptop: Laptop) -> None:
    outbox = Outbox(laptop.journal)
    laptop.desk()
    assert outbox.sent() == ()
    laptop.answer = lambda arguments: {"outcome": "not_sent", "detail": "no such host"}
    laptop.approve()
    assert outbox.sent() == Outbox(laptop.journal).sent() == ()


def test_what_was_sent_is_there_once_with_the_approved_words(laptop: Laptop) -> None:
    outbox = Outbox(laptop.journal)
    laptop.desk()
    laptop.edit(PENDING, "we paid yesterday", "we pay tomorrow")
    assert outbox.sent() == ()
    laptop.approve()
    (one,) = outbox.sent()
    assert (one.id, one.task, one.certain) == (CARD, TASK, True)
    assert one.recipients == frozenset({"ada@example.com"})
    assert (one.subject, one.body) == ("Re: Invoice question", "Hi Ada,\n\nwe pay tomorrow.")
    assert one.at == laptop.moment
    assert outbox.sent() == Outbox(laptop.journal).sent() == (one,)


def test_who_refused_it_was_not_written_to(laptop: Laptop) -> None:
    def partly(arguments: dict[str, Any]) -> Any:
        fates = accepted(arguments)
        fates["recipients"]["bob@example.com"] = {"outcome": "refused", "detail": "550 no"}
        return fates

    laptop.answer = partly
    laptop.task()
    laptop.card(to=["ada@example.com", "bob@example.com"])
    laptop.approve()
    assert Outbox(laptop.journal).sent()[0].recipients == frozenset({"ada@example.com"})


def test_what_is_in_doubt_is_there_until_the_person_says_no(laptop: Laptop) -> None:
    outbox = Outbox(laptop.journal)
    laptop.desk()
    laptop.answer = lambda arguments: {"outcome": "unknown"}
    laptop.approve()
    (one,) = outbox.sent()
    assert not one.certain
    _question(laptop, "Rejected")
    assert outbox.sent() == Outbox(laptop.journal).sent() == ()


def test_what_is_in_doubt_becomes_certain_when_the_person_says_so(laptop: Laptop) -> None:
    outbox = Outbox(laptop.journal)
    laptop.desk()
    laptop.answer = lambda arguments: {"outcome": "unknown"}
    laptop.approve()
    assert not outbox.sent()[0].certain
    _question(laptop, "Approved")
    assert outbox.sent()[0].certain

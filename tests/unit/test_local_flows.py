"""What happens beside the straight way: a new draft, a replaced one, a newer message, no answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from local_laptop import (
    APPROVED,
    CARD,
    DONE,
    PENDING,
    REJECTED,
    START,
    TASK,
    Laptop,
    proposal,
    task_note,
)

from nightdesk.local_agent.journal import Row
from nightdesk.skills.drafting import wants_draft
from nightdesk.vault.documents import read_task
from nightdesk.vault.notes import parse_note

SECOND = CARD.replace("-email-1", "-email-2")
PENDING_2 = PENDING.replace("-email-1", "-email-2")
APPROVED_2 = APPROVED.replace("-email-1", "-email-2")
OPEN = f"Needs_Action/email/{TASK}.md"
OTHER = "2026-11-23-re-invoice-question-77aa01"


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path)
    yield laptop
    laptop.close()


def _status(laptop: Laptop, path: str) -> str:
    return parse_note((laptop.vault / path).read_bytes()).get("status")


def _propose(laptop: Laptop, card: str, supersedes: str, task: str = TASK) -> None:
    """A draft that names an older one arrives, as sync brings it."""
    path = f"Pending_Approval/email/{card}.md"
    data = proposal(card, task).replace(
        b'created_by: "cloud"', f'created_by: "cloud"\nsupersedes: "{supersedes}"'.encode()
    )
    written = laptop.reviewer.incoming(path, data)
    assert written is not None
    laptop.write(path, written)


def _message(laptop: Laptop, task: str = OTHER, where: str = "Done/2026-11", **fields: Any) -> None:
    values: dict[str, Any] = {
        "message_id": "<second@example.com>",
        "thread": "<CAF3@example.com>",
        "references": ["<CAF3@example.com>"],
        "received": START + timedelta(minutes=5),
    }
    laptop.write(f"{where}/{task}.md", task_note(task, **(values | fields)))


# --- a new draft ---


def test_a_new_draft_and_the_rejected_one_name_each_other_for_several_rounds(
    laptop: Laptop,
) -> None:
    """Each round: feedback, a new card, and the old one in Done/ says which."""
    laptop.desk()
    for number in (1, 2, 3):
        old, new = f"{TASK}-email-{number}", f"{TASK}-email-{number + 1}"
        pending = f"Pending_Approval/email/{old}.md"
        laptop.edit(pending, "action:", f"feedback: round {number}\naction:")
        laptop.move(pending, f"Rejected/email/{old}.md")
        laptop.executor.pass_once()
        task = read_task((laptop.vault / OPEN).read_bytes(), OPEN)
        assert (task.feedback, task.supersedes) == (f"round {number}", old)
        laptop.move(OPEN, f"In_Progress/cloud/{TASK}.md")
        assert wants_draft(laptop.vault, task)
        _propose(laptop, new, old)
        assert not wants_draft(laptop.vault, task)
        laptop.executor.pass_once()
        laptop.executor.pass_once()
        assert laptop.read(f"Done/2026-11/{old}.md").count(f"[[{new}]]") == 1
        assert f'supersedes: "{old}"' in laptop.read(f"Pending_Approval/email/{new}.md")
    laptop.move(f"Pending_Approval/email/{TASK}-email-4.md", APPROVED)
    laptop.executor.pass_once()
    assert [action_id for _, _, action_id in laptop.ledger] == [f"{TASK}-email-4"]
    assert laptop.exists(f"Done/2026-11/{TASK}.md")


def test_feedback_for_a_task_that_is_gone_promises_no_new_draft(laptop: Laptop) -> None:
    laptop.card()
    laptop.edit(PENDING, "action:", "feedback: shorter\naction:")
    laptop.move(PENDING, REJECTED)
    report = laptop.executor.pass_once()
    assert "went back" not in laptop.read(DONE)
    assert "no longer in the vault" in laptop.read(DONE)
    assert any("no longer in the vault" in line for line in report.notices)


@pytest.mark.parametrize("word", ["", '""', '"  "'])
def test_empty_feedback_is_just_a_rejection(laptop: Laptop, word: str) -> None:
    laptop.desk()
    laptop.edit(PENDING, "action:", f"feedback: {word}\naction:")
    laptop.move(PENDING, REJECTED)
    laptop.executor.pass_once()
    laptop.later(301)
    laptop.executor.pass_once()
    assert _status(laptop, f"Done/2026-11/{TASK}.md") == "rejected"


def test_feedback_for_one_of_two_cards_survives_the_sending_of_the_other(laptop: Laptop) -> None:
    """The task is not filed with the sent card: the person has asked for a new draft."""
    laptop.desk()
    laptop.card(SECOND)
    laptop.later(60)
    laptop.edit(PENDING, "action:", "feedback: shorter\naction:")
    laptop.move(PENDING, REJECTED)
    laptop.executor.pass_once()
    laptop.move(PENDING_2, APPROVED_2)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    task = read_task((laptop.vault / OPEN).read_bytes(), OPEN)
    assert task.feedback == "shorter"
    assert wants_draft(laptop.vault, task)
    third = f"{TASK}-email-3"
    laptop.later(1)
    _propose(laptop, third, CARD)
    laptop.move(f"Pending_Approval/email/{third}.md", f"Approved/{third}.md")
    laptop.executor.pass_once()
    assert _status(laptop, f"Done/2026-11/{TASK}.md") == "done"


def test_a_task_brought_back_after_its_card_expired_is_drafted_again(laptop: Laptop) -> None:
    """What the card in Done/ promises."""
    laptop.desk()
    laptop.later(72 * 3600 + 1)
    laptop.executor.pass_once()
    done = f"Done/2026-11/{TASK}.md"
    assert _status(laptop, done) == "expired"
    laptop.move(done, f"In_Progress/cloud/{TASK}.md")
    path = f"In_Progress/cloud/{TASK}.md"
    assert wants_draft(laptop.vault, read_task((laptop.vault / path).read_bytes(), path))
    _propose(laptop, SECOND, CARD)
    laptop.executor.pass_once()
    assert laptop.state_of(SECOND) == "CARDED"
    assert f"[[{SECOND}]]" in laptop.read(DONE)


# --- replaced ---


def test_a_newer_draft_withdraws_the_untouched_older_one(laptop: Laptop) -> None:
    laptop.desk()
    _propose(laptop, SECOND, CARD)
    report = laptop.executor.pass_once()
    assert laptop.state_of() == "SUPERSEDED"
    assert _status(laptop, DONE) == "superseded"
    laptop.executor.pass_once()
    assert laptop.read(DONE).count(f"[[{SECOND}]]") == 1
    assert any(f"[[{CARD}]] was withdrawn" in line for line in report.notices)
    assert laptop.exists(PENDING_2)
    assert laptop.exists(f"In_Progress/cloud/{TASK}.md"), "the newer card still needs its task"


def test_a_card_that_the_person_changed_is_kept_and_flagged(laptop: Laptop) -> None:
    laptop.desk()
    laptop.edit(PENDING, "we paid yesterday", "we pay on Friday")
    _propose(laptop, SECOND, CARD)
    laptop.executor.pass_once()
    laptop.executor.pass_once()
    assert laptop.state_of() == "CARDED"
    [refusal] = laptop.journal.refusals()
    assert (refusal.path, f"[[{SECOND}]]" in refusal.reason) == (PENDING, True)
    laptop.move(PENDING, APPROVED)
    laptop.executor.pass_once()
    assert "we pay on Friday" in laptop.ledger[0][1]["body"]


def test_an_approved_card_is_not_withdrawn(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, hold=5)
    laptop.desk()
    laptop.approve()
    _propose(laptop, SECOND, CARD)
    laptop.executor.pass_once()
    assert laptop.state_of() == "APPROVED"
    laptop.later(5)
    laptop.executor.pass_once()
    assert [action_id for _, _, action_id in laptop.ledger] == [CARD]
    laptop.close()


@pytest.mark.parametrize("thread", ["", "<CAF3@example.com>"])
def test_only_the_same_matter_is_withdrawn(laptop: Laptop, thread: str) -> None:
    """A hostile cloud cannot withdraw whatever it names; in one conversation it is right."""
    laptop.write(f"In_Progress/cloud/{TASK}.md", task_note(thread="<CAF3@example.com>"))
    laptop.card()
    laptop.write(
        f"In_Progress/cloud/{OTHER}.md",
        task_note(OTHER, message_id="<2@example.com>", thread=thread),
    )
    _propose(laptop, f"{OTHER}-email-1", CARD, OTHER)
    laptop.executor.pass_once()
    if thread:
        assert laptop.state_of() == "SUPERSEDED"
    else:
        assert laptop.state_of() == "CARDED"
        [refusal] = laptop.journal.refusals()
        assert "about something else" in refusal.reason


def test_a_card_is_withdrawn_only_when_the_new_one_lies_before_the_person(laptop: Laptop) -> None:
    laptop.desk()
    data = proposal(SECOND).replace(b"created_by:", f'supersedes: "{CARD}"\ncreated_by:'.encode())
    assert laptop.reviewer.incoming(PENDING_2, data)
    laptop.executor.pass_once()
    assert laptop.state_of() == "CARDED"


# --- a newer message ---


@pytest.mark.parametrize("where", ["Needs_Action/email", "In_Progress/cloud", "Done/2026-11"])
def test_an_untouched_card_says_that_a_newer_message_came(laptop: Laptop, where: str) -> None:
    laptop.desk()
    laptop.reviewer.adopt_pending()
    _message(laptop, where=where)
    laptop.reviewer.adopt_pending()
    assert f"> [!warning] Newer message: [[{OTHER}]]" in laptop.read(PENDING)
    laptop.approve()
    assert len(laptop.ledger) == 1, "approved with the line on it"


@pytest.mark.parametrize(
    ("fields", "newer"),
    [
        ({}, True),
        ({"thread": "<other@example.com>", "references": []}, False),
        ({"received": START - timedelta(days=400), "references": []}, False),
        ({"received": START - timedelta(days=400)}, True),  # refers to ours: its date lies
        ({"thread": "<x@example.com>"}, True),
    ],
)
def test_what_counts_as_newer(laptop: Laptop, fields: dict[str, Any], newer: bool) -> None:
    laptop.write(
        f"In_Progress/cloud/{TASK}.md", task_note(thread="<CAF3@example.com>", received=START)
    )
    laptop.card()
    _message(laptop, **fields)
    laptop.approve()
    assert len(laptop.ledger) == (0 if newer else 1)


def test_the_message_that_ours_answers_is_not_newer(laptop: Laptop) -> None:
    laptop.write(
        f"In_Progress/cloud/{TASK}.md",
        task_note(thread="<CAF3@example.com>", message_id="<now@example.com>", received=START,
                  references=["<CAF3@example.com>", "<second@example.com>"]),
    )  # fmt: skip
    laptop.card()
    _message(laptop, received=START)
    laptop.approve()
    assert len(laptop.ledger) == 1


def test_a_send_stops_for_a_message_that_came_in_the_hold_and_a_new_move_sends(
    tmp_path: Path,
) -> None:
    laptop = Laptop(tmp_path, hold=5)
    laptop.desk()
    laptop.approve()
    _message(laptop)
    laptop.later(5)
    report = laptop.executor.pass_once()
    assert laptop.ledger == []
    assert f"> [!failure] Newer message: [[{OTHER}]]" in laptop.read(PENDING)
    assert any("Newer message" in line for line in report.notices)
    laptop.reviewer.adopt_pending()
    laptop.move(PENDING, APPROVED)
    laptop.executor.pass_once()
    _message(laptop, OTHER.replace("77aa01", "77aa02"), message_id="<third@example.com>",
             received=START + timedelta(hours=1))  # fmt: skip
    laptop.later(5)
    laptop.executor.pass_once()
    assert laptop.ledger == [], "a third message came after the second look"
    laptop.move(PENDING, APPROVED)
    laptop.executor.pass_once()
    laptop.later(5)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    laptop.close()


def test_a_mail_from_tomorrow_hides_nothing_that_comes_after_it(laptop: Laptop) -> None:
    laptop.desk()
    _message(laptop, received=START + timedelta(days=900))
    laptop.reviewer.adopt_pending()
    assert "> [!warning] Newer message:" in laptop.read(PENDING)
    _message(laptop, OTHER.replace("77aa01", "77aa02"), message_id="<third@example.com>")
    laptop.approve()
    assert laptop.ledger == []
    assert "> [!failure] Newer messages: 2, the latest" in laptop.read(PENDING)
    laptop.approve()
    assert len(laptop.ledger) == 1


def test_a_touched_card_is_flagged_and_stays_as_it_is(laptop: Laptop) -> None:
    laptop.desk()
    laptop.edit(PENDING, "we paid yesterday", "we pay on Friday")
    before = laptop.read(PENDING)
    _message(laptop)
    laptop.reviewer.adopt_pending()
    laptop.reviewer.adopt_pending()
    assert laptop.read(PENDING) == before
    [refusal] = laptop.journal.refusals()
    assert refusal.reason.startswith(f"Newer message: [[{OTHER}]]")


def test_the_person_has_answered_with_another_card_of_the_thread(laptop: Laptop) -> None:
    laptop.desk()
    laptop.later(600)
    _message(laptop, where="In_Progress/cloud")
    laptop.card(f"{OTHER}-email-1", OTHER, in_reply_to="<second@example.com>",
                references=["<CAF3@example.com>", "<second@example.com>"])  # fmt: skip
    laptop.move(f"Pending_Approval/email/{OTHER}-email-1.md", f"Approved/{OTHER}-email-1.md")
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    laptop.reviewer.adopt_pending()
    assert f"[[{OTHER}-email-1]] which you sent" in laptop.read(PENDING)


def test_a_mail_cannot_write_the_line_itself(laptop: Laptop) -> None:
    """The mark counts above the draft only, where Local writes."""
    laptop.desk()
    laptop.edit(PENDING, "we paid", f"> [!warning] Newer message: [[{OTHER}]]\nwe paid")
    _message(laptop)
    laptop.approve()
    assert laptop.ledger == []


# --- no answer ---


def _cards(laptop: Laptop, count: int) -> list[str]:
    laptop.task()
    cards = [f"{TASK}-email-{number}" for number in range(1, count + 1)]
    for card in cards:
        laptop.card(card)
    laptop.executor.pass_once()
    return cards


def _expired(laptop: Laptop) -> list[Row]:
    return [row for row in laptop.journal.rows() if row.state == "EXPIRED"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_a_year_ahead_does_not_expire_everything_at_once(
    laptop: Laptop, restarted: bool
) -> None:
    cards = _cards(laptop, 5)
    laptop.moment += timedelta(days=365)
    if restarted:
        laptop.restart()
    report = laptop.executor.pass_once()
    assert _expired(laptop) == []
    assert any("5 cards would expire at once" in line for line in report.notices)
    assert report.waiting_until == pytest.approx(1800)
    laptop.move(PENDING, APPROVED)
    laptop.executor.pass_once()
    assert laptop.ledger == [], "what may have expired is not sent"
    laptop.moment -= timedelta(days=365)
    laptop.later(60)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1, "the clock is right again"
    laptop.later(3600)
    laptop.executor.pass_once()
    assert {laptop.state_of(card) for card in cards[1:]} == {"CARDED"}


def test_after_the_wait_they_expire_and_a_clock_set_back_revives_nothing(laptop: Laptop) -> None:
    cards = _cards(laptop, 5)
    laptop.moment += timedelta(days=365)
    laptop.executor.pass_once()
    laptop.later(1801)
    laptop.executor.pass_once()
    assert len(_expired(laptop)) == 5
    laptop.moment -= timedelta(days=365)
    assert laptop.reviewer.incoming(PENDING, proposal()) is None
    for card in cards:
        month = f"Done/2027-11/{card}.md"
        laptop.move(month, f"Approved/{card}.md")
    laptop.executor.pass_once()
    assert len(_expired(laptop)) == 5
    assert laptop.ledger == []


def test_cards_whose_time_is_over_without_a_jump_expire_at_once(laptop: Laptop) -> None:
    _cards(laptop, 5)
    laptop.later(72 * 3600 + 1)
    laptop.executor.pass_once()
    assert len(_expired(laptop)) == 5


def test_why_a_card_came_back_stays_on_it_until_it_is_approved(laptop: Laptop) -> None:
    """The refresh of untouched cards does not wipe the word of a lost journal away."""
    laptop.desk()
    laptop.move(PENDING, APPROVED)
    laptop.close()
    (laptop.state / "journal.sqlite").unlink()
    laptop.open()
    laptop.executor.pass_once()
    for _ in range(2):
        laptop.reviewer.adopt_pending()
        assert "needs a new move. It may have gone out already" in laptop.read(PENDING)

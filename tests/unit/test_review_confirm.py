"""The typed confirmation, from the card to the send: a risky card runs only with its words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from local_laptop import APPROVED, CARD, PENDING, START, TASK, Laptop, proposal, task_note

from nightdesk.errors import UsageError
from nightdesk.local_agent import pending
from nightdesk.local_agent.confirm import matches, pieces, typed_in
from nightdesk.local_agent.dashboard import Health, render
from nightdesk.local_agent.knowledge import Knowledge
from nightdesk.local_agent.view import gather
from nightdesk.vault.notes import parse_note

EVE = "eve@strangers.net"


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path)
    laptop.task()
    yield laptop
    laptop.close()


def type_in(laptop: Laptop, text: str, path: str = PENDING) -> None:
    laptop.edit(path, 'confirm: ""', f"confirm: {text}")


def approve_again(laptop: Laptop) -> None:
    laptop.move(PENDING, APPROVED)
    laptop.executor.pass_once()


# --- the words ---


@pytest.mark.parametrize(
    ("token", "typed"),
    [
        ("strangers.net", "Strangers.NET"), ("strangers.net", " strangers . net "),
        ("strangers.net", "eve@strangers.net"), ("xn--exmple-cua.com", "exämple.com"),
        ("xn--exmple-cua.com", "XN--exmple-cua.com"), ("1250.00", "1,250.00"),
        ("1250.00", "1.250 €"), ("3000", "3000"),
        ("0300", "300"), ("2f9a", "2F9A"), ("gaps", "`gaps`"),
        ("a.b@gmail.com", "A.B@gmail.com"),
    ],
)  # fmt: skip
def test_a_word_is_taken_as_a_person_types_it(token: str, typed: str) -> None:
    assert matches(token, typed)


@pytest.mark.parametrize(
    ("token", "typed"),
    [
        ("strangers.net", "strangers.com"), ("strangers.net", ""), ("strangers.net", "yes"),
        ("1250.00", "125.00"), ("1250.00", "12.50"), ("0300", "3000"), ("3000", "3000.00"),
        ("a@gmail.com", "gmail.com"), ("a@gmail.com", "b@gmail.com"), ("strangers.net", "net"),
        ("xn--exmple-cua.com", "example.com"), ("gaps", "gap"), ("again", "againgaps"),
    ],
)  # fmt: skip
def test_another_word_is_not(token: str, typed: str) -> None:
    assert not matches(token, typed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.com, 1,250.00", ["a.com", "1,250.00"]), ("3000,1234", ["3000", "1234"]),
        ("gaps; again\nb.com", ["gaps", "again", "b.com"]), ("1.250,00, a", ["1.250,00", "a"]),
        ("", []), (" , ;", []),
    ],
)  # fmt: skip
def test_several_words_stand_between_commas(text: str, words: list[str]) -> None:
    assert pieces(text) == words


def test_the_property_may_be_a_text_or_a_list() -> None:
    for block in (
        "confirm: a.com, gaps",
        "Confirm: [a.com, gaps]",
        "confirm:\n  - a.com\n  - gaps",
    ):
        assert typed_in(parse_note(f"---\n{block}\n---\n".encode())) == ("a.com", "gaps")
    assert typed_in(parse_note(b"---\nconfirm:\n---\n")) == ()
    assert typed_in(parse_note(b'---\nconfirm: ""\nConfirm: again\n---\n')) == ("again",)


# --- the card ---


def test_a_risky_card_says_what_to_type_and_has_the_field(laptop: Laptop) -> None:
    laptop.card(cc=[EVE])
    text = laptop.read(PENDING)
    assert "type `strangers.net` into `confirm`." in text
    assert '\nconfirm: ""\n' in text


def test_an_ordinary_card_has_no_field(laptop: Laptop) -> None:
    laptop.card()
    assert "confirm" not in laptop.read(PENDING)


def test_what_came_with_the_proposal_is_never_taken_over(laptop: Laptop) -> None:
    raw = proposal(cc=[EVE]).replace(b"created_by", b'confirm: "strangers.net"\ncreated_by')
    assert b"confirm" in raw
    written = laptop.reviewer.incoming(PENDING, raw)
    assert written is not None
    assert b'\nconfirm: ""\n' in written
    laptop.write(PENDING, written)
    approve_again(laptop)
    assert laptop.ledger == []
    (laptop.vault / PENDING).unlink()
    local = PENDING.replace("-1.md", "-2.md")
    laptop.write(local, raw.replace(CARD.encode(), CARD[:-1].encode() + b"2"))
    laptop.reviewer.adopt_pending()
    assert '\nconfirm: ""\n' in laptop.read(local)


# --- the send ---


def test_an_unconfirmed_card_comes_back_with_the_reason(laptop: Laptop) -> None:
    laptop.card(cc=[EVE])
    report = laptop.approve()
    assert report.acted == ()
    assert laptop.ledger == []
    assert laptop.state_of() == "CARDED"
    text = laptop.read(PENDING)
    assert "> [!failure] it needs a typed confirmation: new recipient" in text
    assert "'strangers.net'" in text.partition("# Draft")[0].split("[!failure]")[1]


def test_a_confirmed_card_is_sent_once(laptop: Laptop) -> None:
    laptop.card(cc=[EVE])
    type_in(laptop, "Strangers.net")
    assert laptop.approve().acted == (CARD,)
    assert len(laptop.ledger) == 1
    assert "confirm" not in laptop.ledger[0][1]


def test_every_word_is_needed(laptop: Laptop) -> None:
    laptop.card(cc=[EVE], body="Please pay 1.250,00 € to DE89 3704 0044 0532 0130 00. […]")
    type_in(laptop, '"strangers.net, 1250, gaps"')
    laptop.approve()
    assert laptop.ledger == []
    failure = laptop.read(PENDING).partition("[!failure]")[2].split("\n")[0]
    assert "3000" in failure
    assert "strangers" not in failure
    laptop.edit(PENDING, "strangers.net, 1250", "strangers.net, 3000, 1,250.00 EUR")
    approve_again(laptop)
    assert len(laptop.ledger) == 1


def test_a_recipient_changed_after_the_confirmation_is_not_sent(laptop: Laptop) -> None:
    laptop.card(cc=[EVE])
    type_in(laptop, "strangers.net")
    laptop.edit(PENDING, EVE, "eve@elsewhere.net")
    laptop.approve()
    assert laptop.ledger == []
    assert "elsewhere.net" in laptop.read(PENDING).partition("[!failure]")[2].split("\n")[0]
    laptop.edit(PENDING, "confirm: strangers.net", "confirm: elsewhere.net")
    approve_again(laptop)
    assert laptop.ledger[0][1]["cc"] == ["eve@elsewhere.net"]


def test_a_card_made_risky_by_the_person_gets_the_field(laptop: Laptop) -> None:
    laptop.card()
    laptop.edit(PENDING, "ada@example.com", EVE)
    laptop.approve()
    assert laptop.ledger == []
    type_in(laptop, "strangers.net")
    approve_again(laptop)
    assert len(laptop.ledger) == 1


def test_changed_within_the_hold_it_is_judged_as_it_then_stands(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "patient", quiet=0, hold=5)
    laptop.desk()
    laptop.approve()
    laptop.later(2)
    laptop.edit(APPROVED, "ada@example.com", EVE)
    for _ in range(8):
        laptop.executor.pass_once()
        laptop.later(2)
    laptop.close()
    assert laptop.ledger == []


def test_once_written_to_an_address_needs_no_word(laptop: Laptop) -> None:
    laptop.card(cc=[EVE])
    type_in(laptop, "strangers.net")
    laptop.approve()
    other = TASK.replace("3f9a2c", "000000")
    laptop.task(other)
    path = laptop.card(f"{other}-email-1", other, cc=[EVE], body="And one thing more.")
    assert "you have written there before" in laptop.read(path)
    assert "confirm" not in laptop.read(path)


def test_the_same_mail_twice_needs_a_word(laptop: Laptop) -> None:
    laptop.card()
    laptop.approve()
    other = TASK.replace("3f9a2c", "000000")
    laptop.task(other)
    path = laptop.card(f"{other}-email-1", other, body="Hi Ada,\n\nwe paid yesterday.")
    laptop.move(path, path.replace("Pending_Approval", "Approved"))
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    type_in(laptop, "again", path)
    laptop.move(path, path.replace("Pending_Approval", "Approved"))
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 2


def test_the_handbook_counts_as_it_stands_at_the_send(laptop: Laptop) -> None:
    laptop.card(body="That makes 500 EUR.")
    (laptop.vault / "Handbook.md").write_text("## Limits\n- Confirm amounts above: 100\n")
    laptop.approve()
    assert laptop.ledger == []


# --- the day's limit ---


def test_the_days_limit_stops_the_send_and_goes_on_tomorrow(laptop: Laptop) -> None:
    (laptop.vault / "Handbook.md").write_text("## Limits\n- Sends a day: 1\n")
    laptop.moment = START.astimezone().replace(hour=12)
    laptop.card()
    laptop.approve()
    other = TASK.replace("3f9a2c", "000000")
    laptop.task(other)
    path = laptop.card(f"{other}-email-1", other, body="Another thing.")
    approved = path.replace("Pending_Approval", "Approved")
    laptop.move(path, approved)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    reason = laptop.read(path).partition("[!failure]")[2].split("\n")[0]
    assert "1 mail has gone out today and the limit is 1" in reason
    assert "tomorrow, or raise 'Sends a day' under Limits in Handbook.md" in reason
    laptop.moment += timedelta(hours=12, seconds=1)
    laptop.move(path, approved)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 2


def test_the_days_limit_counts_within_one_pass(laptop: Laptop) -> None:
    (laptop.vault / "Handbook.md").write_text("## Limits\n- Sends a day: 2\n")
    for number in range(1, 4):
        path = laptop.card(f"{TASK}-email-{number}", body=f"Answer {number}.")
        laptop.move(path, path.replace("Pending_Approval", "Approved"))
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 2


def test_an_unreadable_limit_is_no_way_around_it(laptop: Laptop) -> None:
    (laptop.vault / "Handbook.md").write_text("## Limits\n- Sends a day: 0\n- Sends a day: all\n")
    laptop.card()
    laptop.approve()
    assert laptop.ledger == []


# --- the command line and the dashboard ---


def known(laptop: Laptop) -> Knowledge:
    return Knowledge(laptop.journal, laptop.vault, laptop.settings)


def test_the_command_says_what_to_type_and_takes_it(laptop: Laptop) -> None:
    laptop.card(cc=[EVE], body="It is 2.000,00 €.")
    (one,) = pending.waiting(laptop.vault, known(laptop).now())
    assert one.to_type == ("strangers.net", "2000.00")
    with pytest.raises(UsageError, match="asks for a typed confirmation: new recipient, amount"):
        pending.approve(laptop.vault, CARD, known(laptop).now())
    with pytest.raises(UsageError, match=r'--confirm "2000, strangers.net"'):
        pending.approve(laptop.vault, CARD, known(laptop).now(), "2000")
    assert laptop.exists(PENDING)
    pending.approve(laptop.vault, CARD, known(laptop).now(), "strangers.net, 2,000.00")
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1


def test_the_dashboard_marks_it_and_names_a_limit_that_cannot_be_read(laptop: Laptop) -> None:
    laptop.card(cc=[EVE])
    (laptop.vault / "Handbook.md").write_text("## Limits\n- Sends a day: heaps\n")
    view = gather(
        laptop.vault,
        laptop.journal,
        updates=[],
        troubles=[],
        health=[Health("x", True, "y")],
        now=laptop.clock(),
    )
    assert "asks you to type" in view.waiting[0]
    assert "the limit \\`Sends a day\\` cannot be read" in render(view).decode().replace("'", "\\`")


def test_the_task_is_the_one_that_lies_here(laptop: Laptop) -> None:
    """A card without its task is judged as such at the send, too."""
    laptop.card()
    (laptop.vault / f"In_Progress/cloud/{TASK}.md").unlink()
    laptop.approve()
    assert laptop.ledger == []
    laptop.write(f"In_Progress/cloud/{TASK}.md", task_note())
    approve_again(laptop)
    assert len(laptop.ledger) == 1

"""In doubt: looked for, and only then asked; a look is never more than a look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from local_laptop import APPROVED, CARD, DONE, PENDING, TASK, Laptop, accepted

from nightdesk.errors import NotSent, OutcomeUnknown
from nightdesk.local_agent import effects
from nightdesk.local_agent.doubt import LATE_SECONDS
from nightdesk.local_agent.effects import EFFECTS
from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.lookout import LOOK_FIRST
from nightdesk.vault.actions import ACTIONS
from nightdesk.vault.files import move

QUESTION = PENDING.replace(".md", "-question.md")
SETTLE = 120.0
SAID_YES = QUESTION.replace("Pending_Approval", "Approved")
SAID_NO = QUESTION.replace("Pending_Approval", "Rejected")


class Watched(Laptop):
    """A laptop with a place where sent mails appear."""

    sent: set[str]
    looks: list[str]
    blind: str

    def make_executor(self, crash: Any = lambda point: None) -> Executor:
        return Executor(
            self.journal,
            self.vault,
            self.settings,
            self.send,
            self.clock,
            crash,
            ticks=lambda: self.ticks,
            probe=self.probe,
        )

    def probe(self, tool: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        assert tool == "email/find_sent"
        self.looks.append(arguments["message_id"])
        if self.blind:
            raise NotSent(self.blind)
        return {
            "found": arguments["message_id"] in self.sent,
            "where": "the sent mails",
            "looked": f"{len(self.sent)} mails there",
        }

    def lost(self, arguments: dict[str, Any]) -> Any:
        raise OutcomeUnknown("the connection was cut")

    def passes(self, seconds: float, step: float = 10) -> None:
        for _ in range(int(seconds / step)):
            self.later(step)
            self.executor.pass_once()


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Watched]:
    Watched.sent, Watched.looks, Watched.blind = set(), [], ""
    laptop = Watched(tmp_path)
    laptop.desk()
    laptop.executor.pass_once()
    laptop.journal.set_meta(LOOK_FIRST, "")  # not the first day of this journal
    laptop.answer = laptop.lost
    yield laptop
    laptop.close()


def _key(laptop: Laptop) -> str:
    row = laptop.journal.get(CARD)
    assert row is not None
    return row.message_id


def test_every_action_has_its_effect_and_a_key_of_its_own_content() -> None:
    assert EFFECTS.keys() == ACTIONS.keys()
    for effect in EFFECTS.values():
        assert effect.tool == ACTIONS[effect.action].TOOL


# --- found ---


def test_found_it_is_finished_and_nobody_is_asked(laptop: Watched) -> None:
    def left(arguments: dict[str, Any]) -> Any:
        laptop.sent.add(arguments["message_id"])
        return laptop.lost(arguments)

    laptop.answer = left
    report = laptop.approve()
    assert report.asked == ()
    assert any("found in the sent mails" in line for line in report.notices)
    assert laptop.state_of() == "DONE"
    assert not laptop.exists(QUESTION)
    done = laptop.read(DONE)
    assert 'status: "sent"' in done
    assert "without a clear answer" in done
    assert "Found on" in done
    assert "Found on" in laptop.read("Logs/2026-11-23.md")
    laptop.passes(1000)
    assert len(laptop.ledger) == 1


def test_a_mail_that_appears_late_within_the_settling_time(laptop: Watched) -> None:
    report = laptop.approve()
    assert (laptop.state_of(), report.asked) == ("IN_DOUBT", ())
    assert report.waiting_until == pytest.approx(SETTLE / 2)
    assert "looking" in report.held[CARD]
    laptop.later(SETTLE / 2 - 1)
    laptop.executor.pass_once()
    assert len(laptop.looks) == 1
    laptop.sent.add(_key(laptop))
    laptop.later(1)
    laptop.executor.pass_once()
    assert laptop.state_of() == "DONE"
    assert len(laptop.ledger) == 1


# --- not found, or nowhere to look ---


def test_absent_after_three_looks_the_person_is_asked_and_told_where_was_looked(
    laptop: Watched,
) -> None:
    laptop.sent.add("<another@example.com>")
    laptop.approve()
    laptop.passes(SETTLE - 10)
    assert laptop.state_of() == "IN_DOUBT"
    laptop.later(10)
    report = laptop.executor.pass_once()
    assert report.asked == (CARD,)
    assert laptop.state_of() == "HUMAN_DECIDES"
    assert laptop.looks == [_key(laptop)] * 3
    assert laptop.read(QUESTION).count("not in the sent mails (1 mails there)") == 3
    assert laptop.read("Logs/2026-11-23.md").count("not in the sent mails") == 3
    assert len(laptop.ledger) == 1


def test_a_place_that_cannot_be_read_asks_at_once(laptop: Watched) -> None:
    Watched.blind = "the Maildir of sent mails is not there"
    assert laptop.approve().asked == (CARD,)
    assert "could not look: the Maildir of sent mails is not there" in laptop.read(QUESTION)


@pytest.mark.parametrize("answer", [{}, {"found": "true"}, {"found": 1}, {"found": None}])
def test_a_strange_answer_is_no_look(
    laptop: Watched, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    monkeypatch.setattr(laptop.executor._lookout, "_probe", lambda tool, arguments: answer)
    assert laptop.approve().asked == (CARD,)
    assert laptop.state_of() == "HUMAN_DECIDES"


def test_a_restart_looks_again_and_never_calls_again(laptop: Watched) -> None:
    laptop.approve()
    laptop.restart()
    laptop.passes(SETTLE)
    assert laptop.state_of() == "HUMAN_DECIDES"
    assert len(laptop.ledger) == 1


def test_after_the_settling_time_a_new_process_looks_once_and_asks(laptop: Watched) -> None:
    laptop.approve()
    laptop.close()
    laptop.later(SETTLE)
    laptop.open()
    assert laptop.executor.recover().asked == (CARD,)
    assert len(laptop.looks) == 2


def test_where_absence_is_proof_the_card_comes_back_and_only_a_new_move_tries_again(
    laptop: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = replace(EFFECTS["email.send"], absent_is_proof=True)
    monkeypatch.setitem(effects.EFFECTS, "email.send", row)
    laptop.approve()
    laptop.passes(SETTLE)
    assert laptop.state_of() == "CARDED"
    assert "It did not happen" in laptop.read(PENDING)
    laptop.passes(1000)
    assert len(laptop.ledger) == 1
    laptop.answer = accepted
    laptop.approve()
    assert [a["message_id"] for _, a, _ in laptop.ledger] == [_key(laptop)] * 2


# --- while the person is asked ---


def _asked(laptop: Watched) -> None:
    laptop.approve()
    laptop.passes(SETTLE)
    assert laptop.state_of() == "HUMAN_DECIDES"


def test_a_late_find_takes_the_question_back(laptop: Watched) -> None:
    _asked(laptop)
    laptop.sent.add(_key(laptop))
    laptop.passes(LATE_SECONDS + 10)
    assert laptop.state_of() == "DONE"
    assert not laptop.exists(QUESTION)
    assert "No answer is needed" in laptop.read(DONE.replace(".md", "-question.md"))
    assert len(laptop.ledger) == 1


def test_it_did_not_and_then_it_is_found_after_all(laptop: Watched) -> None:
    _asked(laptop)
    laptop.move(QUESTION, SAID_NO)
    laptop.executor.pass_once()
    assert laptop.state_of() == "CARDED"
    laptop.sent.add(_key(laptop))
    laptop.answer = accepted
    report = laptop.approve()
    assert "gone out already" in report.notices[0]
    assert laptop.state_of() == "DONE"
    assert len(laptop.ledger) == 1


def test_an_edited_card_stops_once_when_its_first_text_went_out_after_all(laptop: Watched) -> None:
    _asked(laptop)
    laptop.move(QUESTION, SAID_NO)
    laptop.executor.pass_once()
    laptop.sent.add(_key(laptop))
    laptop.edit(PENDING, "yesterday", "today")
    laptop.answer = accepted
    laptop.approve()
    assert len(laptop.ledger) == 1
    assert "an earlier text of this card did go out" in laptop.read(PENDING)
    laptop.approve()
    assert [a["body"].split()[-1] for _, a, _ in laptop.ledger] == ["yesterday.", "today."]
    assert laptop.state_of() == "DONE"


def test_it_did_not_and_it_is_not_there_a_new_move_sends_it(laptop: Watched) -> None:
    _asked(laptop)
    laptop.move(QUESTION, SAID_NO)
    laptop.executor.pass_once()
    laptop.answer = accepted
    laptop.approve()
    assert laptop.state_of() == "DONE"
    assert len(laptop.ledger) == 2


@pytest.mark.parametrize(
    "breaking",
    [
        lambda text: "no properties any more\n",
        lambda text: text.replace("card:", "kard:"),
        lambda text: text.replace('kind: "question"', "kind: x\nkind: y"),
    ],
)
def test_an_edited_question_is_answered_by_its_move(laptop: Watched, breaking: Any) -> None:
    _asked(laptop)
    path = laptop.vault / QUESTION
    path.write_text(breaking(path.read_text("utf-8")), "utf-8")
    laptop.executor.pass_once()
    assert len(list((laptop.vault / "Pending_Approval").rglob("*question*"))) == 1
    laptop.move(QUESTION, SAID_YES)
    laptop.executor.pass_once()
    assert laptop.state_of() == "DONE"
    assert not laptop.exists(SAID_YES)
    assert laptop.journal.refusals() == []


def test_answered_both_ways_counts_neither_until_one_is_gone(laptop: Watched) -> None:
    _asked(laptop)
    laptop.write(SAID_NO, (laptop.vault / QUESTION).read_bytes())
    laptop.move(QUESTION, SAID_YES)
    report = laptop.executor.pass_once()
    assert "both ways" in report.held[CARD]
    assert laptop.state_of() == "HUMAN_DECIDES"
    (laptop.vault / SAID_YES).unlink()
    laptop.executor.pass_once()
    assert laptop.state_of() == "CARDED"
    assert len(laptop.ledger) == 1


def test_a_copied_answer_takes_the_other_copy_with_it(laptop: Watched) -> None:
    _asked(laptop)
    laptop.write(SAID_YES, (laptop.vault / QUESTION).read_bytes())
    laptop.executor.pass_once()
    assert laptop.state_of() == "DONE"
    assert not laptop.exists(QUESTION)
    assert not laptop.exists(SAID_YES)


def test_an_answer_that_comes_twice_changes_nothing(laptop: Watched) -> None:
    _asked(laptop)
    text = (laptop.vault / QUESTION).read_bytes()
    laptop.move(QUESTION, SAID_NO)
    laptop.executor.pass_once()
    laptop.write(SAID_YES, text)
    laptop.executor.pass_once()
    assert laptop.state_of() == "CARDED"
    assert not laptop.exists(SAID_YES)
    assert any("settled already" in p.read_text() for p in (laptop.vault / "Done").rglob("*-q*.md"))


def test_an_own_note_that_is_called_like_a_question_is_left_alone(laptop: Watched) -> None:
    laptop.write("Approved/a question.md", b"which wine?\n")
    laptop.write("Approved/my-question.md", b"which wine?\n")
    report = laptop.executor.pass_once()
    assert laptop.exists("Approved/my-question.md")
    assert "answers no question" in report.held["Approved/my-question.md"]
    assert "not an approval card" in report.refused[0]


# --- one card's trouble is its own ---


def test_a_card_that_cannot_be_worked_on_leaves_the_others_alone(
    laptop: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{TASK}-email-2"
    laptop.card(other)
    laptop.move(PENDING, APPROVED)
    assert move(
        laptop.vault / f"Pending_Approval/email/{other}.md",
        laptop.vault / f"Approved/email/{other}.md",
    )
    laptop.answer = accepted
    real = laptop.executor._preflight.approved

    def fails(row: Any, now: Any) -> Any:
        if row.id == CARD:
            raise OSError("the disk has a bad block here")
        return real(row, now)

    monkeypatch.setattr(laptop.executor._preflight, "approved", fails)
    report = laptop.executor.pass_once()
    assert report.acted == (other,)
    assert "bad block" in report.held[CARD]
    assert report.waiting_until == pytest.approx(5)
    monkeypatch.undo()
    assert laptop.executor.pass_once().acted == (CARD,)


def test_a_send_that_hangs_to_its_deadline_is_in_doubt_and_the_next_card_goes_out(
    laptop: Watched,
) -> None:
    other = f"{TASK}-email-2"
    laptop.card(other)
    laptop.move(PENDING, APPROVED)
    laptop.move(f"Pending_Approval/email/{other}.md", f"Approved/email/{other}.md")

    def answer(arguments: dict[str, Any]) -> Any:
        if len(laptop.ledger) == 1:
            raise TimeoutError("no answer in time")
        return accepted(arguments)

    laptop.answer = answer
    report = laptop.executor.pass_once()
    assert report.acted == (CARD, other)
    assert (laptop.state_of(), laptop.state_of(other)) == ("IN_DOUBT", "DONE")


@pytest.mark.parametrize("how", ["stopped", "taken back"])
def test_what_happens_during_the_look_before_a_call_counts(laptop: Watched, how: str) -> None:
    """The look may take as long as a mailbox takes to answer."""
    _asked(laptop)
    laptop.move(QUESTION, SAID_NO)
    laptop.executor.pass_once()
    laptop.answer = accepted
    look = laptop.probe

    def meanwhile(tool: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        if how == "stopped":
            laptop.write("STOP.md", b"")
        elif laptop.exists(APPROVED):
            laptop.move(APPROVED, PENDING)
        return look(tool, arguments)

    laptop.probe = meanwhile  # type: ignore[method-assign]
    laptop.restart()
    laptop.approve()
    laptop.passes(60)
    assert len(laptop.ledger) == 1, "the first attempt alone"
    if how == "stopped":
        (laptop.vault / "STOP.md").unlink()
        laptop.probe = look  # type: ignore[method-assign]
        laptop.restart()
        laptop.passes(20)
        assert laptop.state_of() == "DONE"
        assert len(laptop.ledger) == 2
    else:
        assert laptop.state_of() == "CARDED"

"""Approvals as people really give them; test_local_executor.py has the plain ones.

What is there: off, renamed, in a subfolder, copied, deleted, edited, pulled back. Here is the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from local_laptop import APPROVED, CARD, DONE, PENDING, REJECTED, TASK, Laptop

from nightdesk.errors import UsageError
from nightdesk.local_agent.folders import make_folders
from nightdesk.local_agent.view import gather
from nightdesk.vault import stopping
from nightdesk.vault.files import move

SECOND = CARD.replace("-email-1", "-email-2")


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Laptop]:
    """With a quiet period of 1 s and a hold of 5 s."""
    laptop = Laptop(tmp_path, quiet=1, hold=5)
    yield laptop
    laptop.close()


def _run(laptop: Laptop, seconds: int = 10) -> list[str]:
    """Passes, a second apart; returns what a person was told."""
    told: list[str] = []
    for _ in range(seconds):
        report = laptop.executor.pass_once()
        told += [*report.notices, *report.refused]
        laptop.reviewer.adopt_pending()
        laptop.later(1)
    return told


def test_a_crash_in_the_hold_begins_the_hold_again_and_sends_once(patient: Laptop) -> None:
    patient.desk()
    patient.approve()
    patient.later(1)
    patient.executor.pass_once()
    patient.later(4.5)
    patient.restart()
    patient.executor.pass_once()
    patient.later(4.5)
    assert patient.executor.pass_once().acted == (), "a full hold after the restart"
    _run(patient)
    assert len(patient.ledger) == 1


def test_pulled_back_while_the_agent_was_off_is_not_sent(patient: Laptop) -> None:
    patient.desk()
    patient.approve()
    patient.later(1)
    patient.executor.pass_once()
    patient.close()
    patient.move(APPROVED, PENDING)
    patient.open()
    patient.executor.recover()
    told = _run(patient)
    assert any("Nothing was sent" in line for line in told)
    assert (patient.ledger, patient.state_of()) == ([], "CARDED")


def test_approved_twice_with_a_change_of_mind_between(patient: Laptop) -> None:
    patient.desk()
    patient.approve()
    _run(patient, 3)
    patient.move(APPROVED, PENDING)
    _run(patient, 3)
    assert "> [!warning] Not sent: it was moved to Pending_Approval/" in patient.read(PENDING)
    patient.move(PENDING, APPROVED)
    _run(patient)
    assert len(patient.ledger) == 1
    assert patient.state_of() == "DONE"


@pytest.mark.parametrize("to", ["Pending_Approval", "Rejected", "Notes", ""])
def test_a_move_out_of_the_folder_within_the_hold_stops_it(patient: Laptop, to: str) -> None:
    """To any place, or deleted: nothing is sent, and the person is told."""
    patient.desk()
    patient.approve()
    _run(patient, 3)
    assert patient.state_of() == "APPROVED"
    if to:
        patient.move(APPROVED, f"{to}/{CARD}.md")
    else:
        (patient.vault / APPROVED).unlink()
    told = _run(patient)
    assert any("in time. Nothing was sent" in line for line in told)
    for _ in range(4):
        patient.executor.notice_deleted(lambda name: False)
        patient.later(2)
    _run(patient, 3)
    assert patient.ledger == []
    expected = "CARDED" if to == "Pending_Approval" else "REJECTED"
    assert patient.state_of() == expected


def test_back_and_forth_fifty_times_ends_where_it_lies(patient: Laptop) -> None:
    patient.desk()
    for _ in range(50):
        patient.move(PENDING, APPROVED)
        patient.executor.pass_once()
        patient.reviewer.adopt_pending()
        patient.later(0.7)
        patient.move(APPROVED, PENDING)
        patient.executor.pass_once()
        patient.reviewer.adopt_pending()
        patient.later(0.7)
    _run(patient)
    assert (patient.ledger, patient.state_of()) == ([], "CARDED")
    patient.move(PENDING, APPROVED)
    _run(patient)
    assert len(patient.ledger) == 1
    assert patient.journal.verify_chain()


def test_deleted_before_it_was_taken(patient: Laptop) -> None:
    patient.desk()
    patient.approve()
    (patient.vault / APPROVED).unlink()
    _run(patient, 3)
    for _ in range(3):
        patient.executor.notice_deleted(lambda name: False)
        patient.later(2)
    assert (patient.ledger, patient.state_of()) == ([], "REJECTED")


def test_a_note_that_is_saved_in_pieces_is_sent_whole(patient: Laptop) -> None:
    """An editor that truncates and writes slowly: no piece is taken for the whole."""
    patient.desk()
    whole = patient.read(PENDING).replace("we paid yesterday", "we pay on Friday")
    patient.move(PENDING, APPROVED)
    patient.executor.pass_once()
    with (patient.vault / APPROVED).open("w", encoding="utf-8") as file:
        for start in range(0, len(whole), 100):
            file.write(whole[start : start + 100])
            file.flush()
            patient.later(0.9)
            patient.executor.pass_once()
    _run(patient)
    ((_, arguments, _),) = patient.ledger
    assert arguments["body"] == "Hi Ada,\n\nwe pay on Friday."


def test_an_editor_that_stops_in_the_middle_sends_nothing_and_says_why(patient: Laptop) -> None:
    patient.desk()
    patient.move(PENDING, APPROVED)
    text = patient.read(APPROVED)
    (patient.vault / APPROVED).write_text(text[: text.index("# Draft") + 20], "utf-8")
    told = _run(patient)
    assert patient.ledger == []
    assert any("Put both lines back" in line for line in told)
    (patient.vault / APPROVED).write_text(text, "utf-8")
    _run(patient)
    assert len(patient.ledger) == 1


def test_a_script_that_rewrites_the_properties_as_obsidian_does(patient: Laptop) -> None:
    """Quotes dropped, order changed, empty ones added, Windows line ends: the same is sent."""
    patient.desk()
    head, _, body = patient.read(PENDING).removeprefix("---\n").partition("---\n")
    lines = [
        line if ": " in line[8:] else line.replace('"', "")  # a text with ": " keeps its quotes
        for line in head.splitlines()
        if not line.startswith("  - ")
    ]
    lines = [f"{line} ada@example.com" if line == "to:" else line for line in lines]
    lines = ["tags:", "aliases: []", *reversed(lines)]
    text = "\r\n".join(["---", *lines, "---", *body.splitlines(), ""])
    (patient.vault / PENDING).write_bytes(text.encode())
    patient.move(PENDING, APPROVED)
    told = _run(patient)
    assert [a["to"] for _, a, _ in patient.ledger] == [["ada@example.com"]], told
    assert patient.ledger[0][1]["in_reply_to"] == "<CAF3@example.com>"


@pytest.mark.parametrize("folder", ["approved", "APPROVED", "Approved "])
def test_a_folder_of_another_spelling_sends_nothing_and_loses_nothing(
    patient: Laptop, folder: str
) -> None:
    patient.desk()
    make_folders(patient.vault)
    patient.move(PENDING, f"{folder}/{CARD}.md")
    [fault] = make_folders(patient.vault)
    assert "not `Approved/`" in fault.what
    for _ in range(4):
        patient.executor.notice_deleted(lambda name: False)
        _run(patient, 2)
    assert (patient.ledger, patient.state_of()) == ([], "CARDED")
    patient.move(f"{folder}/{CARD}.md", APPROVED)
    _run(patient)
    assert len(patient.ledger) == 1


@pytest.mark.parametrize("days", [-400, 2])
def test_approved_with_the_clock_wrong(patient: Laptop, days: int) -> None:
    """The hold is measured by monotonic time; a clock that is set meanwhile shortens nothing."""
    patient.desk()
    patient.moment += timedelta(days=days)
    patient.approve()
    patient.later(1)
    patient.executor.pass_once()
    patient.moment += timedelta(hours=3)
    assert patient.executor.pass_once().acted == ()
    patient.moment -= timedelta(days=days)
    patient.later(5)
    patient.executor.pass_once()
    assert len(patient.ledger) == 1


def test_two_cards_of_one_task_approved_together_are_both_sent_once(patient: Laptop) -> None:
    patient.desk()
    patient.card(SECOND, body="And a second mail.")
    for card in (CARD, SECOND):
        patient.move(f"Pending_Approval/email/{card}.md", f"Approved/email/{card}.md")
    _run(patient)
    assert sorted(action_id for _, _, action_id in patient.ledger) == [CARD, SECOND]
    assert patient.exists(f"Done/2026-11/{TASK}.md")
    assert patient.exists(DONE)


def test_approved_here_and_rejected_there(patient: Laptop) -> None:
    """Two notes of one id in two answers: nothing runs until the person has settled it."""
    patient.desk()
    data = (patient.vault / PENDING).read_bytes()
    patient.approve()
    patient.write(REJECTED, data)
    _run(patient)
    assert patient.ledger == []


# --- the emergency stop ---


@pytest.mark.parametrize(
    "kind", ["note", "other case", "no ending", "folder", "link", "empty link"]
)
def test_whatever_is_called_stop_halts(patient: Laptop, kind: str) -> None:
    patient.desk()
    patient.approve()
    _run(patient, 3)
    name = {"other case": "stop.MD", "no ending": "Stop"}.get(kind, "STOP.md")
    path = patient.vault / name
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            os.symlink(patient.state, path)
        case "empty link":
            os.symlink("nowhere", path)
        case _:
            path.touch()
    told = _run(patient)
    assert [f"{name} lies in the vault" in line for line in told].count(True) == 1
    assert (patient.ledger, patient.state_of()) == ([], "APPROVED")
    view = gather(
        patient.vault, patient.journal, updates=[], troubles=[], health=[], now=patient.moment
    )
    assert view.stopped == (name,)
    assert "because the desk is stopped" in view.approved[0]
    if kind == "folder":
        with pytest.raises(UsageError, match="a folder called STOP"):
            stopping.release(patient.vault)
        path.rmdir()
    else:
        stopping.release(patient.vault)
    _run(patient, 3)
    assert len(patient.ledger) == 1


def test_a_stop_while_others_wait_in_the_queue(patient: Laptop) -> None:
    """It halts before the next call, not after the queue is empty."""
    patient.desk()
    patient.card(SECOND)
    answer = patient.answer

    def stopping_answer(arguments: dict[str, object]) -> object:
        stopping.stop(patient.vault)
        return answer(arguments)

    patient.answer = stopping_answer
    for card in (CARD, SECOND):
        patient.move(f"Pending_Approval/email/{card}.md", f"Approved/email/{card}.md")
    _run(patient)
    assert len(patient.ledger) == 1
    stopping.release(patient.vault)
    patient.answer = answer
    _run(patient)
    assert len(patient.ledger) == 2


def test_a_stopped_card_can_be_taken_back(patient: Laptop) -> None:
    patient.desk()
    patient.approve()
    stopping.stop(patient.vault)
    _run(patient)
    assert move(patient.vault / APPROVED, patient.vault / PENDING)
    _run(patient)
    stopping.release(patient.vault)
    _run(patient)
    assert (patient.ledger, patient.state_of()) == ([], "CARDED")

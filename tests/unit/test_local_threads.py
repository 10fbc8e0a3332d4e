"""The index of conversations, the words about time, and undo from the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_laptop import APPROVED, CARD, DONE, PENDING, START, TASK, Laptop, task_note

from nightdesk.errors import OutcomeUnknown, UsageError
from nightdesk.local_agent.states import Event
from nightdesk.local_agent.threads import Newer, Threads, newer_line, shows
from nightdesk.local_agent.times import on_its_way, until
from nightdesk.local_agent.undo import TooLate, undo
from nightdesk.vault.documents import Task, read_task

OTHER = "2026-11-23-re-77aa01"
SECOND = CARD.replace("-email-1", "-email-2")


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path, hold=5)
    yield laptop
    laptop.close()


def _task(laptop: Laptop) -> Task:
    path = f"In_Progress/cloud/{TASK}.md"
    return read_task((laptop.vault / path).read_bytes(), path)


def _reply(laptop: Laptop, where: str, task: str = OTHER, **fields: Any) -> str:
    path = f"{where}/{task}.md"
    values = {"message_id": f"<{task}@example.com>", "references": ["<CAF3@example.com>"]}
    laptop.write(path, task_note(task, **(values | fields)))
    return path


def test_a_message_is_found_wherever_it_moves_and_when_its_folder_is_old(laptop: Laptop) -> None:
    """A folder that was not changed is not listed again; one that was, is."""
    laptop.task()
    threads = Threads(laptop.vault)
    assert threads.newer(_task(laptop)) == []
    path = _reply(laptop, "Needs_Action/email")
    for target in (f"In_Progress/cloud/{OTHER}.md", f"Done/2026-11/{OTHER}.md", f"Done/{OTHER}.md"):
        for folder in laptop.vault.rglob("*"):
            if folder.is_dir():
                os.utime(folder, (1_700_000_000, folder.stat().st_mtime))
        assert [n.id for n in threads.newer(_task(laptop))] == [OTHER]
        laptop.move(path, target)
        path = target
    (laptop.vault / path).unlink()
    assert threads.newer(_task(laptop)) == []


def test_a_quiet_vault_is_not_read_again(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    laptop.task()
    for number in range(30):
        _reply(laptop, "Done/2026-11", f"2026-11-23-other-{number:06d}", references=[])
    for folder in laptop.vault.rglob("*"):
        if folder.is_dir():
            os.utime(folder, (1_700_000_000, 1_700_000_000))
    threads = Threads(laptop.vault)
    threads.newer(_task(laptop))
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    threads.newer(_task(laptop))
    assert listed == []


def test_two_changes_within_the_clocks_grain_are_both_seen(laptop: Laptop) -> None:
    """A folder that was changed just now is listed again though its time is the same."""
    laptop.task()
    threads, now = Threads(laptop.vault), time.time()
    for count in (1, 2):
        _reply(laptop, "Done/2026-11", f"2026-11-23-re-77aa0{count}")
        os.utime(laptop.vault / "Done/2026-11", (now, now))
        assert len(threads.newer(_task(laptop))) == count


def test_a_broken_note_or_a_link_in_the_thread_is_passed_over(laptop: Laptop) -> None:
    laptop.task()
    laptop.write(
        "Done/2026-11/broken.md", b"---\nmessage_id: <CAF3@example.com>\na: 1\na: 2\n---\n"
    )
    os.symlink(laptop.vault / f"In_Progress/cloud/{TASK}.md", laptop.vault / "Done/2026-11/link.md")
    assert Threads(laptop.vault).newer(_task(laptop)) == []


def test_the_line_names_the_latest_and_how_many() -> None:
    found = [Newer(f"t{n}", START + timedelta(hours=n), "from `ada@example.com`") for n in range(4)]
    line = newer_line(found)
    assert line.startswith("Newer messages: 4, the latest [[t3]] from `ada@example.com`")
    assert shows([f"> [!warning] {line}"], found)
    assert not shows([f"> [!warning] {newer_line(found[:3])}"], found)
    assert not shows([f"> [!warning] {line}"], [*found, Newer("t0b", START, "from `x`")])
    assert not shows([line], found)
    assert newer_line([]) == ""


def test_the_dashboard_says_how_long_a_card_still_waits() -> None:
    def said(**left: float) -> str:
        return until(START + timedelta(**left), START)

    assert until(None, START) == ""
    assert said(hours=30) == " · until 2026-11-24 14:14 UTC"
    assert "expires in 3 h" in said(hours=3.5)
    assert "expires within the hour" in said(minutes=20)
    assert "expires now" in said(minutes=-1)


def test_the_dashboard_says_when_an_approval_runs_and_how_to_stop_it(laptop: Laptop) -> None:
    laptop.desk()
    laptop.approve()
    row = laptop.journal.get(CARD)
    assert row is not None
    said = on_its_way(row, 5, START, stopped=False)
    assert said == "is sent at 08:14:10 UTC; move it out of `Approved/` to stop it"
    late = on_its_way(row, 5, START + timedelta(seconds=6), stopped=False)
    assert late.startswith("is about to be sent")


def _desk(laptop: Laptop) -> Any:
    return SimpleNamespace(vault=laptop.vault, state=laptop.state)


def test_undo_brings_the_card_back_and_nothing_is_sent(laptop: Laptop) -> None:
    """With the agent running: it sees the move while the command waits."""
    laptop.desk()
    laptop.approve()
    assert laptop.state_of() == "APPROVED"
    assert undo(_desk(laptop), CARD[:20], lambda _: laptop.executor.pass_once()) == PENDING
    laptop.later(60)
    laptop.executor.pass_once()
    assert (laptop.ledger, laptop.state_of()) == ([], "CARDED")
    laptop.reviewer.adopt_pending()
    assert "> [!warning] Not sent: it was moved to Pending_Approval/" in laptop.read(PENDING)


def test_undo_after_it_was_sent_says_when(laptop: Laptop) -> None:
    laptop.desk()
    laptop.approve()
    laptop.later(5)
    laptop.executor.pass_once()
    with pytest.raises(TooLate, match="was sent at 2026-11-23T08:14:10Z"):
        undo(_desk(laptop), CARD)
    assert laptop.exists(DONE)


def test_undo_in_doubt_promises_nothing(laptop: Laptop) -> None:
    def lost(arguments: dict[str, Any]) -> Any:
        raise OutcomeUnknown("the line was cut")

    laptop.desk()
    laptop.answer = lost
    laptop.approve()
    laptop.later(5)
    laptop.executor.pass_once()
    assert laptop.exists(APPROVED)
    with pytest.raises(TooLate, match="nobody can know"):
        undo(_desk(laptop), CARD)
    assert laptop.exists(APPROVED)


def test_undo_that_loses_the_race_says_so(laptop: Laptop) -> None:
    """The executor had begun when the file was moved away."""
    laptop.desk()
    laptop.approve()

    def begins(seconds: float) -> None:
        row = laptop.journal.get(CARD)
        assert row is not None
        for event in (Event.CLAIM, Event.INTEND, Event.CONFIRM):
            row = laptop.journal.change(row, event, laptop.moment)

    with pytest.raises(TooLate, match="was sent at"):
        undo(_desk(laptop), CARD, begins)


def test_undo_of_what_is_not_approved(laptop: Laptop) -> None:
    laptop.desk()
    with pytest.raises(UsageError, match="nothing that is approved"):
        undo(_desk(laptop), CARD)
    laptop.card(SECOND)
    for card in (CARD, SECOND):
        laptop.move(f"Pending_Approval/email/{card}.md", f"Approved/{card}.md")
    with pytest.raises(UsageError, match="begins 2 cards"):
        undo(_desk(laptop), TASK)

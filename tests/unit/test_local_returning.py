"""A laptop that comes back: off for a while, a backup's copy, a hub that lies about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from local_laptop import APPROVED, CARD, DONE, PENDING, TASK, Laptop

from nightdesk.errors import HubUnreachable
from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.hub_memory import HubMemory
from nightdesk.local_agent.lookout import LOOK_FIRST
from nightdesk.sync.hub import Heartbeat
from nightdesk.vault.files import move

OTHER = f"{TASK}-email-2"


class HubRef:
    """One ref of a hub: what was put there last, or what a forger puts there."""

    def __init__(self) -> None:
        self.status: dict[str, str] | None = None
        self.there = False
        self.down = False

    def beat(self, status: Mapping[str, str]) -> None:
        if self.down:
            raise HubUnreachable("down")
        self.status, self.there = dict(status), True

    def heartbeat(self, agent: str) -> Heartbeat | None:
        return Heartbeat(agent, 0.0, self.status) if self.there else None


class Away(Laptop):
    """A laptop that knows whether it has reached its hub; `hub` outlives it."""

    hub: HubRef
    sent: set[str]

    def open(self) -> None:
        self.reached = False
        super().open()
        self.memory = HubMemory(self.journal, self.hub, "local")

    def make_executor(self, crash: Any = lambda point: None) -> Executor:
        return Executor(
            self.journal,
            self.vault,
            self.settings,
            self.send,
            self.clock,
            crash,
            ticks=lambda: self.ticks,
            in_touch=lambda: self.reached,
            probe=lambda tool, arguments: {
                "found": arguments["message_id"] in self.sent,
                "where": "the sent mails",
            },
        )

    def sync(self) -> str:
        """What the agent does after a fetch, and its word to the hub afterwards."""
        said: list[str] = []

        def old_copy(why: str) -> None:
            said.append(why)
            self.taken_back = self.executor.take_back(why)

        self.memory.compare(old_copy)
        self.reached = True
        if self.memory.news():
            self.memory.publish()
        return "".join(said)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Away]:
    Away.hub, Away.sent = HubRef(), set()
    laptop = Away(tmp_path / "laptop")
    laptop.desk()
    laptop.executor.pass_once()
    laptop.sync()
    yield laptop
    laptop.close()


def _backup(laptop: Away, tmp_path: Path) -> None:
    laptop.close()
    shutil.copytree(tmp_path / "laptop", tmp_path / "backup", symlinks=True)
    laptop.open()


def _restore(laptop: Away, tmp_path: Path) -> None:
    laptop.close()
    shutil.rmtree(tmp_path / "laptop")
    shutil.copytree(tmp_path / "backup", tmp_path / "laptop", symlinks=True)
    laptop.open()
    laptop.executor.recover()


# --- off for a while ---


def test_what_was_approved_while_it_was_off_waits_for_the_hub_and_says_so(laptop: Away) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    laptop.executor.recover()
    for _ in range(3):
        report = laptop.executor.pass_once()
        assert "waits until the hub was reached once" in report.held[CARD]
    assert laptop.ledger == []
    assert laptop.sync() == ""
    report = laptop.executor.pass_once()
    assert report.acted == (CARD,)
    assert report.held == {}


def test_a_move_that_it_sees_itself_needs_no_hub(laptop: Away) -> None:
    laptop.restart()
    laptop.approve()
    assert len(laptop.ledger) == 1


def test_moved_out_and_back_it_runs_without_the_hub(laptop: Away) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    laptop.executor.recover()
    laptop.executor.pass_once()
    laptop.move(APPROVED, PENDING)
    laptop.executor.pass_once()
    laptop.approve()
    assert len(laptop.ledger) == 1


def test_an_approval_that_waits_for_the_hub_expires_visibly(laptop: Away) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    laptop.executor.recover()
    laptop.executor.pass_once()
    laptop.later(73 * 3600)
    report = laptop.executor.pass_once()
    assert any("expired" in line for line in report.notices)
    assert laptop.state_of() == "EXPIRED"
    assert laptop.ledger == []


# --- an old copy ---


def test_a_backup_of_an_hour_ago_runs_nothing_twice(laptop: Away, tmp_path: Path) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    _backup(laptop, tmp_path)
    laptop.executor.recover()
    laptop.sync()
    laptop.executor.pass_once()
    laptop.sync()
    assert len(laptop.ledger) == 1
    _restore(laptop, tmp_path)
    for _ in range(3):
        laptop.executor.pass_once()
    laptop.journal.set_meta(LOOK_FIRST, "")
    assert laptop.sync() == "the hub remembers entries that it does not have"
    assert laptop.journal.meta(LOOK_FIRST) != ""  # at once: whatever is approved next is suspect
    for _ in range(3):
        laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    assert laptop.state_of() == "CARDED"
    assert not laptop.exists(APPROVED)
    assert "needs a new move" in laptop.read(PENDING)
    assert "Look into the Sent folder" in laptop.read(PENDING)
    assert any("old copy" in line for line in laptop.taken_back.notices)
    Away.sent = {laptop.ledger[0][1]["message_id"]}
    report = laptop.approve()
    assert "gone out already" in report.notices[0]
    assert len(laptop.ledger) == 1
    assert laptop.state_of() == "DONE"


@pytest.mark.parametrize("recorded", [True, False])
def test_an_old_copy_takes_back_what_is_recorded_and_what_only_lies_there(
    laptop: Away, tmp_path: Path, recorded: bool
) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    if recorded:
        laptop.executor.pass_once()  # APPROVED, waits for the hub
        assert laptop.state_of() == "APPROVED"
    laptop.hub.status = {"journal": "999 0123456789abcdef"}
    assert laptop.sync() != ""
    assert laptop.state_of() == "CARDED"
    assert laptop.exists(PENDING)
    assert laptop.ledger == []
    assert laptop.sync() == ""  # said once; the hub has the new word
    laptop.approve()
    assert len(laptop.ledger) == 1  # a new move runs


def test_an_old_copy_beside_which_the_hub_lays_what_was_done_is_finished(laptop: Away) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    laptop.executor.pass_once()
    done = laptop.read(APPROVED).replace('kind: "approval"', 'kind: "approval"\nstatus: "sent"')
    laptop.write(APPROVED.replace(".md", ".conflict-01234567.md"), done.encode())
    laptop.hub.status = {"journal": "999 0123456789abcdef"}
    laptop.sync()
    assert laptop.state_of() == "DONE"
    assert laptop.exists(DONE)
    laptop.executor.pass_once()
    assert laptop.ledger == []


def test_an_old_copy_that_went_on_by_itself_is_noticed_too(laptop: Away, tmp_path: Path) -> None:
    _backup(laptop, tmp_path)
    laptop.approve()
    laptop.sync()
    _restore(laptop, tmp_path)
    for n in range(3, 9):
        laptop.card(f"{TASK}-email-{n}")  # its own entries, more than the hub remembers
    assert laptop.sync() == "the hub remembers entries that it does not have"


def test_a_card_made_after_the_backup_is_shown_again(laptop: Away, tmp_path: Path) -> None:
    _backup(laptop, tmp_path)
    laptop.card(OTHER)
    laptop.sync()
    note = (laptop.vault / f"Pending_Approval/email/{OTHER}.md").read_bytes()
    _restore(laptop, tmp_path)
    laptop.write(f"Approved/email/{OTHER}.md", note)
    laptop.sync()
    laptop.executor.pass_once()
    assert laptop.ledger == []
    assert "needs a new move" in laptop.read(f"Pending_Approval/email/{OTHER}.md")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_while_taking_back_it_is_noticed_again(
    laptop: Away, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    laptop.card(OTHER)
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.move(f"Pending_Approval/email/{OTHER}.md", f"Approved/email/{OTHER}.md")
    laptop.open()
    laptop.executor.pass_once()
    laptop.hub.status = {"journal": "999 0123456789abcdef"}
    changes = 0
    real = laptop.journal.change

    def killed(*args: Any, **kwargs: Any) -> Any:
        nonlocal changes
        if changes == after:
            raise Killed
        changes += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(laptop.journal, "change", killed)
    with pytest.raises(Killed):
        laptop.sync()
    laptop.restart()
    laptop.executor.pass_once()
    assert laptop.ledger == []
    assert laptop.sync() != ""
    assert laptop.exists(PENDING)
    assert laptop.exists(f"Pending_Approval/email/{OTHER}.md")
    laptop.executor.pass_once()
    assert laptop.ledger == []


def test_done_on_the_disk_finishes_a_card_of_an_old_copy(laptop: Away) -> None:
    laptop.move(PENDING, DONE)  # as sync does it when the hub has it in Done/
    laptop.edit(DONE, 'kind: "approval"', 'kind: "approval"\nstatus: "sent"')
    report = laptop.executor.notice_deleted(lambda name: True)
    assert "carried out already" in report.notices[0]
    laptop.executor.pass_once()
    assert laptop.state_of() == "DONE"
    assert laptop.ledger == []


def test_a_card_that_done_says_was_sent_never_runs_and_says_why(laptop: Away) -> None:
    note = laptop.read(PENDING).replace('kind: "approval"', 'kind: "approval"\nstatus: "sent"')
    laptop.write(DONE, note.encode())
    laptop.approve()
    assert laptop.ledger == []
    assert f"'{DONE}' says that it was carried out" in laptop.read(PENDING)
    (laptop.vault / DONE).unlink()
    laptop.approve()
    assert len(laptop.ledger) == 1


def test_a_taking_back_that_failed_is_done_again_before_the_hub_is_told(
    laptop: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop.restart()
    laptop.hub.status = {"journal": "999 0123456789abcdef"}
    with monkeypatch.context() as broken:
        broken.setattr(laptop.executor, "take_back", lambda why: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            laptop.sync()
    assert laptop.hub.status == {"journal": "999 0123456789abcdef"}
    assert laptop.sync() != ""


# --- a hub that lies ---


@pytest.mark.parametrize(
    "word", ["", "x", "0 0", "-1 0123456789abcdef", "1 0123456789abcdef", "9" * 15 + " " + "0" * 16]
)
def test_whatever_a_hub_says_it_makes_nothing_run(laptop: Away, word: str) -> None:
    laptop.close()
    laptop.move(PENDING, APPROVED)
    laptop.open()
    laptop.executor.recover()
    laptop.hub.status = {"journal": word}
    assert laptop.sync() != ""
    laptop.executor.pass_once()
    assert laptop.ledger == []
    assert laptop.exists(PENDING)


def test_a_hub_that_forgot_is_told_again(laptop: Away) -> None:
    laptop.restart()
    laptop.hub.there = False
    assert "forgotten" in laptop.sync()
    assert laptop.hub.there
    assert laptop.sync() == ""
    laptop.restart()
    assert laptop.sync() == ""


def test_a_first_start_has_nothing_to_compare(tmp_path: Path) -> None:
    Away.hub, Away.sent = HubRef(), set()
    laptop = Away(tmp_path / "new")
    assert laptop.sync() == ""
    assert laptop.hub.status == {"state": "well", "journal": f"0 {'0' * 16}"}
    laptop.close()


def test_its_own_word_is_never_a_reason(laptop: Away) -> None:
    assert move(laptop.vault / PENDING, laptop.vault / APPROVED)
    for _ in range(5):
        laptop.executor.pass_once()
        assert laptop.sync() == ""
        laptop.restart()
    assert len(laptop.ledger) == 1

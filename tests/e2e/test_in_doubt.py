"""A mail server that dies amid a mail: looked for, found or asked, and never sent twice."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk import ADA, ME, Desk, wait

from nightdesk.local_agent.demo_mail import read_mailbox
from nightdesk.local_agent.journal import Journal
from nightdesk.vault.layout import Folder, place_of

SERVER = Path(__file__).with_name("mortal_smtp.py")
Start = Callable[[str], None]


@pytest.fixture
def smtp(bare_desk: Desk) -> Iterator[Start]:
    """Starts the laptop's mail server in a mode, always on the same port."""
    running: list[subprocess.Popen[str]] = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bare_desk.smtp_port = free.getsockname()[1]

    def start(mode: str) -> None:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), str(bare_desk.root / "mail"),
             str(bare_desk.smtp_port), mode],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _drafted(desk: Desk) -> str:
    """A mail came, the cloud drafted an answer, and the laptop shows the card."""
    desk.send()
    desk.on("cloud", "run", "--once")
    desk.on("local", "run", "--once")
    [card] = desk.notes("local", Folder.PENDING)
    return place_of(card).stem


def _state(desk: Desk, card: str) -> str:
    with Journal(desk.state("local") / "journal.sqlite") as journal:
        row = journal.get(card)
        return str(row.state) if row else "-"


def _done(desk: Desk, card: str) -> str:
    def look() -> str:
        found = [p for p in desk.notes("local", Folder.DONE) if place_of(p).stem == card]
        return (desk.vault("local") / found[0]).read_text("utf-8") if found else ""

    return wait(look, f"{card} in Done/")


@pytest.mark.parametrize("mode", ["taken", "hangs"])
def test_taken_and_then_cut_it_is_found_among_the_sent_mails(
    bare_desk: Desk, smtp: Start, mode: str
) -> None:
    desk = bare_desk
    smtp(mode)
    desk.set_up()
    toml = desk.config("local").read_text("utf-8")
    desk.config("local").write_text(
        toml.replace("[email]", "[email]\nsmtp_timeout_seconds = 3"), "utf-8"
    )
    card = _drafted(desk)
    with desk.running("local"):
        desk.approve(card)
        done = _done(desk, card)
    assert 'status: "sent"' in done
    assert "Found on" in done
    assert "the sent mails in" in done
    assert len(desk.inbox_of(ADA)) == 1
    assert len(read_mailbox(desk.mail.sent(ME))) == 1
    log = "".join(p.read_text("utf-8") for p in (desk.vault("local") / "Logs").glob("*.md"))
    assert log.count(f"`{card} #1 sent`") == 1
    assert not [p for p in desk.notes("local", Folder.PENDING) if "-question" in p[-14:]]


def test_lost_on_the_way_the_person_is_asked_and_a_new_move_sends_it(
    bare_desk: Desk, smtp: Start
) -> None:
    desk = bare_desk
    smtp("lost")
    desk.set_up(settle_seconds=1.0)
    card = _drafted(desk)
    with desk.running("local"):
        desk.approve(card)
        question = wait(
            lambda: next(
                (p for p in desk.notes("local", Folder.PENDING) if p.endswith("-question.md")), ""
            ),
            "the question",
        )
        text = (desk.vault("local") / question).read_text("utf-8")
        assert "not in the sent mails in" in text
        assert "Look into the Sent folder" in text
        assert desk.inbox_of(ADA) == []
        smtp("lives")
        desk.on("local", "reject", place_of(question).stem)
        wait(lambda: _state(desk, card) == "CARDED", "the card's return")
        assert desk.inbox_of(ADA) == []
        desk.on("local", "approve", card)
        done = _done(desk, card)
    assert "Sent: " in done
    assert len(desk.inbox_of(ADA)) == 1


def test_a_laptop_restored_from_a_backup_sends_nothing_twice(
    bare_desk: Desk, smtp: Start, tmp_path: Path
) -> None:
    desk = bare_desk
    smtp("lives")
    desk.set_up()
    card = _drafted(desk)
    desk.approve(card)
    shutil.copytree(desk.root / "local", tmp_path / "backup", symlinks=True)
    with desk.running("local"):
        _done(desk, card)
        wait(lambda: len(desk.inbox_of(ADA)) == 1, "the mail")
    shutil.rmtree(desk.root / "local")
    shutil.copytree(tmp_path / "backup", desk.root / "local", symlinks=True)
    desk.hub.rename(tmp_path / "away.git")  # first without its hub: it waits, and says why
    with desk.running("local"):
        wait(lambda: "waits until the hub was reached once" in desk.dashboard(), "the reason")
        (tmp_path / "away.git").rename(desk.hub)
        _done(desk, card)
        wait(lambda: "old copy" in desk.dashboard(), "the word on the dashboard")
        wait(lambda: _state(desk, card) == "DONE", "the card's end")
    assert len(desk.inbox_of(ADA)) == 1

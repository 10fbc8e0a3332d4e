"""The whole way with the real daemon: a card with a file is approved, sent, logged, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from desk import ADA, ME, Desk, wait

from nightdesk.local_agent.demo_mail import MailServer
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card
from nightdesk.vault.files import create
from nightdesk.vault.layout import Folder

TASK = "2026-11-24-contract-0a1b2c"
NAME = f"email/{TASK}-email-1.md"
FILE = "Attachments/contract.pdf"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with MailServer(tmp_path / "mail") as mail:
        made = Desk(tmp_path, mail)
        mail.maildir(ME)
        made.set_up(quiet_seconds=0.1, hold_seconds=1.5)
        yield made


def test_what_was_approved_is_sent_and_the_log_says_so(desk: Desk) -> None:
    vault = desk.vault("local")
    create(vault / FILE, b"%PDF as the person saw it")
    with (vault / "Handbook.md").open("a") as handbook:
        handbook.write(f"\n## People\n\n- Ada, {ADA}\n")  # else her address had to be typed
    card = Card(
        id=f"{TASK}-email-1",
        task=TASK,
        zone=Zone.EMAIL,
        created_by="local",
        created=datetime.now(UTC),
        action=EmailSend(to=[ADA], subject="Contract", body="Here it is.", attachments=[FILE]),
    )
    pending, approved = vault / Folder.PENDING / NAME, vault / Folder.APPROVED / NAME
    with desk.running("local"):
        create(pending, card.note())
        wait(lambda: "[!info] Attachment" in pending.read_text("utf-8"), "the card")
        approved.parent.mkdir(parents=True, exist_ok=True)
        pending.rename(approved)
        wait(lambda: '"approved"' in desk.log("local"), "the approval")
        (vault / FILE).write_bytes(b"%PDF that nobody approved")  # during the hold
        [mail] = wait(lambda: desk.inbox_of(ADA), "the mail")
        wait(lambda: not approved.exists(), "Done/")
    [part] = mail.iter_attachments()
    assert part.get_filename() == "contract.pdf"
    assert part.get_content() == b"%PDF as the person saw it"
    assert list((desk.state("local") / "attachments").iterdir()) == []

    [entry] = desk.json("local", "log")
    assert entry["card"] == card.id
    assert any(line.startswith("Attachment: `contract.pdf`, 25 bytes") for line in entry["lines"])
    assert any(f"`Approved/{NAME}`" in line for line in entry["lines"])
    assert "as they were written" in desk.on("local", "log", "verify").stdout
    log = vault / entry["file"]
    log.write_text(log.read_text("utf-8").replace(ADA, "eve@example.com"), "utf-8")
    broken = desk.on("local", "log", "verify", code=5)
    assert "FAULT" in broken.stdout
    assert "the log is not what was written" in broken.stderr
    told = json.loads(desk.on("local", "log", "verify", "--json", code=5).stdout)
    assert told["faults"][0]["was"] == f"- To: `{ADA}`"
    doctor = desk.on("local", "doctor", code=1).stdout
    assert "FAIL  journal and log: 1 faults in the log" in doctor

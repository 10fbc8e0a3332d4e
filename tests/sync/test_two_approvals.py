"""One card, answered on two devices of the owner's; and a stop that comes from another device."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from twovaults import Desk

from nightdesk.config import parse
from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.review import Reviewer
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card
from nightdesk.vault.files import move

NAME = "2026-11-23-hello-3f9a2c-email-1.md"
PENDING, APPROVED, REJECTED = (
    f"{folder}/email/{NAME}" for folder in ("Pending_Approval", "Approved", "Rejected")
)
CARD = Card(
    id=NAME.removesuffix(".md"),
    task="2026-11-23-hello-3f9a2c",
    zone=Zone.EMAIL,
    created_by="local",
    action=EmailSend(to=["ada@example.com"], subject="Hello", body="Hi Ada, as drafted."),
)


class Laptop:
    """The laptop's executor on its vault; what it sends is kept, and its ticks are set by hand."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.vault = desk.local.vault
        self.journal = Journal(desk.root / "private" / "journal.sqlite")
        settings = parse(
            {
                "name": "local",
                "vault": str(self.vault),
                "hub": {"url": "/nowhere"},
                "email": {"address": "me@example.org"},
                "approval": {"quiet_seconds": 0, "hold_seconds": 5},
            },
            "test",
        )
        self.ticks = 0.0
        self.sent: list[str] = []
        self.reviewer = Reviewer(self.journal, self.vault, settings, self._now)
        self.executor = Executor(
            self.journal, self.vault, settings, self._send, self._now, ticks=lambda: self.ticks
        )
        desk.local.open(incoming=self.reviewer.incoming, withhold=self.executor.withhold)

    def close(self) -> None:
        self.executor.close()
        self.journal.close()

    def _now(self) -> datetime:
        return datetime.now(UTC)

    def _send(self, tool: str, arguments: dict[str, Any], action_id: str) -> dict[str, Any]:
        self.sent.append(arguments["body"])
        return {"outcome": "accepted", "recipients": {}, "detail": "250 OK"}

    def passes(self, count: int = 4) -> None:
        """Passes of the agent: execute, sync, and the hold goes by."""
        for _ in range(count):
            self.executor.pass_once()
            self.reviewer.adopt_pending()
            self.desk.settle()
            self.ticks += 3

    def everywhere(self) -> str:
        return "\n".join(
            path.read_text("utf-8") for path in self.vault.rglob("*.md") if path.is_file()
        )


@pytest.fixture
def laptop(devices: Desk) -> Iterator[Laptop]:
    """A card that waits on both devices."""
    laptop = Laptop(devices)
    devices.local.write("Handbook.md", "# Handbook\n\n## People\n\n- Ada, ada@example.com\n")
    devices.local.write(PENDING, CARD.note().decode())
    laptop.reviewer.adopt_pending()
    devices.settle()
    assert (devices.cloud.vault / PENDING).is_file()
    yield laptop
    laptop.close()


def _answer(vault: Any, text: str, to: str) -> None:
    note = (vault / PENDING).read_text("utf-8")
    (vault / PENDING).write_text(note.replace("as drafted", text), "utf-8")
    assert move(vault / PENDING, vault / to)


def test_approved_on_another_device_is_sent_by_the_laptop(laptop: Laptop) -> None:
    _answer(laptop.desk.cloud.vault, "from the tablet", APPROVED)
    laptop.desk.cloud.sync()
    laptop.desk.local.sync()
    laptop.passes()
    assert laptop.sent == ["Hi Ada, from the tablet."]


@pytest.mark.parametrize("recorded", [False, True])
def test_approved_on_both_with_different_texts_is_sent_once(laptop: Laptop, recorded: bool) -> None:
    """One of the two texts goes out, once; the other one is kept beside it, not lost."""
    _answer(laptop.desk.cloud.vault, "from the tablet", APPROVED)
    laptop.desk.cloud.sync()
    _answer(laptop.vault, "from the laptop", APPROVED)
    if recorded:
        laptop.executor.pass_once()
    laptop.passes()
    assert len(laptop.sent) == 1
    both = laptop.everywhere()
    assert "from the tablet" in both
    assert "from the laptop" in both


def test_approved_here_and_rejected_on_another_device_is_not_sent(laptop: Laptop) -> None:
    """Of two answers the careful one counts, while it is in time."""
    assert move(laptop.desk.cloud.vault / PENDING, laptop.desk.cloud.vault / REJECTED)
    laptop.desk.cloud.sync()
    assert move(laptop.vault / PENDING, laptop.vault / APPROVED)
    laptop.executor.pass_once()
    laptop.passes()
    assert laptop.sent == []


@pytest.mark.parametrize("name", ["STOP.md", "stop.md"])
def test_a_stop_from_another_device_halts_and_its_removal_goes_on(
    laptop: Laptop, name: str
) -> None:
    tablet = laptop.desk.cloud
    tablet.write(name, "stop\n")
    tablet.sync()
    laptop.desk.local.sync()
    assert move(laptop.vault / PENDING, laptop.vault / APPROVED)
    laptop.passes()
    assert laptop.sent == []
    (tablet.vault / name).unlink()
    tablet.sync()
    laptop.desk.local.sync()
    laptop.passes()
    assert len(laptop.sent) == 1


def test_the_cloud_can_neither_stop_nor_end_a_stop(desk: Desk) -> None:
    desk.local.write("STOP.md", "stop\n")
    desk.settle()
    desk.seize_cloud()
    (desk.cloud.vault / "STOP.md").unlink()
    desk.cloud.write("Stop", "not its to write\n")
    desk.cloud.sync()
    assert "STOP.md" not in desk.hub_files(), "the attack has reached the hub"
    report = desk.local.sync()
    assert (desk.local.vault / "STOP.md").is_file()
    assert not (desk.local.vault / "Stop").exists()
    assert {refusal.path for refusal in report.refused} >= {"STOP.md"}
    assert "STOP.md" in desk.hub_files()

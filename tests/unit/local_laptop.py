"""A laptop on one disk: vault, journal, reviewer, executor, and a far side that keeps a ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nightdesk.config import Settings, parse
from nightdesk.local_agent.executor import Executor, PassReport, Send
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.review import Reviewer, no_crash
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, Task
from nightdesk.vault.files import create, move
from nightdesk.vault.notes import fence

TASK = "2026-11-23-ada-invoice-question-3f9a2c"
CARD = f"{TASK}-email-1"
PENDING = f"Pending_Approval/email/{CARD}.md"
APPROVED = f"Approved/email/{CARD}.md"
REJECTED = f"Rejected/email/{CARD}.md"
DONE = f"Done/2026-11/{CARD}.md"
START = datetime(2026, 11, 23, 8, 14, 5, tzinfo=UTC)
HANDBOOK = "# Handbook\n\n## Limits\n\n- Sends a day: 100000\n"


def settings_for(vault: Path, *, quiet: float = 0, hold: float = 0) -> Settings:
    return parse(
        {
            "name": "local",
            "vault": str(vault),
            "hub": {"url": "/nowhere"},
            "email": {"address": "me@example.org", "aliases": ["me@example.net"]},
            "approval": {"quiet_seconds": quiet, "hold_seconds": hold},
        },
        "test",
    )


def task_note(task: str = TASK, **fields: Any) -> bytes:
    values: dict[str, Any] = {
        "id": task,
        "zone": "email",
        "from": "Ada <ada@example.com>",
        "subject": "Invoice question",
        "message_id": "<CAF3@example.com>",
        "body": fence("Hello,\nwhen do you pay?\nAda"),
    }
    return Task.model_validate(values | fields).note()


def proposal(card: str = CARD, task: str = TASK, **fields: Any) -> bytes:
    values: dict[str, Any] = {
        "to": ["ada@example.com"],
        "subject": "Re: Invoice question",
        "in_reply_to": "<CAF3@example.com>",
        # Another card says something else: the same text twice would have to be confirmed.
        "body": "Hi Ada,\n\nwe paid yesterday." + ("" if card == CARD else f"\n\n({card})"),
    }
    return Card(
        id=card,
        task=task,
        zone=Zone.EMAIL,
        created_by="cloud",
        created=START,
        model="outline",
        action=EmailSend.model_validate(values | fields),
        original="what the cloud says the mail was",
    ).note()


def accepted(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "outcome": "accepted",
        "message_id": arguments["message_id"],
        "recipients": {a: {"outcome": "accepted", "detail": "250 OK"} for a in arguments["to"]},
        "detail": "250 OK",
    }


class Laptop:
    def __init__(self, root: Path, *, quiet: float = 0, hold: float = 0) -> None:
        (root / "vault").mkdir(parents=True)
        (root / "vault" / "Handbook.md").write_text(HANDBOOK, "utf-8")
        self.reopen(root, quiet=quiet, hold=hold)

    def reopen(self, root: Path, *, quiet: float = 0, hold: float = 0) -> None:
        """Start on a vault and a journal that are there."""
        self.vault = root / "vault"
        self.state = root / "state"
        self.settings = settings_for(self.vault, quiet=quiet, hold=hold)
        self.ledger: list[tuple[str, dict[str, Any], str]] = []
        self.answer: Callable[[dict[str, Any]], Any] = accepted
        self.send: Send = self._send
        self.moment = START
        self.ticks = 1000.0
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.state / "journal.sqlite")
        self.reviewer = self.make_reviewer()
        self.executor = self.make_executor()

    def make_reviewer(self, crash: Callable[[str], None] = no_crash) -> Reviewer:
        return Reviewer(self.journal, self.vault, self.settings, self.clock, crash)

    def make_executor(self, crash: Callable[[str], None] = no_crash) -> Executor:
        return Executor(
            self.journal,
            self.vault,
            self.settings,
            self.send,
            self.clock,
            crash,
            ticks=lambda: self.ticks,
        )

    def close(self) -> None:
        self.executor.close()
        self.journal.close()

    def restart(self) -> PassReport:
        self.close()
        self.open()
        return self.executor.recover()

    def clock(self) -> datetime:
        return self.moment

    def later(self, seconds: float) -> None:
        self.ticks += seconds
        self.moment += timedelta(seconds=seconds)

    def _send(self, tool: str, arguments: dict[str, Any], action_id: str) -> Any:
        self.ledger.append((tool, arguments, action_id))
        return self.answer(arguments)

    # --- what the cloud and the person do ---

    def write(self, path: str, data: bytes) -> None:
        create(self.vault / path, data)

    def read(self, path: str) -> str:
        return (self.vault / path).read_text("utf-8")

    def exists(self, path: str) -> bool:
        return (self.vault / path).is_file()

    def move(self, source: str, target: str) -> None:
        assert move(self.vault / source, self.vault / target), (source, target)

    def edit(self, path: str, before: str, after: str) -> None:
        text = self.read(path)
        assert before in text
        (self.vault / path).write_text(text.replace(before, after), "utf-8")

    def task(self, task: str = TASK, where: str = "In_Progress/cloud") -> None:
        self.write(f"{where}/{task}.md", task_note(task))

    def card(self, card: str = CARD, task: str = TASK, **fields: Any) -> str:
        """A proposal arrives from the hub and is reviewed, as sync does it."""
        path = f"Pending_Approval/email/{card}.md"
        written = self.reviewer.incoming(path, proposal(card, task, **fields))
        assert written is not None
        self.write(path, written)
        return path

    def desk(self) -> None:
        self.task()
        self.card()

    def approve(self) -> PassReport:
        self.move(PENDING, APPROVED)
        return self.executor.pass_once()

    def state_of(self, card: str = CARD) -> str:
        row = self.journal.get(card)
        return str(row.state) if row else "-"

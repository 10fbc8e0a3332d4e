"""A laptop with its real agent, a hub on the same disk, and a history of answered cards."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from farside import FarSide
from local_laptop import HANDBOOK, proposal, task_note

from nightdesk.local_agent.agent import LocalAgent
from nightdesk.local_agent.states import Event
from nightdesk.policy import Role
from nightdesk.runtime.command import open_desk
from nightdesk.sync.engine import create_root
from nightdesk.vault.files import create

_NUMBERS = itertools.count(1)
JOURNAL = "journal.sqlite"


class Office:
    """The laptop; `backups` are copies of its journal, taken after each answer."""

    def __init__(self, root: Path, far_side: FarSide) -> None:
        self.root, self.far_side = root, far_side
        self.vault, self.hub = root / "laptop/vault", root / "hub.git"
        self.config = root / "laptop/local.toml"
        self.state = root / "laptop/local.toml.state"
        self.offset = timedelta()
        self.mark = f"{os.getpid()}.{next(_NUMBERS)}.r"
        self.cards: list[str] = []
        self.backups: dict[str, bytes] = {}
        create(root / "template/Handbook.md", HANDBOOK.encode())
        create_root(self.vault, str(self.hub), self.state, "local", root / "template")
        self.config.write_text(
            f'name = "local"\nvault = "{self.vault}"\n[hub]\nurl = "{self.hub}"\n'
            "[approval]\nquiet_seconds = 0\nhold_seconds = 0\n"
            f'[email]\naddress = "me@example.org"\nsmtp = "127.0.0.1:{far_side.port}"\n'
        )
        self.agent: LocalAgent | None = None

    # --- the agent ---

    def open(self) -> LocalAgent:
        if self.agent is None:
            desk = open_desk(Role.LOCAL, self.config)
            self.agent = LocalAgent(desk, lambda: datetime.now(UTC) + self.offset)
            self.agent.open()
        return self.agent

    def close(self) -> None:
        if self.agent:
            self.agent.close()
            self.agent = None

    def passes(self, number: int = 2) -> None:
        for _ in range(number):
            self.open().one_pass()

    # --- its disk ---

    def save(self, name: str) -> None:
        """Copy the whole laptop, vault and state, as a backup does."""
        self.close()
        shutil.copytree(self.root / "laptop", self.root / name, symlinks=True)

    def restore(self, name: str) -> None:
        """Bring a copy back; the hub stays as it is."""
        self.close()
        shutil.rmtree(self.root / "laptop")
        shutil.copytree(self.root / name, self.root / "laptop", symlinks=True)

    def save_journal(self, name: str) -> None:
        with sqlite3.connect(self.state / JOURNAL) as source, sqlite3.connect(":memory:") as copy:
            source.backup(copy)
            self.backups[name] = copy.serialize()
        source.close()
        copy.close()

    def restore_journal(self, name: str) -> None:
        """Only the journal comes back from a copy."""
        self.close()
        for suffix in ("-wal", "-shm"):
            (self.state / f"{JOURNAL}{suffix}").unlink(missing_ok=True)
        (self.state / JOURNAL).write_bytes(self.backups[name])

    # --- the far side ---

    def address(self, manner: str, number: int) -> str:
        return f"{manner}.{self.mark}{number}@example.com"

    def effects(self) -> list[str]:
        """What the far side took from this laptop, sorted."""
        return sorted(effect.to for effect in self.far_side.taken() if self.mark in effect.to)

    # --- cloud and person ---

    def draft(self, manner: str = "plain") -> str:
        """The cloud's card for a new task, shown to the person."""
        number = len(self.cards) + 1
        task = f"2026-11-23-replayed-{number:06x}"
        card = f"{task}-email-1"
        create(self.vault / f"In_Progress/cloud/{task}.md", task_note(task))
        create(
            self.vault / f"Pending_Approval/email/{card}.md",
            proposal(
                card, task, to=[self.address(manner, number)], body=f"This is draft {number}."
            ),
        )
        self.cards.append(card)
        self.passes(1)
        return card

    def find(self, name: str, folder: str = "Pending_Approval") -> Path:
        [path] = (self.vault / folder).rglob(f"{name}.md")
        return path

    def move(self, name: str, folder: str, rename: str = "") -> None:
        """The person moves a note and the agent looks."""
        source = self.find(name)
        target = self.vault / folder / (rename or f"{name}.md")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        self.passes()

    def versions(self) -> dict[bytes, str]:
        """Every version of every card and question that any git object here holds -> its id."""
        found: dict[bytes, str] = {}
        for repository in (self.hub, self.vault / ".git"):
            listed = _git(repository, "cat-file", "--batch-all-objects", "--batch-check")
            for row in listed.decode().splitlines():
                oid, kind, _ = row.split()
                data = _git(repository, "cat-file", "blob", oid) if kind == "blob" else b""
                for card in self.cards:
                    if f'id: "{card}'.encode() in data and b"\nkind: " in data:
                        found[data] = data.split(b'"', 2)[1].decode()
        return found


def _git(repository: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", "--git-dir", str(repository), *arguments], check=True, capture_output=True
    ).stdout


def live_through(office: Office) -> None:
    """A dozen cards, each answered or ended in another way; none is open afterwards."""

    def edited(card: str) -> None:
        path = office.find(card)
        path.write_text(path.read_text("utf-8").replace("This is", "I wrote"), "utf-8")
        office.move(card, "Approved")

    def feedback(card: str) -> None:
        path = office.find(card)
        path.write_text(path.read_text("utf-8") + "\n# Feedback\nShorter, please.\n", "utf-8")
        office.move(card, "Rejected")

    def went_out(card: str) -> None:
        office.move(card, "Approved")
        office.move(f"{card}-question", "Approved")

    def did_not(card: str) -> None:
        office.move(card, "Approved")
        office.move(f"{card}-question", "Rejected")
        office.move(card, "Approved")

    def twice(card: str) -> None:
        office.move(card, "Approved")
        office.move(card, "Approved")

    def superseded(card: str) -> None:
        journal = office.open().journal
        row = journal.get(card)
        assert row
        journal.change(row, Event.SUPERSEDE, datetime.now(UTC))
        office.find(card).unlink()

    def expired(card: str) -> None:
        office.offset = timedelta(days=4)
        office.passes()
        office.offset = timedelta()

    steps: list[tuple[str, str, Callable[[str], None]]] = [
        ("sent", "plain", lambda card: office.move(card, "Approved")),
        ("sent from a subfolder", "plain", lambda card: office.move(card, "Approved/mine/now")),
        ("sent under another name", "plain", lambda card: office.move(card, "Approved", "yes.md")),
        ("edited, sent", "plain", edited),
        ("rejected", "plain", lambda card: office.move(card, "Rejected")),
        ("rejected with feedback", "plain", feedback),
        ("in doubt, it went out", "cut", went_out),
        ("in doubt, it did not", "lost-once", did_not),
        ("refused, sent", "refused-once", twice),
        ("superseded", "plain", superseded),
        ("deleted", "plain", lambda card: office.find(card).unlink()),
        ("expired", "plain", expired),
    ]
    for name, manner, answer in steps:
        card = office.draft(manner)
        office.save_journal(f"before: {name}")
        answer(card)
        office.passes()
        office.save_journal(f"after: {name}")

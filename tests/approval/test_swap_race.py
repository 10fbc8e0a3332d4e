"""A card is rewritten a thousand times a second while it is approved, held and sent.

What is sent must be what was recorded at the approval, to the byte, by the far side's own record;
never a mixture of two versions, never what only a link leads to, and never twice.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from farside import FarSide
from life import now
from local_laptop import HANDBOOK, proposal, task_note
from swapper import EVIL, QUIET, VERSION
from sweeper import LONG

from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.review import Reviewer
from nightdesk.local_agent.sending import Sender
from nightdesk.local_agent.states import State
from nightdesk.policy import Role
from nightdesk.runtime.command import open_desk
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.files import create

APPROVALS = 1000 if LONG else 150
MANNERS = {"in place": 0.4, "replace": 0.4, "symlink": 0.1, "hardlink": 0.1}
"""How the file is swapped, and the part of the approvals that are tried so."""

WAVE = 3
BODY = "".join(f"line {n} of version {VERSION.decode()}\n" for n in range(400))
"""Some pages long, so that a read can see the half of a write."""


class Race:
    """One desk on which many cards are approved in waves, in this process."""

    def __init__(self, root: Path, far_side: FarSide) -> None:
        self.root, self.far_side = root, far_side
        self.vault = root / "desk/vault"
        self.vault.mkdir(parents=True)
        (self.vault / "Handbook.md").write_text(HANDBOOK)
        (root / "local.toml").write_text(
            f'name = "local"\nvault = "{self.vault}"\n[hub]\nurl = "{root}/hub.git"\n'
            f"[approval]\nquiet_seconds = {QUIET}\nhold_seconds = {QUIET}\n"
            '[email]\naddress = "me@example.org"\n'
            f'smtp = "127.0.0.1:{far_side.port}"\n'
        )
        desk = open_desk(Role.LOCAL, root / "local.toml")
        self.journal = Journal(desk.state / "journal.sqlite")
        self.sender = Sender(desk)
        make = (self.journal, self.vault, desk.settings)
        self.reviewer = Reviewer(*make, now)
        self.executor = Executor(*make, self.sender, now)
        self.executor.recover()
        self.count = self.while_swapped = self.writes = 0
        self.seconds = 0.0

    def close(self) -> None:
        self.executor.close()
        self.sender.close()
        self.journal.close()

    def address(self, card: str) -> str:
        return f"plain.{os.getpid()}.{card.split('-')[4]}@example.com"

    def cards(self, number: int) -> list[str]:
        made = []
        for _ in range(number):
            self.count += 1
            task = f"2026-11-23-swapped-{self.count:06x}"
            card = f"{task}-email-1"
            mail = f"<{task}@example.com>"
            create(self.vault / f"In_Progress/cloud/{task}.md", task_note(task, message_id=mail))
            subject = f"Version {VERSION.decode()}"
            to = [self.address(card)]
            note = proposal(card, task, to=to, subject=subject, body=BODY, in_reply_to=mail)
            create(self.vault / f"Pending_Approval/email/{card}.md", note)
            made.append(card)
        assert set(self.reviewer.adopt_pending()) == set(made)
        for card in made:
            shown = (self.vault / f"Pending_Approval/email/{card}.md").read_bytes()
            create(self.root / f"evil/{card}.md", shown.replace(VERSION, EVIL))
        return made

    def approve(self, cards: list[str]) -> list[Path]:
        (self.vault / "Approved/email").mkdir(parents=True, exist_ok=True)
        targets = [self.vault / f"Approved/email/{card}.md" for card in cards]
        for target in targets:
            os.rename(self.vault / "Pending_Approval/email" / target.name, target)
        return targets

    def wave(self, swapper: subprocess.Popen[str], manner: str) -> None:
        """Some approvals while their files are swapped; then in peace, until all is done."""
        assert swapper.stdin
        assert swapper.stdout
        cards = self.cards(WAVE)
        targets = self.approve(cards)
        swapper.stdin.write(json.dumps([str(target) for target in targets]) + "\n")
        swapper.stdin.flush()
        end = time.monotonic() + 2
        while time.monotonic() < end and self.unsent(cards):
            self.executor.pass_once()
        self.while_swapped += len(cards) - len(self.unsent(cards))
        swapper.stdin.write("\n")
        swapper.stdin.flush()
        writes, seconds = json.loads(swapper.stdout.readline())
        self.writes += writes
        self.seconds += seconds
        for target in targets:
            if target.is_symlink() or (target.exists() and target.stat().st_nlink > 1):
                os.replace(self.journal_copy(target), target)
        end = time.monotonic() + 20
        while self.journal.rows(set(State) - {State.DONE}) and time.monotonic() < end:
            for path in (self.vault / "Pending_Approval/email").glob("*.md"):  # taken for gone
                os.rename(path, self.vault / "Approved/email" / path.name)
            self.executor.pass_once()
        for card in cards:
            self.check(card, in_place=manner == "in place")

    def journal_copy(self, target: Path) -> Path:
        """The card as it was written first, as a file beside the vault."""
        row = self.journal.get(target.stem)
        assert row
        copy = self.root / "again.md"
        copy.write_bytes(row.card)
        return copy

    def unsent(self, cards: list[str]) -> list[str]:
        sent = {State.CONFIRMED, State.DONE}
        return [c for c in cards if (row := self.journal.get(c)) is None or row.state not in sent]

    def check(self, card: str, *, in_place: bool) -> None:
        row = self.journal.get(card)
        assert row
        assert row.state is State.DONE, row
        [effect] = self.far_side.taken(self.address(card))
        versions = set(re.findall(r"version (\d{6})", effect.body))
        assert len(versions) == 1, f"a mixture was sent: {versions}"
        [version] = versions
        assert effect.subject == f"Version {version}"
        assert version != EVIL.decode(), "what a link leads to was sent"
        details = [event["detail"] for event in self.journal.events(card)]
        recorded = [d["digest"] for d in details if d.get("event") in {"approve", "edit"}]
        sent = EmailSend.model_validate(
            {
                "to": [effect.to],
                "subject": effect.subject,
                "in_reply_to": f"<{row.task}@example.com>",
                "body": effect.body.strip("\n"),
            }
        )
        assert sent.digest() == recorded[-1] == row.digest, (card, version)
        assert effect.message_id == row.message_id
        [done] = (self.vault / "Done").rglob(f"{card}.md")
        if not in_place:  # whoever has a file open writes into it wherever it is moved
            assert set(re.findall(r"version (\d{6})", done.read_text("utf-8"))) == versions


@contextmanager
def swapping(manner: str) -> Iterator[subprocess.Popen[str]]:
    program = str(Path(__file__).with_name("swapper.py"))
    with subprocess.Popen(
        [sys.executable, program, manner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.mark.timeout(1200 if LONG else 120)
def test_what_was_recorded_is_what_is_sent(memory: Path, far_side: FarSide) -> None:
    race = Race(memory, far_side)
    try:
        for manner, part in MANNERS.items():
            before = race.while_swapped, race.writes, race.seconds
            waves = math.ceil(APPROVALS * part / WAVE)
            with swapping(manner) as swapper:
                for _ in range(waves):
                    race.wave(swapper, manner)
            rate = (race.writes - before[1]) / (race.seconds - before[2])
            during = race.while_swapped - before[0]
            print(f"{manner}: {waves * WAVE}, {during} sent meanwhile, {rate:.0f} swaps a second")
        assert race.count >= APPROVALS
        assert race.while_swapped > APPROVALS // 5, "the race was not run: nothing was sent in it"
    finally:
        race.close()

"""One desk for one trial, and the judge: what the far side took, and what the folders show."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from farside import FarSide
from killer import Fault, Killer
from kinds import Kind
from local_laptop import HANDBOOK

from nightdesk.local_agent.journal import Journal
from nightdesk.sync.engine import create_root
from nightdesk.vault.files import create
from nightdesk.vault.notes import parse_note

_NUMBERS = itertools.count(1)
_FOLDERS = ("Pending_Approval", "Approved", "Rejected")


@dataclass(frozen=True)
class Place:
    """Where a card stands, by what a person sees.

    Attributes:
        what: "sent", "back" (before the person again), "asked", "new" (never approved), or a
            description of something that must not be.
        reason: what the card says about why it came back.
    """

    what: str
    reason: str = ""


class Trial:
    """A desk with one proposal of a kind, on its own folder; the person approves it.

    Args:
        manner: how the far side takes it, see `farside`.
        hub: with a hub on this disk.
    """

    def __init__(
        self,
        folder: Path,
        killer: Killer,
        far_side: FarSide,
        kind: Kind,
        manner: str = "plain",
        *,
        hub: bool = False,
    ) -> None:
        number = next(_NUMBERS)
        self.kind, self.killer, self.far_side = kind, killer, far_side
        self.root = folder / f"{number}"
        self.vault = self.root / "vault"
        self.state = self.root / "local.toml.state"
        self.address = f"{manner}.{os.getpid()}.{number}@example.com"
        self.task = f"2026-11-23-trial-{number:06x}"
        self.card = f"{self.task}-{kind.suffix}"
        self.pending = f"Pending_Approval/{kind.zone}/{self.card}.md"
        self.hub = self.root / "hub.git"
        if hub:
            template = self.root / "template"
            create(template / "Handbook.md", HANDBOOK.encode())
            create_root(self.vault, str(self.hub), self.state, "local", template)
        task = kind.task(self.task, self.address)
        create(self.vault / f"In_Progress/cloud/{self.task}.md", task)
        create(self.vault / self.pending, kind.card(self.card, self.task, self.address))
        (self.root / "local.toml").write_text(
            f'name = "local"\nvault = "{self.vault}"\n[hub]\nurl = "{self.hub}"\n'
            "[approval]\nquiet_seconds = 0\nhold_seconds = 0\n" + kind.settings(far_side)
        )

    @property
    def effects(self) -> int:
        """How often it happened outside."""
        return self.kind.effects(self.far_side, self.address)

    def live(self, **fault: str) -> dict[str, object]:
        """One life of the executor, with a fault in it if one is named."""
        return self.killer(Fault(str(self.root), **fault))

    def place(self) -> Place:
        """Where the card stands."""
        lying = [p for folder in _FOLDERS for p in sorted((self.vault / folder).rglob("*.md"))]
        done = [
            p for p in (self.vault / "Done").rglob(f"{self.card}*.md") if "-quest" not in p.name
        ]
        questions = [p for p in lying if p.stem.startswith(f"{self.card}-question")]
        cards = [p for p in lying if p not in questions]
        if len(questions) == 1 and len(done) == 0:
            return Place("asked")
        if (
            done
            and not lying
            and [parse_note(p.read_bytes()).get("status") for p in done] == ["sent"]
        ):
            return Place("sent")
        if len(cards) == 1 and not questions and not done and "Pending_Approval" in cards[0].parts:
            lines = cards[0].read_text("utf-8").splitlines()
            failure = [line for line in lines if line.startswith("> [!failure]")]
            return Place("back", failure[0]) if failure else Place("new")
        return Place(f"lies at {[str(p.relative_to(self.vault)) for p in [*lying, *done]]}")

    def judge(self, what: str) -> list[str]:
        """Start again, let the person answer truthfully, and see that it happened exactly once.

        Returns:
            Where the card stood after each life.
        """
        seen: list[str] = []
        for _ in range(4):
            again = self.live()
            assert again["code"] == 0, (what, seen, again)
            where, effects = self.place(), self.effects
            seen.append(where.what)
            assert effects <= 1, (what, seen, "it happened twice")
            assert where.what in {"sent", "back", "asked"}, (what, seen, where)
            if where.what == "sent":
                break
            if where.what == "back":
                assert effects == 0, (what, seen, "it comes back although it happened")
                self._move(self.vault / self.pending, "Approved")
            else:
                assert not self.kind.probe or effects == 0, (what, "asked, though it can be probed")
                [question] = (self.vault / "Pending_Approval").rglob(f"{self.card}-question*.md")
                self._move(question, "Approved" if effects else "Rejected")
        assert (seen[-1], self.effects) == ("sent", 1), (what, seen)
        self._all_is_tidy(what)
        return seen

    def _move(self, path: Path, folder: str) -> None:
        target = self.vault / folder / self.kind.zone / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, target)

    def _all_is_tidy(self, what: str) -> None:
        with Journal(self.state / "journal.sqlite") as journal:
            journal.verify_chain()
            row = journal.get(self.card)
        assert row, what
        assert (row.state, row.action) == ("DONE", self.kind.name), (what, row)
        logs = "".join(p.read_text("utf-8") for p in (self.vault / "Logs").glob("*.md"))
        assert logs.count(f"#{row.attempt} sent`") == 1, (what, logs)
        assert len(list((self.vault / "Done").rglob(f"{self.task}.md"))) == 1, what

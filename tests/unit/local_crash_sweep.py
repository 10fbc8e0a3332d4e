"""Kills a laptop's process at every step and prints what the far side saw; run as a script.

Each life is a forked child that ends itself with SIGKILL, so nothing is flushed or cleaned.
The far side is a ledger file that only the sending callable appends to. Every line of output
is one case: {"at", "killed", "ledger", "state", "after": {...}}.

    python local_crash_sweep.py FOLDER SCENARIO PLAN

FOLDER is empty. SCENARIO is a key of ANSWERS. PLAN is "steps" (every system call and commit)
or "points" (each named crash point).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_laptop import APPROVED, CARD, PENDING, REJECTED, START, Laptop, accepted, proposal

from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.log_check import verify
from nightdesk.vault import files

POINTS = ("K0", "K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8", "K9", "K10", "K11", "K12")


def _lost(arguments: dict[str, Any]) -> Any:
    raise ConnectionResetError("cut after the last byte")


ANSWERS: dict[str, tuple[bool, Callable[[dict[str, Any]], Any]]] = {
    "accepted": (True, accepted),
    "refused": (False, lambda a: {"outcome": "refused", "detail": "550 no"}),
    "lost": (True, _lost),
}
"""What the far side does: whether it keeps the message, and what it answers."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """Counts system calls and commits, and ends the process before the n-th."""

    def __init__(self, fatal: int) -> None:
        self.left = fatal

    def wrap(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                die()
            return real(*args, **kwargs)

        setattr(owner, name, counted)

    def install(self) -> None:
        for name in ("fsync", "link", "unlink", "mkdir", "open"):
            self.wrap(os, name)
        self.wrap(files, "_renameat2")
        for name in ("add", "change", "note", "refuse", "set_meta", "_writing"):
            self.wrap(Journal, name)


class Case:
    def __init__(self, root: Path, scenario: str) -> None:
        self.root = root
        self.keeps, self.answer = ANSWERS[scenario]
        self.ledger = root / "ledger"

    def child(self, life: Callable[[Laptop, Callable[[str], None]], None], fatal: object) -> bool:
        """Run one life; returns whether it was killed."""
        pid = os.fork()
        if pid == 0:
            try:
                self._live(life, fatal)
                os._exit(0)
            except BaseException as e:  # noqa: BLE001 - the parent reports it
                print(json.dumps({"at": fatal, "error": repr(e)}), flush=True)
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit(1)
        return os.WIFSIGNALED(status)

    def _live(self, life: Callable[[Laptop, Callable[[str], None]], None], fatal: object) -> None:
        def crash(point: str) -> None:
            if point == fatal:
                die()

        laptop = Laptop.__new__(Laptop)
        laptop.reopen(self.root)

        def send(tool: str, arguments: dict[str, Any], action_id: str) -> Any:
            if self.keeps:
                with self.ledger.open("a") as file:
                    file.write(f"{action_id}\n")
                    file.flush()
                    os.fsync(file.fileno())
            crash("K8")
            return self.answer(arguments)

        laptop.send = send
        if isinstance(fatal, int):
            Steps(fatal).install()
        life(laptop, crash)

    def run(self, fatal: object) -> dict[str, Any]:
        """One case: adopt, approve, be killed, start again, answer what is asked."""
        first = Laptop(self.root)
        first.task()
        first.write(PENDING, proposal())
        first.close()
        killed = self.child(_adopt, fatal)
        if killed:
            self.child(_adopt, None)
        if not self._exists(PENDING):
            return {"at": fatal, "lost": "the card"}
        (self.root / "vault/Approved/email").mkdir(parents=True)
        os.rename(self.root / "vault" / PENDING, self.root / "vault" / APPROVED)
        if not killed or isinstance(fatal, int):
            killed = self.child(_pass, fatal) or killed
        report: dict[str, Any] = {"at": fatal, "killed": killed}
        self.child(_pass, fatal)  # it may die at the same step of the new life too
        self.child(_pass, None)
        report |= {"ledger": self._sent(), "state": self._state()}
        report["after"] = self._answered()
        return report

    def _answered(self) -> dict[str, Any]:
        """The person answers the question truthfully and approves again what came back."""
        vault = self.root / "vault"
        for question in list((vault / "Pending_Approval").rglob(f"{CARD}-question*.md")):
            went_out = self._sent() > 0
            target = vault / ("Approved" if went_out else "Rejected") / question.name
            target.parent.mkdir(exist_ok=True)
            os.rename(question, target)
            self.child(_pass, None)
        self.keeps, self.answer = ANSWERS["accepted"]
        if self._exists(PENDING):
            os.rename(vault / PENDING, vault / APPROVED)
            self.child(_pass, None)
        done = [p for p in (vault / "Done").rglob("*.md") if "-question" not in p.stem[len(CARD) :]]
        left = [
            str(p.relative_to(vault))
            for folder in (PENDING, APPROVED, REJECTED)
            for p in (vault / folder.split("/")[0]).rglob("*.md")
        ]
        logs = "".join(p.read_text() for p in (vault / "Logs").glob("*.md"))
        return {
            "ledger": self._sent(),
            "state": self._state(),
            "done": len(done),
            "left": left,
            "faults": self._faults(),
            "logged": logs.count("sent`\n") - logs.count("not sent`\n"),
        }

    def _faults(self) -> list[str]:
        with Journal(self.root / "state/journal.sqlite") as journal:
            report = verify(self.root / "vault", journal, START)
        return [*report.notes, *(fault.what for fault in report.faults)]

    def _exists(self, path: str) -> bool:
        return (self.root / "vault" / path).exists()

    def _sent(self) -> int:
        return len(self.ledger.read_text().splitlines()) if self.ledger.exists() else 0

    def _state(self) -> str:
        with Journal(self.root / "state/journal.sqlite") as journal:
            journal.verify_chain()
            row = journal.get(CARD)
        return str(row.state) if row else "-"


def _adopt(laptop: Laptop, crash: Callable[[str], None]) -> None:
    laptop.make_reviewer(crash).adopt_pending()


def _pass(laptop: Laptop, crash: Callable[[str], None]) -> None:
    executor = laptop.make_executor(crash)
    executor.recover()
    laptop.make_reviewer().adopt_pending()
    executor.pass_once()
    executor.pass_once()


def main(folder: Path, scenario: str, plan: str) -> None:
    cases = POINTS if plan == "points" else range(1, 1000)
    for fatal in cases:
        case = Case(folder / str(fatal), scenario)
        report = case.run(fatal)
        print(json.dumps(report), flush=True)
        if plan == "steps" and not report.get("killed"):
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])

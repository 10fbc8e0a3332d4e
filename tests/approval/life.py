"""One life of the laptop's executor as a process, over a prepared desk and a real far side.

It does what `agent-local run` does between two signals: settle what an earlier life left, review,
let the person move the card, pass, until nothing waits any more; with a hub only where the desk
has one.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nightdesk.errors import NightdeskError
from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.review import Reviewer, no_crash
from nightdesk.local_agent.sending import Sender
from nightdesk.local_agent.states import State
from nightdesk.policy import Role
from nightdesk.runtime.command import Desk, open_desk
from nightdesk.runtime.desk import guard_for, trust_for
from nightdesk.sync.engine import Engine

PASSES = 12


@dataclass
class Said:
    """What a person would have been told in this life."""

    troubles: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    rest: bool = False


def live(root: Path, crash: Callable[[str], None] = no_crash) -> Said:
    """One life, until nothing waits or it has passed `PASSES` times."""
    said = Said()
    for _ in range(PASSES):
        try:
            _open_and_pass(root, crash, said)
            said.rest = True
            break
        except (NightdeskError, OSError, sqlite3.OperationalError) as e:  # as runtime.loop does
            said.troubles.append(f"{type(e).__name__}: {e}")
            time.sleep(0.02)
    return said


def _open_and_pass(root: Path, crash: Callable[[str], None], said: Said) -> None:
    desk = open_desk(Role.LOCAL, root / "local.toml")
    with Journal(desk.state / "journal.sqlite") as journal:
        sender = Sender(desk)
        send = _watched(sender, crash)
        executor = Executor(journal, desk.vault, desk.settings, send, now, crash)
        reviewer = Reviewer(journal, desk.vault, desk.settings, now, crash)
        try:
            with _hub(root, desk, executor, reviewer, crash) as engine:
                executor.recover()
                _passes(root, journal, executor, reviewer, engine, said)
        finally:
            executor.close()
            sender.close()


def _passes(
    root: Path,
    journal: Journal,
    executor: Executor,
    reviewer: Reviewer,
    engine: Engine | None,
    said: Said,
) -> None:
    for _ in range(PASSES):
        reviewer.adopt_pending()
        moved = person_moves(root, journal)
        report = executor.pass_once()
        said.notices += [*report.notices, *report.refused]
        if engine:
            engine.cycle()
        if report.waiting_until is None and not moved:
            return
        time.sleep(min(0.05, report.waiting_until or 0))
    raise NightdeskError("it does not come to rest", remedy="see the notices")


@contextmanager
def _hub(
    root: Path, desk: Desk, executor: Executor, reviewer: Reviewer, crash: Callable[[str], None]
) -> Iterator[Engine | None]:
    if not (root / "hub.git").exists():
        yield None
        return
    with closing(
        Engine(
            desk.vault, desk.settings.hub.url, desk.state, desk.role, desk.settings.name,
            desk.settings.sync, guard=guard_for(desk), trust=trust_for(desk),
            incoming=reviewer.incoming, withhold=executor.withhold, crash=crash,
        )
    ) as engine:  # fmt: skip
        engine.open()
        yield engine


def _watched(sender: Sender, crash: Callable[[str], None]) -> Callable[..., Any]:
    def send(tool: str, arguments: dict[str, Any], action_id: str) -> Any:
        answer = sender(tool, arguments, action_id)
        crash("K8")  # the far side has answered; the executor has not read it yet
        return answer

    return send


def person_moves(root: Path, journal: Journal) -> bool:
    """The person approves what is shown for the first time, once."""
    moved = False
    for row in journal.rows({State.CARDED}):
        source = root / "vault" / row.path
        if row.reason or row.approved_at or not source.exists():
            continue
        target = root / "vault/Approved" / row.zone / source.name
        with suppress(FileNotFoundError):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, target)
            moved = True
    return moved


def now() -> datetime:
    return datetime.now(UTC)

"""A newer draft takes the place of the one that it names in `supersedes`.

Both notes name each other, so that nothing is withdrawn without a trace. Only an unanswered card
of the same task, or of the same conversation, that nobody has touched is withdrawn: what the
person changed or approved is theirs to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.local_agent.found import find_done, look_at
from nightdesk.local_agent.intake import Intake
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.review import Reviewer
from nightdesk.local_agent.round import Round
from nightdesk.local_agent.states import Event, State
from nightdesk.vault.documents import read_card
from nightdesk.vault.unchanged import replace_unchanged


class Superseding:
    """Withdraws replaced drafts and links them with those that replace them."""

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        intake: Intake,
        reviewer: Reviewer,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._intake = intake
        self._reviewer = reviewer
        self._clock = clock
        self._settled: set[str] = set()

    def withdraw(self, turn: Round) -> None:
        """Look at the cards that lie before the person and name an older one."""
        lying = {found.id for found in turn.pending if not found.fault}
        for row in self._journal.rows({State.CARDED}):
            if row.id in self._settled or row.id not in lying:
                continue
            try:
                named = read_card(row.card, row.path).supersedes
            except NoteError:
                named = ""
            old = self._journal.get(named) if named and named != row.id else None
            if old is None or self._replace(row, old, turn):
                self._settled.add(row.id)

    def _replace(self, new: Row, old: Row, turn: Round) -> bool:
        """Withdraw one card; returns whether nothing about it is left to do."""
        if old.created > new.created or not self._same_matter(new, old):
            claim = f"this card claims to replace [[{old.id}]], which is about something else. "
            claiming = next(f for f in turn.pending if f.id == new.id)
            self._intake.refuse(claiming, claim + "Both stay as they are; read both", turn)
            return False
        if old.state is State.CARDED:
            found = next((f for f in turn.pending if f.id == old.id), None)
            if found is None:
                return False  # being moved: look again
            if found.sha != old.card_sha:
                reason = f"you changed this card, and a newer draft of it waits: [[{new.id}]]. "
                self._intake.refuse(found, reason + "Approve one and reject the other", turn)
                return False
            reason = f"Replaced by the newer draft {new.id}"
            old = self._journal.change(old, Event.SUPERSEDE, self._clock(), reason=reason)
            turn.notices.append(f"[[{old.id}]] was withdrawn: [[{new.id}]] replaces it.")
        if old.state in {State.REJECTED, State.EXPIRED, State.SUPERSEDED}:
            return self._link(new, old)
        return old.state is State.DONE

    def _same_matter(self, new: Row, old: Row) -> bool:
        if new.task == old.task:
            return True
        tasks = self._reviewer.task_of(new.task), self._reviewer.task_of(old.task)
        threads = {task.thread for task in tasks if task}
        return all(tasks) and len(threads) == 1 and "" not in threads

    def _link(self, new: Row, old: Row) -> bool:
        path = find_done(self._vault, old.id)
        found = look_at(self._vault, path) if path else None
        if path is None or found is None or found.fault:
            return False
        link = f"[[{new.id}]]".encode()
        if link in found.data:
            return True
        end = b"" if found.data.endswith(b"\n") else b"\n"
        line = end + b"- A newer draft: " + link + b"\n"
        return replace_unchanged(self._vault / path, found.data, found.data + line)

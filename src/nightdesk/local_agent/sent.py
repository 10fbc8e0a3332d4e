"""What went out from this laptop, as its journal knows it: whom it wrote to, and what."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from nightdesk.local_agent.journal import Changed, Journal
from nightdesk.local_agent.states import State

_CERTAIN = frozenset({State.CONFIRMED, State.DONE})
_PERHAPS = frozenset({State.INTENT, State.IN_DOUBT, State.HUMAN_DECIDES})


@dataclass(frozen=True, slots=True)
class Sent:
    """One action that went out, or of which nobody can say that it did not.

    Attributes:
        at: when its call was begun, aware.
        certain: False where nobody knows yet.
        recipients: e-mail addresses, in small letters.
    """

    id: str
    task: str
    at: datetime
    certain: bool
    recipients: frozenset[str]
    subject: str
    body: str = field(repr=False)


class Outbox:
    """Everything that went out; only what has changed since the last look is read again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen = 0
        self._known: dict[str, Sent] = {}
        self._sent: tuple[Sent, ...] = ()

    def sent(self) -> tuple[Sent, ...]:
        """What went out so far, oldest first."""
        newest = self._journal.newest_event()
        if newest != self._seen:
            for row in self._journal.changed(self._seen):
                self._known.pop(row.id, None)
                if row.attempt and row.state in _CERTAIN | _PERHAPS:
                    self._known[row.id] = _sent(row)
            self._sent = tuple(sorted(self._known.values(), key=lambda sent: (sent.at, sent.id)))
            self._seen = newest
        return self._sent


def _sent(row: Changed) -> Sent:
    fields = json.loads(row.canonical or "{}")
    begun = row.result.get("at")
    refused = row.result.get("refused") or {}
    everybody = [address for key in ("to", "cc") for address in fields.get(key) or []]
    return Sent(
        id=row.id,
        task=row.task,
        at=datetime.fromisoformat(begun) if begun else row.updated,
        certain=row.state in _CERTAIN,
        recipients=frozenset(a.casefold() for a in everybody if a not in refused),
        subject=str(fields.get("subject") or ""),
        body=str(fields.get("body") or ""),
    )

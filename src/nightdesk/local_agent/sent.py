"""What went out from this laptop, as its journal knows it: whom it wrote to, and what."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from nightdesk.local_agent.journal import Journal
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
    """Everything that went out; read again from the journal only when that has changed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen = -1
        self._sent: tuple[Sent, ...] = ()

    def sent(self) -> tuple[Sent, ...]:
        """What went out so far, oldest first."""
        newest = self._journal.newest_event()
        if newest != self._seen:
            self._sent = tuple(_read(self._journal))
            self._seen = newest
        return self._sent


def _read(journal: Journal) -> list[Sent]:
    found = []
    for row in journal.begun(_CERTAIN | _PERHAPS):
        fields = json.loads(row.canonical or "{}")
        begun = row.result.get("at")
        refused = row.result.get("refused") or {}
        found.append(
            Sent(
                id=row.id,
                task=row.task,
                at=datetime.fromisoformat(begun) if begun else row.updated,
                certain=row.state in _CERTAIN,
                recipients=frozenset(
                    address.casefold()
                    for key in ("to", "cc")
                    for address in fields.get(key) or []
                    if address not in refused
                ),
                subject=str(fields.get("subject") or ""),
                body=str(fields.get("body") or ""),
            )
        )
    return sorted(found, key=lambda sent: (sent.at, sent.id))

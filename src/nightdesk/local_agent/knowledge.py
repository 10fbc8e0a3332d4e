"""What the laptop knows at a moment: its addresses, the handbook, what it has sent."""

from __future__ import annotations

from pathlib import Path

from nightdesk.config import Settings
from nightdesk.local_agent.checks.case import Known
from nightdesk.local_agent.handbook import read_handbook
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.sent import Outbox


class Knowledge:
    """Gathers what cards are judged by; keep one, it remembers what was sent."""

    def __init__(self, journal: Journal, vault: Path, settings: Settings) -> None:
        self._outbox = Outbox(journal)
        self._vault = vault
        own = (settings.email.address, *settings.email.aliases)
        self._own = frozenset(address.casefold() for address in own if address)

    def now(self) -> Known:
        """What is known at this moment; the handbook is read anew each time."""
        return Known(self._own, read_handbook(self._vault), self._outbox.sent())

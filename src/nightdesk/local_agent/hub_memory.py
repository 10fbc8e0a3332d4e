"""What the hub remembers of this laptop's journal: how one notices that it is an old copy.

A journal only grows. Its length and the hash of its last entry go to the hub with the laptop's
sign of life; where the hub remembers an entry that is not in this journal, the journal was lost
or restored from a backup, and may not know of effects. The hub is not trusted with more than
this: what it says, or does not say, can make approvals need a new move, and never run one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from nightdesk.errors import HubRefused, HubUnreachable
from nightdesk.local_agent.journal import Journal
from nightdesk.sync.hub import Heartbeat

log = structlog.get_logger()

_PUBLISHED = "journal_length_told_to_the_hub"
_WORD = re.compile(r"(\d{1,15}) ([0-9a-f]{16})")
_KEY = "journal"
_WORD_SECONDS = 10.0
"""Between two words to the hub; an effect is told at once."""


class Beats(Protocol):
    """What the sync engine does with signs of life; see `sync.engine.Engine`."""

    def beat(self, status: Mapping[str, str]) -> None:
        """Move this agent's own."""
        ...

    def heartbeat(self, agent: str) -> Heartbeat | None:
        """The last fetched one."""
        ...


class HubMemory:
    """Compares this journal with what the hub remembers of it, and keeps the hub's memory new.

    Args:
        agent: this laptop's name.
    """

    def __init__(self, journal: Journal, engine: Beats, agent: str) -> None:
        self._journal = journal
        self._engine = engine
        self._agent = agent
        self._compared: str | None = None
        self._published = ""
        self._next = 0.0

    def compare(self, old_copy: Callable[[str], None]) -> None:
        """Compare; call it after every successful fetch.

        Args:
            old_copy: called where something is wrong, with one clause that says what; only when
                it has done its work does the comparison count.
        """
        beat = self._engine.heartbeat(self._agent)
        said = (beat.status or {}).get(_KEY, "") if beat else ""
        if said == self._compared:
            return
        if why := judge(self._journal, said, told=self._journal.meta(_PUBLISHED) != ""):
            old_copy(why)
        self._compared = said

    def news(self) -> bool:
        """Whether the journal has grown since the hub was told."""
        return self._compared is not None and _word(self._journal) != self._published

    def hurry(self) -> None:
        """Let the next telling not wait: an effect is about to happen."""
        self._next = 0.0

    def tell_when_due(self) -> float:
        """Tell the hub how far the journal is, if that is news and the last word is old enough.

        A hub that does not take it is told the next time; nothing else depends on it.

        Returns:
            Seconds until it is due; 0 where nothing waits.
        """
        if not self.news():
            return 0.0
        if (wait := self._next - time.monotonic()) > 0:
            return wait
        self._next = time.monotonic() + _WORD_SECONDS
        try:
            self.publish()
        except (HubUnreachable, HubRefused) as e:
            log.warning("the hub was not told how far the journal is", why=e.what)
        return 0.0

    def publish(self) -> None:
        """Tell the hub how far the journal is; only after the first comparison.

        Raises:
            HubUnreachable: it did not arrive.
            HubRefused: the hub said no.
        """
        if self._compared is None:
            return
        word = _word(self._journal)
        self._engine.beat({"state": "well", _KEY: word})
        self._published = word
        self._journal.set_meta(_PUBLISHED, word)


def judge(journal: Journal, said: str, *, told: bool) -> str:
    """Say what is wrong between a journal and the hub's word about it; "" where nothing is.

    Args:
        said: "<length> <first 16 hex digits of that entry's hash>"; "" where the hub has none.
        told: whether this journal has ever told the hub.
    """
    if not said:
        return "the hub has forgotten how far it was" if told else ""
    match = _WORD.fullmatch(said)
    if match is None:
        return "what the hub says of it cannot be read"
    if not journal.hash_at(int(match[1])).startswith(match[2]):
        return "the hub remembers entries that it does not have"
    return ""


def _word(journal: Journal) -> str:
    length, digest = journal.head()
    return f"{length} {digest[:16]}"

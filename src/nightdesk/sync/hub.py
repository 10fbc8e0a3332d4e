"""The hub as this agent sees it: its tip, its line of history, and everybody's heartbeat."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from nightdesk.errors import HubUnreachable, SyncHalted
from nightdesk.sync.clone import MAIN
from nightdesk.sync.entries import blob_oid
from nightdesk.sync.git import Git, PushOutcome, refused

QUARANTINE = "refs/nightdesk/hub"
_BEATS = "refs/nightdesk/heartbeat/"
_MAX_BEAT_BYTES = 4096


class Line(Enum):
    """How the hub's tip stands to what this disk has merged."""

    SAME = "same"
    AHEAD = "ahead"
    BEHIND = "behind"
    """The hub was restored from an older backup: what it lacks is pushed again."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """An agent's sign of life.

    Attributes:
        changed_at: when this process first saw the present one, on its own monotonic clock.
        seen_at: the last successful fetch, on the same clock.
        status: what the agent said about itself.
    """

    agent: str
    changed_at: float
    seen_at: float
    status: Mapping[str, str]

    @property
    def silent_seconds(self) -> float:
        """How long it did not change, counted across successful fetches only."""
        return self.seen_at - self.changed_at


class Hub:
    """One agent's dealings with the hub."""

    def __init__(self, git: Git, agent: str) -> None:
        self._git = git
        self._agent = agent
        self._beats: dict[str, tuple[str, float]] = {}
        self._fetched_at = 0.0

    def fetch(self) -> str | None:
        """Fetch into quarantine.

        Returns:
            The hub's tip, or None where it has no history at all.

        Raises:
            HubUnreachable: it did not answer.
            SyncHalted: it sent objects that git refuses.
        """
        git = self._git
        found = git.fetch([f"+{MAIN}:{QUARANTINE}", f"+refs/heartbeat/*:{_BEATS}*"])
        now = self._fetched_at = time.monotonic()
        refs = git.refs(QUARANTINE, _BEATS)
        for ref, oid in refs.items():
            name = ref.removeprefix(_BEATS)
            if ref != QUARANTINE and self._beats.get(name, ("", 0.0))[0] != oid:
                self._beats[name] = (oid, now)
        return refs.get(QUARANTINE) if found else None

    def compare(self, base: str, tip: str | None) -> Line:
        """Say how the tip stands to what this disk has merged.

        Raises:
            SyncHalted: they have grown apart; the hub was rewritten.
        """
        if tip == base:
            return Line.SAME
        if tip is not None and self._git.is_ancestor(base, tip):
            return Line.AHEAD
        if tip is None or self._git.is_ancestor(tip, base):
            return Line.BEHIND
        raise SyncHalted(
            f"the hub's history was rewritten: {tip[:12]} does not contain {base[:12]},"
            " which was there before",
            remedy="Find out who did it. Sync goes on by itself once the hub contains that"
            " commit again; nothing was changed here",
            where=self._git.hub,
        )

    def beat(self, status: Mapping[str, str]) -> None:
        """Move this agent's heartbeat ref.

        Raises:
            HubUnreachable: no answer, or an unclear one; the next beat makes up for it.
            HubRefused: the hub said no.
        """
        word = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "n": str(time.time_ns())}
        data = json.dumps({**word, **status}, ensure_ascii=False, sort_keys=True).encode()
        self._git.write([data])
        push = self._git.push(f"+{blob_oid(data)}:refs/heartbeat/{self._agent}")
        if push.outcome is PushOutcome.REFUSED:
            raise refused(self._git.hub, push)
        if push.outcome is not PushOutcome.ACCEPTED:
            raise HubUnreachable(
                f"the heartbeat did not arrive: {push.reason}",
                remedy="The next one is sent by itself",
                where=self._git.hub,
            )

    def heartbeat(self, agent: str) -> Heartbeat | None:
        """The last fetched heartbeat of an agent, or None when there never was one."""
        oid, changed_at = self._beats.get(agent, ("", 0.0))
        if not oid:
            return None
        return Heartbeat(agent, changed_at, self._fetched_at, self._status(oid))

    def _status(self, oid: str) -> dict[str, str]:
        try:
            data = self._git.read([oid])[oid]
            said = json.loads(data) if len(data) <= _MAX_BEAT_BYTES else {}
        except (ValueError, SyncHalted):  # not JSON, or no blob at all: a life sign without words
            return {}
        return {str(k): str(v) for k, v in said.items()} if isinstance(said, dict) else {}

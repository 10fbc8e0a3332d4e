"""The hub as this agent sees it: its tip, its line of history, and everybody's heartbeat."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from nightdesk.errors import HubUnreachable, SyncHalted
from nightdesk.sync.entries import blob_oid
from nightdesk.sync.git import Git
from nightdesk.sync.pushes import PushOutcome, refused
from nightdesk.sync.refs import MAIN, NOTHING

QUARANTINE = "refs/nightdesk/hub"
_BEATS = "refs/nightdesk/heartbeat/"
_IN_THE_WAY = "conflicting branches"
_MAX_BEAT_BYTES = 4096
_LONGEST_STEP = 300.0
"""Seconds of silence that one look at the hub can add: the hub may have been away in between."""


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
        silent_seconds: how long it has not changed, on this process's own monotonic clock and
            across successful fetches only: what lies before the first fetch, or between a
            failed fetch and the next good one, does not count, because then the agent may not
            have reached the hub either.
        status: what the agent said about itself; None where that cannot be read. A sign of
            life without words is still one.
    """

    agent: str
    silent_seconds: float
    status: Mapping[str, str] | None


class Hub:
    """One agent's dealings with the hub."""

    def __init__(self, git: Git, agent: str) -> None:
        self._git = git
        self._agent = agent
        self._beats: dict[str, tuple[str, float]] = {}
        self._in_touch = 0.0
        self._fetched_at: float | None = None

    def fetch(self) -> str | None:
        """Fetch into quarantine.

        Returns:
            The hub's tip, or None where it has no history at all.

        Raises:
            HubUnreachable: it did not answer.
            SyncHalted: it sent objects that git refuses.
        """
        git = self._git
        before, self._fetched_at = self._fetched_at, None
        wanted = [f"+{MAIN}:{QUARANTINE}", f"+refs/heartbeat/*:{_BEATS}*"]
        try:
            found = git.fetch(wanted)
        except HubUnreachable as e:
            if _IN_THE_WAY not in e.what:
                raise
            # A heartbeat that is called like another one's folder must not stop the notes.
            git.update_refs(*((ref, "") for ref in git.refs(_BEATS)))
            found = git.fetch(wanted)
        if found:
            now = self._fetched_at = monotonic()
            self._in_touch += min(now - before, _LONGEST_STEP) if before is not None else 0.0
        refs = git.refs(QUARANTINE, _BEATS)
        for ref, oid in refs.items():
            name = ref.removeprefix(_BEATS)
            if ref != QUARANTINE and self._beats.get(name, ("", 0.0))[0] != oid:
                self._beats[name] = (oid, self._in_touch)
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
        if self._git.resolve(NOTHING) == base:
            return Line.AHEAD
        raise SyncHalted(
            f"the hub's history was rewritten: {tip[:12]} does not contain {base[:12]},"
            " which was there before",
            remedy="Find out who did it; nothing was changed here. `agent-local hub adopt` takes"
            " the hub's line over, `agent-local hub repair` puts this vault's back. Sync goes on by"
            " itself once the hub contains that commit again",
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
        oid, since = self._beats.get(agent, ("", 0.0))
        if not oid:
            return None
        return Heartbeat(agent, self._in_touch - since, self._status(oid))

    def agents(self) -> list[str]:
        """Everybody who ever gave a sign of life, by name."""
        return sorted(self._beats)

    def _status(self, oid: str) -> dict[str, str] | None:
        try:
            if self._git.sizes([oid]).get(oid, 0) > _MAX_BEAT_BYTES:
                return None
            said = json.loads(self._git.read([oid])[oid])
        except (ValueError, RecursionError, SyncHalted):  # not JSON, or no blob at all
            return None
        return {str(k): str(v) for k, v in said.items()} if isinstance(said, dict) else None

"""The other agents' signs of life: how each is, and what goes back when one stays silent.

The rule: docs/design.md, section 3. Only silence that this process has watched itself counts,
and only a claim without a card goes back: once its card is written, a task is the laptop's to
finish.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from nightdesk.config import SyncSettings
from nightdesk.errors import NoteError
from nightdesk.local_agent.dashboard import Health, inert
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.states import OPEN
from nightdesk.policy import Role, Verb, may
from nightdesk.sync.hub import Heartbeat
from nightdesk.vault.documents import read_task
from nightdesk.vault.layout import Folder, card_task, place_of
from nightdesk.vault.scan import notes_in, read

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_CARDS = (Folder.PENDING, Folder.APPROVED, Folder.REJECTED)


class Signs(Protocol):
    """What the sync engine knows of the others; see `sync.engine.Engine`."""

    def agents(self) -> list[str]:
        """Everybody who ever gave a sign of life."""
        ...

    def heartbeat(self, agent: str) -> Heartbeat | None:
        """The last fetched sign of life."""
        ...

    def return_claims(self, owner: str, moves: dict[str, str], silent_for: float) -> list[str]:
        """Give back claims, confirmed in the hub."""
        ...


def others(engine: Signs, own: str) -> list[Heartbeat]:
    """The last signs of life of all other agents, by name.

    Args:
        own: this agent's name.
    """
    names = [name for name in engine.agents() if name != own and _NAME.fullmatch(name)]
    return [beat for name in names if (beat := engine.heartbeat(name))]


def health(beats: list[Heartbeat], settings: SyncSettings) -> list[Health]:
    """One line for the dashboard about each of them."""
    if not beats:
        return [Health("Cloud", well=False, state="not seen yet")]
    return [_health(beat, settings) for beat in beats]


def _health(beat: Heartbeat, settings: SyncSettings) -> Health:
    name = "Cloud" if beat.agent == Role.CLOUD else f"Cloud ({beat.agent})"
    said = beat.status or {}
    if beat.silent_seconds > settings.silent_after_minutes * 60:
        since = f" since {inert(said['at'])}" if said.get("at") else ""
        return Health(name, well=False, state=f"silent{since}")
    if said.get("state") == "trouble":
        return Health(name, well=False, state=inert(said.get("what", "in trouble")))
    if said.get("state") == "well":
        return Health(name, well=True, state="working")
    unreadable = "its sign of life cannot be read; update both sides to the same version"
    return Health(name, well=False, state=unreadable)


def return_claims(
    engine: Signs, vault: Path, journal: Journal, beats: list[Heartbeat], settings: SyncSettings
) -> Iterator[str]:
    """Give back what silent agents have claimed and not carded, and say so, an agent a line.

    Call it when this disk is in step with the hub.

    Raises:
        HubUnreachable: the hub has gone away since; the next pass tries again.
    """
    silent_for = settings.return_claims_after_minutes * 60
    if not silent_for:
        return
    carded: set[str] | None = None
    for beat in beats:
        if beat.silent_seconds < silent_for:
            continue
        claimed = notes_in(vault, f"{Folder.IN_PROGRESS}/{beat.agent}")
        if not claimed:
            continue
        if carded is None:
            carded = {row.task for row in journal.rows(OPEN)} | _with_card(vault)
        moves: dict[str, str] = {}
        for place in claimed:
            try:
                task = read_task(read(vault, place.path), place.path)
            except (FileNotFoundError, NoteError):
                continue  # unreadable: it stays where it is, and the dashboard names it
            if task.id not in carded and may(Role.CLOUD, task.zone, Verb.CLAIM):
                moves[place.path] = f"{Folder.NEEDS_ACTION}/{task.zone}/{place.name}"
        back = engine.return_claims(beat.agent, moves, silent_for) if moves else []
        if back:
            yield _told(beat.agent, back, beat.silent_seconds)


def _with_card(vault: Path) -> set[str]:
    return {card_task(place.stem) for folder in _CARDS for place in notes_in(vault, folder)}


def _told(agent: str, back: list[str], silent_seconds: float) -> str:
    links = ", ".join(f"[[{place_of(path).stem}]]" for path in back[:5])
    more = f" and {len(back) - 5} more" if len(back) > 5 else ""
    minutes = int(silent_seconds // 60)
    what = "task" if len(back) == 1 else "tasks"
    return (
        f"{agent} has given no sign of life for {minutes} minutes: {len(back)} claimed {what}"
        f" without a draft went back to {Folder.NEEDS_ACTION}/ ({links}{more})"
    )

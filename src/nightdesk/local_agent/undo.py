"""Taking an approval back from the command line, with a clear word on whether it was in time."""

from __future__ import annotations

import time
from collections.abc import Callable

from nightdesk.errors import NightdeskError, UsageError
from nightdesk.local_agent.found import Found, look
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.states import State
from nightdesk.runtime.command import Desk
from nightdesk.vault.documents import stamp
from nightdesk.vault.files import move
from nightdesk.vault.layout import Folder, place_of, zone_path

WAIT_SECONDS = 5.0
"""So long the running agent is given to see the move; what it has not begun by then, it cannot."""

_STOPPED = frozenset(
    {State.RECEIVED, State.CARDED, State.REJECTED, State.EXPIRED, State.REFUSED, State.FAILED_SAFE}
)
_SENT = frozenset({State.CONFIRMED, State.DONE})


class TooLate(NightdeskError):
    """What should be stopped has gone out, or may have."""


def undo(desk: Desk, wanted: str, pause: Callable[[float], None] = time.sleep) -> str:
    """Move a card from `Approved/` back to `Pending_Approval/` and see that nothing runs.

    Args:
        wanted: the card's id, or how it uniquely begins.
        pause: waits between two looks, in seconds.

    Returns:
        The card's new path.

    Raises:
        TooLate: it was sent, or nobody can know whether it was.
        UsageError: no or several approved cards are called so.
    """
    path = desk.state / "journal.sqlite"
    if not path.is_file():
        raise UsageError(
            "nothing was approved yet on this laptop", remedy="`agent-local pending` lists cards"
        )
    with Journal(path) as journal:
        found = _approved(desk, journal, wanted)
        row = journal.get(found.id)
        if row is not None and row.state not in {*_STOPPED, State.APPROVED, State.CLAIMED}:
            raise _too_late(row)
        target = zone_path(
            Folder.PENDING, row.zone if row else found.note.get("zone") or "general", found.id
        )
        if not move(desk.vault / found.path, desk.vault / target):
            raise UsageError(
                f"{found.id} has moved in between, or {target} exists already",
                remedy="Look again; `agent-local pending` shows what waits",
            )
        _see_stopped(journal, found.id, pause)
    return target


def _approved(desk: Desk, journal: Journal, wanted: str) -> Found:
    lying = [f for f in look(desk.vault, Folder.APPROVED) if f.kind == "approval"]
    names = {f.id: f for f in lying} | {f.place.stem: f for f in lying}
    exact = [names[wanted]] if wanted in names else []
    found = exact or [f for f in lying if f.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{wanted!r} begins {len(found)} cards: {', '.join(f.id for f in found[:5])}",
            remedy="Type more of the id",
        )
    row = journal.get(wanted)
    if row and row.state not in _STOPPED:
        raise _too_late(row)
    raise UsageError(
        f"nothing that is approved is called {wanted!r}",
        remedy="The dashboard shows what is on its way, and what was sent",
    )


def _see_stopped(journal: Journal, card: str, pause: Callable[[float], None]) -> None:
    # The executor looks at the file once more before it begins, so a card that is still only
    # APPROVED when the time is over can no longer run: its file is gone.
    end = time.monotonic() + WAIT_SECONDS
    while True:
        row = journal.get(card)
        if row is None or row.state in _STOPPED:
            return
        if row.state is State.APPROVED and time.monotonic() > end:
            return
        if row.state in _SENT | {State.IN_DOUBT, State.HUMAN_DECIDES}:
            raise _too_late(row)
        if time.monotonic() > end + 60:
            raise _too_late(row)
        pause(0.05)


def _too_late(row: Row) -> TooLate:
    if row.state in _SENT:
        return TooLate(
            f"too late: {row.id} was sent at {row.result.get('at') or stamp(row.updated)}",
            remedy="Write to the recipients if it must be put right",
            where=place_of(row.path).path,
        )
    if row.state in {State.EXPIRED, State.SUPERSEDED, State.QUARANTINED}:
        return TooLate(f"{row.id} is not on its way: it is {row.state.lower()}", where=row.path)
    return TooLate(
        f"too late: {row.id} is being sent, or nobody can know whether it was",
        remedy="Wait for the dashboard's word, and answer the question if one appears",
        where=row.path,
    )

"""A laptop that comes back: what may have happened without this journal knowing of it.

A laptop that was off, or was restored from a backup of an hour ago, finds approvals lying in
Approved/. They wait until the hub was reached once, because the hub remembers how far this
journal was (`hub_memory`); a move that this process sees itself needs no hub. If the journal is
an old copy, everything there needs a new move, and is looked for before it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from nightdesk.local_agent.effects import effect_of
from nightdesk.local_agent.intake import READMITTED
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.lookout import Lookout
from nightdesk.local_agent.round import Round
from nightdesk.local_agent.states import Event, State

_WAITS = (
    "was approved before Nightdesk started, so it waits until the hub was reached once: only "
    "then is it certain that it was not carried out already. To run it now, move the card out of "
    "Approved/, wait a moment, and move it back"
)

_WAITING = (State.CARDED, State.APPROVED)


class Returning:
    """Knows what lay in Approved/ before this process began.

    Args:
        in_touch: whether the hub was reached since, and its memory compared.
    """

    def __init__(
        self,
        journal: Journal,
        lookout: Lookout,
        clock: Callable[[], datetime],
        in_touch: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._lookout = lookout
        self._clock = clock
        self._in_touch = in_touch
        self._early: set[str] | None = None

    def look(self, turn: Round) -> None:
        """Take note of what lies there; the first look of a process is what counts."""
        there = {name for found in turn.approved for name in (found.id, found.path)}
        self._early = there if self._early is None else self._early & there

    def waits_for_hub(self, row: Row, turn: Round) -> bool:
        """Whether an approval must wait, and say so."""
        if self._in_touch() or not {row.id, row.path} & (self._early or set()):
            return False
        turn.held[row.id] = _WAITS
        return True

    def take_back(self, turn: Round, why: str) -> None:
        """Refuse everything that lies in Approved/; the projection lays it before the person."""
        # First the fact that outlives a crash here, then card by card.
        self._lookout.suspect_all()
        self._journal.set_meta(READMITTED, "")
        back = 0
        ids = [found.id for found in turn.approved if not found.is_question]
        for name in dict.fromkeys([*ids, *(r.id for r in self._journal.rows({State.APPROVED}))]):
            row = self._journal.get(name)
            if row and row.state in _WAITING and (done := self._lookout.done_note(row)):
                self._lookout.found(row, f"`{done}`")
            elif row:
                back += self._refuse(row, why)
        turn.notices.append(
            f"This laptop's journal is an old copy, or the hub's memory of it is wrong: {why}. "
            f"Nothing that lay in Approved/ runs by itself ({back} cards went back to "
            "Pending_Approval/); some of it may have gone out already, so look before you approve "
            "it again."
        )

    def _refuse(self, row: Row, why: str) -> int:
        now = self._clock()
        if row.state is State.REJECTED and not row.projected:
            row = self._journal.change(row, Event.WITHDRAW, now, detail="moved to Approved/ after")
        if row.state not in _WAITING:
            return 0
        reason = (
            f"It needs a new move, because this laptop's journal is an old copy ({why}). It may "
            f"have gone out already. {effect_of(row.action).look}"
        )
        self._journal.change(row, Event.REFUSE, now, detail=why, reason=reason)
        return 1

    def done_elsewhere(self, turn: Round) -> None:
        """Finish cards that wait for nothing any more: Done/ shows that they were carried out.

        So it is when an old copy of the vault has caught up with the hub.
        """
        there = {found.id for found in turn.everywhere()}
        for row in self._journal.rows({State.CARDED}):
            if row.id not in there and (done := self._lookout.done_note(row)):
                self._lookout.found(row, f"`{done}`")
                turn.notices.append(f"{row.id} was carried out already: `{done}`.")

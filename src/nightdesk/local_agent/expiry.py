"""Cards that nobody answers expire; a clock that jumps must not end them all at once.

The calendar is compared with this process's own monotonic time, and across a restart with the
last moment that the journal knows. If more than a few cards would expire after a jump, they wait
a while, and the person is told, who may set the clock right. What has expired never revives.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.round import Round
from nightdesk.local_agent.states import Event, State

FEW = 3
"""So many cards may expire at once without a question."""

JUMP_SECONDS = 3600.0
"""The calendar may run ahead of the monotonic time so much before it counts as a jump."""

WAIT_SECONDS = 1800.0
"""After a jump, cards wait so long, by monotonic time, before they expire."""

_LOOKED = "expiry_looked_at"
_REMEMBER = timedelta(minutes=10)


class Expiry:
    """Lets cards expire.

    Args:
        clock: the present moment, aware, for what is written down.
    """

    def __init__(self, journal: Journal, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._clock = clock
        self._last: tuple[datetime, float] | None = None
        self._until: float | None = None
        self._waiting: frozenset[str] = frozenset()

    def expire(self, turn: Round) -> None:
        """Let cards expire that nobody has answered in time."""
        jumped = self._jump(turn)
        due = [row for row in self._journal.rows({State.CARDED}) if self.over(row, turn.moment)]
        due += [row for row in self._journal.rows({State.APPROVED}) if self.over(row, turn.moment)]
        if not due:
            self._until, self._waiting = None, frozenset()
        elif self._until is None and len(due) > FEW and jumped > JUMP_SECONDS:
            self._until = turn.now + WAIT_SECONDS
            turn.notices.append(
                f"The clock is {_words(jumped)} ahead of when Nightdesk last looked, and "
                f"{len(due)} cards would expire at once. They wait {WAIT_SECONDS / 60:.0f} minutes "
                "more: set the clock right if it is wrong. None of them is sent meanwhile."
            )
        if self._until is not None and not turn.due(self._until):
            self._waiting |= {row.id for row in due}
            return
        self._until, self._waiting = None, frozenset()
        rejected = {found.id for found in turn.rejected}
        for row in due:
            if row.state is State.CARDED and row.id not in rejected:
                reason = "Expired: nobody answered in time"
                self._journal.change(row, Event.EXPIRE, self._clock(), reason=reason)
                turn.notices.append(f"{row.id} has expired. Nothing was sent.")

    def stops(self, row: Row, turn: Round) -> bool:
        """Whether an approval is over and must not be sent; ends it unless the clock is doubted."""
        now = self._clock()
        if not self.over(row, now):
            return False
        if row.id not in self._waiting:
            reason = "Expired before it could be sent"
            self._journal.change(row, Event.EXPIRE, now, reason=reason)
            turn.notices.append(f"{row.id} expired before it could be sent. Nothing was sent.")
        return True

    @staticmethod
    def over(row: Row, moment: datetime) -> bool:
        """Whether a card's time is over."""
        return row.expires is not None and row.expires <= moment

    def _jump(self, turn: Round) -> float:
        """Seconds by which the calendar has run ahead since the last look."""
        if self._last:
            moment, ticks = self._last
            passed = turn.now - ticks
        else:
            said = self._journal.meta(_LOOKED)
            moment, passed = datetime.fromisoformat(said) if said else turn.moment, 0.0
        self._last = (turn.moment, turn.now)
        known = self._journal.meta(_LOOKED)
        if not known or abs(turn.moment - datetime.fromisoformat(known)) > _REMEMBER:
            self._journal.set_meta(_LOOKED, turn.moment.isoformat())
        return (turn.moment - moment).total_seconds() - passed


def _words(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"

"""In doubt: the call was begun and nobody knows what came of it. Look; then ask the person.

Three looks within the settling time, because a sent mail may take a while to appear. Found:
it went out. Not found: the person decides, except where the far side's own record is proof. A
look is never more than a look, and while the person is asked it goes on: a late find takes the
question back by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from nightdesk.local_agent.effects import effect_of
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.lookout import Lookout
from nightdesk.local_agent.projection import Projection, attempt_lines
from nightdesk.local_agent.question import Questions
from nightdesk.local_agent.round import Round
from nightdesk.local_agent.states import Event, State
from nightdesk.vault.documents import stamp

LOOKS = (0.0, 0.5, 1.0)
"""When to look after the call came to nothing known, in parts of the settling time."""

LATE_SECONDS = 300.0
"""How often to look again while the person is asked."""


@dataclass(slots=True)
class _Track:
    first: float
    looks: list[str] = field(default_factory=list)


class Doubts:
    """Settles what is IN_DOUBT or HUMAN_DECIDES.

    Args:
        settle_seconds: within which a mail that was sent appears where it is looked for;
            measured in the monotonic seconds of the passes.
    """

    def __init__(
        self,
        journal: Journal,
        lookout: Lookout,
        questions: Questions,
        projection: Projection,
        clock: Callable[[], datetime],
        settle_seconds: float,
    ) -> None:
        self._journal = journal
        self._lookout = lookout
        self._questions = questions
        self._projection = projection
        self._clock = clock
        self._settle = settle_seconds
        self._tracks: dict[tuple[str, int], _Track] = {}
        self._late: dict[str, float] = {}

    def step(self, row: Row, turn: Round) -> bool:
        """Do what is due for one action.

        Returns:
            False if a note could not be written; the next pass goes on.
        """
        if row.state is State.HUMAN_DECIDES:
            return self._while_asked(row, turn)
        track = self._tracks.setdefault((row.id, row.attempt), _Track(turn.now))
        while len(track.looks) < len(LOOKS):
            if not turn.due(track.first + LOOKS[len(track.looks)] * self._settle):
                turn.held[row.id] = "begun, and nobody knows yet whether it happened: looking"
                return True
            sight = self._lookout.look(row)
            if sight.found:
                return self._found(row, sight.words, turn)
            if sight.found is None:
                return self._ask(row, turn, [*track.looks, f"could not look: {sight.words}"])
            track.looks.append(f"{stamp(self._clock())}: not in {sight.words}")
            if self._settled_long_ago(row):
                break  # Nightdesk was off meanwhile: one more look is enough
        if effect_of(row.action).absent_is_proof:
            return self._failed(row)
        return self._ask(row, turn, track.looks)

    def _settled_long_ago(self, row: Row) -> bool:
        begun = str(row.result.get("at") or "")
        if not begun:
            return False
        age = self._clock() - datetime.fromisoformat(begun)
        return age.total_seconds() >= self._settle

    def _ask(self, row: Row, turn: Round, looked: list[str]) -> bool:
        self._projection.log(row, "in doubt", [*attempt_lines(row), *looked])
        row = self._journal.change(
            row,
            Event.ASK,
            self._clock(),
            detail="the person is asked",
            reason=row.reason,
            result={**row.result, "looked": looked},
        )
        self._tracks.pop((row.id, row.attempt), None)
        self._late[row.id] = turn.now + LATE_SECONDS
        turn.asked.append(row.id)
        turn.notices.append(f"{row.id}: nobody can know whether it went out. Please look.")
        self._questions.ask(row, turn)
        return True

    def _while_asked(self, row: Row, turn: Round) -> bool:
        self._questions.ask(row, turn)
        if not self._lookout.can_look(effect_of(row.action)):
            return True
        if turn.due(self._late.setdefault(row.id, turn.now)):
            self._late[row.id] = turn.now + LATE_SECONDS
            sight = self._lookout.look(row)
            if sight.found:
                return self._found(row, sight.words, turn)
            turn.due(self._late[row.id])
        return True

    def _found(self, row: Row, where: str, turn: Round) -> bool:
        row = self._lookout.found(row, where)
        self._tracks.pop((row.id, row.attempt), None)
        self._late.pop(row.id, None)
        turn.notices.append(f"{row.id}: it did go out, found in {where}. Nothing more is done.")
        self._questions.retire(row, turn, f"Found in {where}: it went out. No answer is needed.")
        return True

    def _failed(self, row: Row) -> bool:
        self._journal.change(
            row,
            Event.FAIL,
            self._clock(),
            detail="looked for and not there",
            reason=f"It did not happen: {row.reason} Move it to Approved/ to try again.",
        )
        return True

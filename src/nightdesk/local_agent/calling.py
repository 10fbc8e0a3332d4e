"""The one call of an approved card, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nightdesk.config import Settings
from nightdesk.errors import NotSent
from nightdesk.local_agent.effects import effect_of
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.preflight import Flight
from nightdesk.local_agent.projection import one_line
from nightdesk.local_agent.states import Event
from nightdesk.vault.documents import stamp

Send = Callable[[str, dict[str, Any], str], Mapping[str, Any]]
"""Carries out one action: tool ("email/send_email"), arguments, action id -> what came of it.

The result is that of the `send_email` tool: `outcome` is "accepted" (for at least one
recipient), "refused" (by all), "not_sent" or "unknown"; `recipients` maps each address to its
own `outcome` and `detail`; `detail` is the server's answer or the reason.
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a call's result means for the action."""

    event: Event
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def judge(answer: object) -> Verdict:
    """Read the result of the one call; whatever is not clearly an outcome is in doubt."""
    if not isinstance(answer, Mapping):
        return Verdict(Event.DOUBT, "The answer of the sending tool could not be read")
    detail = one_line(answer.get("detail") or "")
    fates = answer.get("recipients")
    fates = fates if isinstance(fates, Mapping) else {}
    by_fate: dict[str, dict[str, str]] = {"accepted": {}, "refused": {}, "unknown": {}}
    for address, fate in fates.items():
        if isinstance(fate, Mapping):
            words = one_line(fate.get("detail") or "")
            by_fate.setdefault(str(fate.get("outcome")), {})[str(address)] = words
    result: dict[str, Any] = {"response": detail, "refused": by_fate["refused"]}
    match answer.get("outcome"):
        case "accepted":
            return Verdict(Event.CONFIRM, "", result)
        case "refused" | "not_sent" if not by_fate["accepted"] and not by_fate["unknown"]:
            return Verdict(Event.FAIL, detail or "The server refused it", result)
        case _:
            return Verdict(Event.DOUBT, detail or "No clear answer came", result)


class Caller:
    """Writes INTENT down, calls once, writes down what came of it.

    Args:
        send: see `Send`. Raises `NotSent` when it is certain that nothing left; any other
            exception counts as unknown.
        crash: called with the name of each crash point.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        send: Send,
        clock: Callable[[], datetime],
        crash: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._send = send
        self._clock = clock
        self._crash = crash

    def call(self, row: Row, flight: Flight) -> Row:
        """Carry out a CLAIMED action.

        Returns:
            The action as CONFIRMED, FAILED_SAFE or IN_DOUBT.
        """
        action = flight.card.action
        effect = effect_of(row.action)
        key = effect.key(row, self._settings)
        begun = self._clock()
        row = self._journal.change(
            row,
            Event.INTEND,
            begun,
            attempt=row.attempt + 1,
            message_id=key,
            reason="",
            result={"at": stamp(begun), "to": effect.towards(action)},
        )
        self._crash("K7")
        try:
            verdict = judge(
                self._send(effect.tool, effect.arguments(action, flight.files, key), row.id)
            )
        except NotSent as e:
            verdict = Verdict(Event.FAIL, str(e))
        except Exception as e:  # noqa: BLE001 - whatever it was, the effect may have happened
            verdict = Verdict(Event.DOUBT, str(e) or type(e).__name__)
        self._crash("K9")
        return self._journal.change(
            row,
            verdict.event,
            self._clock(),
            reason=verdict.reason,
            result={**row.result, **verdict.result},
        )

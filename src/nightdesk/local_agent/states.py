"""The life of one approval as a table: state and event in, next state out, no I/O.

The picture is in docs/design.md, section 6; the journal stores the state, the folders of the
vault only show it. What the table promises: INTENT, which stands before the one call, is never
reached a second time without a person's approval in between.
"""

from __future__ import annotations

from enum import StrEnum

from nightdesk.errors import NightdeskError


class State(StrEnum):
    """Where an action stands."""

    RECEIVED = "RECEIVED"
    CARDED = "CARDED"
    APPROVED = "APPROVED"
    CLAIMED = "CLAIMED"
    INTENT = "INTENT"
    CONFIRMED = "CONFIRMED"
    DONE = "DONE"
    QUARANTINED = "QUARANTINED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    REFUSED = "REFUSED"
    FAILED_SAFE = "FAILED_SAFE"
    IN_DOUBT = "IN_DOUBT"
    HUMAN_DECIDES = "HUMAN_DECIDES"
    SUPERSEDED = "SUPERSEDED"


class Event(StrEnum):
    """What can happen to an action."""

    CARD = "card"  # Local wrote the card that the person reads
    REVISE = "revise"  # Local wrote an untouched card again, with newer warnings
    QUARANTINE = "quarantine"  # the proposal is not what it should be
    APPROVE = "approve"  # the person's move was seen and recorded
    EDIT = "edit"  # the person changed the card during the hold
    WITHDRAW = "withdraw"  # the person took the card back out of the folder
    CLAIM = "claim"  # the executor begins
    RELEASE = "release"  # it stopped before anything was called
    INTEND = "intend"  # written down before the one call
    CONFIRM = "confirm"  # it went out
    FOUND = "found"  # it had gone out already: nothing more is called
    FAIL = "fail"  # certain that nothing went out
    DOUBT = "doubt"  # nobody can know from here
    ASK = "ask"  # the person is asked
    REFUSE = "refuse"  # it may not run as it lies there, nothing was called
    RETURN = "return"  # the card lies before the person again
    REJECT = "reject"
    EXPIRE = "expire"
    SUPERSEDE = "supersede"
    FINISH = "finish"  # Done/ shows it


class IllegalTransition(NightdeskError):
    """An event that cannot happen in this state: a defect of Nightdesk, never of the person."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.RECEIVED, Event.CARD): State.CARDED,
    (State.RECEIVED, Event.QUARANTINE): State.QUARANTINED,
    (State.CARDED, Event.REVISE): State.CARDED,
    (State.CARDED, Event.APPROVE): State.APPROVED,
    (State.CARDED, Event.REJECT): State.REJECTED,
    (State.CARDED, Event.EXPIRE): State.EXPIRED,
    (State.CARDED, Event.SUPERSEDE): State.SUPERSEDED,
    (State.CARDED, Event.REFUSE): State.REFUSED,
    (State.CARDED, Event.FOUND): State.CONFIRMED,
    (State.APPROVED, Event.EDIT): State.APPROVED,
    (State.APPROVED, Event.WITHDRAW): State.CARDED,
    (State.APPROVED, Event.EXPIRE): State.EXPIRED,
    (State.APPROVED, Event.REFUSE): State.REFUSED,
    (State.APPROVED, Event.FOUND): State.CONFIRMED,
    (State.APPROVED, Event.CLAIM): State.CLAIMED,
    (State.CLAIMED, Event.RELEASE): State.APPROVED,
    (State.CLAIMED, Event.REFUSE): State.REFUSED,
    (State.CLAIMED, Event.FOUND): State.CONFIRMED,
    (State.CLAIMED, Event.INTEND): State.INTENT,
    (State.INTENT, Event.CONFIRM): State.CONFIRMED,
    (State.INTENT, Event.FAIL): State.FAILED_SAFE,
    (State.INTENT, Event.DOUBT): State.IN_DOUBT,
    (State.IN_DOUBT, Event.FOUND): State.CONFIRMED,
    (State.IN_DOUBT, Event.FAIL): State.FAILED_SAFE,
    (State.IN_DOUBT, Event.ASK): State.HUMAN_DECIDES,
    (State.HUMAN_DECIDES, Event.FOUND): State.CONFIRMED,
    (State.HUMAN_DECIDES, Event.CONFIRM): State.CONFIRMED,
    (State.HUMAN_DECIDES, Event.FAIL): State.FAILED_SAFE,
    (State.FAILED_SAFE, Event.RETURN): State.CARDED,
    (State.REFUSED, Event.RETURN): State.CARDED,
    (State.REJECTED, Event.WITHDRAW): State.CARDED,
    (State.CONFIRMED, Event.FINISH): State.DONE,
}
"""Everything that may happen; what is not here is refused."""

OPEN: frozenset[State] = frozenset(
    {
        State.RECEIVED,
        State.CARDED,
        State.APPROVED,
        State.CLAIMED,
        State.INTENT,
        State.CONFIRMED,
        State.REFUSED,
        State.FAILED_SAFE,
        State.IN_DOUBT,
        State.HUMAN_DECIDES,
    }
)
"""States in which an action still needs something; its task is not finished."""


def next_state(state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        IllegalTransition: the event cannot happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(
            f"an action that is {state} cannot {event}",
            remedy="This is a defect of Nightdesk; nothing was done. Please report it",
        ) from None

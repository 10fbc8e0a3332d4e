"""The table of states, exhaustively."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.local_agent.states import (
    OPEN,
    TRANSITIONS,
    Event,
    IllegalTransition,
    State,
    next_state,
)

_PICTURE = """
RECEIVED card CARDED
RECEIVED quarantine QUARANTINED
CARDED revise CARDED
CARDED approve APPROVED
CARDED reject REJECTED
CARDED expire EXPIRED
CARDED supersede SUPERSEDED
APPROVED edit APPROVED
APPROVED withdraw CARDED
APPROVED expire EXPIRED
APPROVED refuse REFUSED
APPROVED claim CLAIMED
CLAIMED release APPROVED
CLAIMED refuse REFUSED
CLAIMED intend INTENT
INTENT confirm CONFIRMED
INTENT fail FAILED_SAFE
INTENT doubt IN_DOUBT
IN_DOUBT ask HUMAN_DECIDES
HUMAN_DECIDES confirm CONFIRMED
HUMAN_DECIDES fail FAILED_SAFE
FAILED_SAFE return CARDED
REFUSED return CARDED
REJECTED withdraw CARDED
CONFIRMED finish DONE
"""


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_in_the_picture_or_refused(state: State, event: Event) -> None:
    picture = {(a, e): to for a, e, to in (line.split() for line in _PICTURE.split("\n") if line)}
    if (state, event) in picture:
        assert next_state(state, event) == picture[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot {event}"):
            next_state(state, event)


def test_intent_is_reached_only_from_a_claimed_approval_and_never_left_backwards() -> None:
    assert {s for (s, _), to in TRANSITIONS.items() if to is State.INTENT} == {State.CLAIMED}
    assert {s for (s, _), to in TRANSITIONS.items() if to is State.CLAIMED} == {State.APPROVED}
    after = {to for (s, _), to in TRANSITIONS.items() if s is State.INTENT}
    assert after == {State.CONFIRMED, State.FAILED_SAFE, State.IN_DOUBT}
    assert {to for (s, _), to in TRANSITIONS.items() if s is State.IN_DOUBT} == {
        State.HUMAN_DECIDES
    }


def test_open_states_are_those_that_still_lead_somewhere() -> None:
    leads_on = {s for (s, _), to in TRANSITIONS.items() if to is not s}
    assert leads_on - {State.REJECTED} == OPEN


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_no_path_reaches_a_second_intent_without_a_new_approval(events: list[Event]) -> None:
    state, approvals, intents = State.RECEIVED, 0, 0
    for event in events:
        try:
            state = next_state(state, event)
        except IllegalTransition:
            continue
        approvals += event is Event.APPROVE
        intents += state is State.INTENT
        assert intents <= approvals

"""The table of states, exhaustively."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

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

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
_LINE = re.compile(r"\| `([A-Z_]+)` \| (.+?) \|")
_STEP = re.compile(r"([a-z]+) → `([A-Z_]+)`")


def _picture() -> dict[tuple[str, str], str]:
    """The table in docs/design.md, which people read."""
    rows = (line for line in DESIGN.read_text("utf-8").split("\n") if line.startswith("| `"))
    found: dict[tuple[str, str], str] = {}
    for state, steps in (match.groups() for row in rows if (match := _LINE.match(row))):
        found |= {(state, event): to for event, to in _STEP.findall(steps)}
    return found


PICTURE = _picture()


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_in_the_picture_or_refused(state: State, event: Event) -> None:
    if (state, event) in PICTURE:
        assert next_state(state, event) == PICTURE[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot {event}"):
            next_state(state, event)


def test_the_picture_shows_no_more_than_there_is() -> None:
    assert PICTURE.keys() == TRANSITIONS.keys()


def _second_intents(table: dict[tuple[State, Event], State]) -> set[tuple[State, Event]]:
    """Steps by which some path, from any state on, reaches INTENT without a new approval.

    All states times "approved since the last INTENT or not" are walked; from any state but
    those before the approval, nothing counts as approved to begin with.
    """
    after = {State.INTENT, State.IN_DOUBT, State.HUMAN_DECIDES, State.FAILED_SAFE}
    after |= {State.CONFIRMED, State.DONE, State.CARDED, State.REFUSED, State.REJECTED}
    todo = [(state, False) for state in after]
    seen, wrong = set(todo), set()
    while todo:
        state, approved = todo.pop()
        for (source, event), target in table.items():
            if source is not state:
                continue
            if target is State.INTENT and not approved:
                wrong.add((source, event))
            now = target is not State.INTENT and (approved or event is Event.APPROVE)
            if (target, now) not in seen:
                seen.add((target, now))
                todo.append((target, now))
    return wrong


def test_no_path_from_any_state_has_two_intents_without_an_approval_between() -> None:
    assert _second_intents(TRANSITIONS) == set()


@pytest.mark.parametrize(
    "slip",
    [
        {(State.IN_DOUBT, Event.CLAIM): State.CLAIMED},
        {(State.FAILED_SAFE, Event.INTEND): State.INTENT},
        {(State.HUMAN_DECIDES, Event.RELEASE): State.APPROVED},
        {(State.INTENT, Event.RELEASE): State.APPROVED},
    ],
)
def test_the_search_sees_a_slip_in_the_table(slip: dict[tuple[State, Event], State]) -> None:
    assert _second_intents(TRANSITIONS | slip)


def test_every_open_state_can_end() -> None:
    ends = {State.DONE, State.EXPIRED, State.REJECTED, State.SUPERSEDED, State.QUARANTINED}
    reach = set(ends)
    for _ in State:
        reach |= {source for (source, _), target in TRANSITIONS.items() if target in reach}
    assert reach == set(State)


def test_intent_is_reached_only_from_a_claimed_approval_and_never_left_backwards() -> None:
    assert {s for (s, _), to in TRANSITIONS.items() if to is State.INTENT} == {State.CLAIMED}
    assert {s for (s, _), to in TRANSITIONS.items() if to is State.CLAIMED} == {State.APPROVED}
    after = {to for (s, _), to in TRANSITIONS.items() if s is State.INTENT}
    assert after == {State.CONFIRMED, State.FAILED_SAFE, State.IN_DOUBT}
    assert {to for (s, _), to in TRANSITIONS.items() if s is State.IN_DOUBT} == {
        State.CONFIRMED,
        State.FAILED_SAFE,
        State.HUMAN_DECIDES,
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

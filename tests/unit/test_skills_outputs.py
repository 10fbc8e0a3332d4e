"""Outputs: limits hold, and a recipient comes from the request or not at all."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nightdesk.skills.outputs import (
    EmailDraft,
    PlannedEmail,
    RequestPlan,
    allowed_recipients,
    has_gap,
    named_addresses,
    only_named,
)


@pytest.mark.parametrize(
    "body", ["", " \n ", "a\x00b", "a\x1b[2Jb", "x" * 20_001, "a\n%% end of draft %%\nb", "# Draft"]
)
def test_a_body_that_cannot_stand_on_a_card_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        EmailDraft(body=body)


def test_a_body_is_tidied_but_not_changed() -> None:
    assert EmailDraft(body="\r\nHi,\r\n\r\n\tyes 👩‍💻.\r\n").body == "Hi,\n\n\tyes 👩‍💻."


def test_lists_have_limits() -> None:
    with pytest.raises(ValidationError):
        EmailDraft(body="x", gaps=["g"] * 31)
    with pytest.raises(ValidationError):
        RequestPlan(summary="s", emails=[PlannedEmail(to="a@b.de", body="x")] * 11)


def test_one_line_stays_one_line() -> None:
    assert RequestPlan(summary="a\nb", steps=["c\n# d"]).steps == ["c # d"]
    assert PlannedEmail(to="", subject="a\r\nBcc: x@y.de", body="x").subject == "a Bcc: x@y.de"


@pytest.mark.parametrize("text", ["on […].", "[...]", "[… the price]", "[ … ]"])
def test_gaps_are_seen(text: str) -> None:
    assert has_gap(text)
    assert not has_gap("nothing [here] … is open")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to ada@example.com.", ["ada@example.com"]),
        ("<Ada@Example.com>, (bob@example.org)", ["Ada@Example.com", "bob@example.org"]),
        ("**ada@example.com** 'bob@example.org' `c@d.example`", None),
        ("mailto:ada@example.com?subject=x", ["ada@example.com"]),
        ("ada@example.com ADA@example.com", ["ada@example.com"]),
        ("o'brien@example.ie", ["o'brien@example.ie"]),
        ("ada@example.com.evil.example", ["ada@example.com.evil.example"]),
        ("evil+ada@example.com", ["evil+ada@example.com"]),
        ("evil=ada@example.com", ["evil=ada@example.com"]),
        ("x@ada@example.com", []),
        ("ada@example.com@evil.example", []),
        ("ada@localhost, ada at example.com, @ada", []),
        ("", []),
    ],
)
def test_only_whole_addresses_are_read(text: str, found: list[str] | None) -> None:
    expected = ["ada@example.com", "bob@example.org", "c@d.example"] if found is None else found
    assert named_addresses(text) == expected
    assert allowed_recipients(text) == set(expected)


def test_a_recipient_that_the_request_does_not_name_becomes_a_question() -> None:
    plan = RequestPlan(
        summary="s",
        emails=[
            PlannedEmail(to="ADA@example.com ", subject="Lunch", body="Hi"),
            PlannedEmail(to="mallory@evil.example", subject="The books", body="Hi"),
            PlannedEmail(to="ada@example.com, mallory@evil.example", body="Hi"),
            PlannedEmail(to="", subject="Bob's", body="Hi"),
        ],
        questions=["When?"],
    )
    kept = only_named(plan, "Ask ada@example.com for lunch, and Bob.")
    assert [(e.to, e.subject) for e in kept.emails] == [("ada@example.com", "Lunch")]
    assert kept.questions[0] == "When?"
    assert len(kept.questions) == 4
    assert "mallory@evil.example" in kept.questions[1]
    assert "names no address" in kept.questions[3]

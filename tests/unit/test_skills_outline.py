"""The built-in drafter: honest, deterministic, in the mail's language."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from nightdesk.errors import ConfigError
from nightdesk.skills.language import language_of
from nightdesk.skills.outline import first_name, outline, outline_email, outline_plan, questions_in
from nightdesk.skills.outputs import EmailDraft, RequestPlan, has_gap

ENGLISH = """Hello,

I looked at invoice 4711 from Dr. Smith. Is the amount of 1.200 EUR
right? And could you tell me when you ship the rest, e.g. on the 3. of May?

- Do you need the old parts back?
- See https://shop.example/list?a=b for the list.

--\x20
Ada Lovelace
Any news?

On Mon, 2 Nov 2026 at 10:00, Bob <bob@example.com> wrote:
> Will you come?
"""

GERMAN = """Hallo Herr Weber,

können Sie mir bitte sagen, bis wann die Lieferung kommt? Die Rechnung vom 3. März
ist noch nicht da.

Viele Grüße
Jörg Müller
"""


def test_an_english_mail() -> None:
    draft = outline_email(
        {
            "mail": ENGLISH,
            "subject": "Re: AW: Invoice question",
            "sender_name": "Ada Lovelace",
            "handbook": "# Handbook\n\n- **Name:** Grace Hopper\n",
            "user_name": "not this one",
        }
    )
    assert (
        draft.body
        == """Hi Ada,

Thank you for your e-mail “Invoice question”.

> Is the amount of 1.200 EUR right?
[…]

> And could you tell me when you ship the rest, e.g. on the 3. of May?
[…]

> Do you need the old parts back?
[…]

Best regards,
Grace Hopper"""
    )
    assert len(draft.gaps) == 3
    assert "No language model was used" in draft.why


def test_a_german_mail() -> None:
    draft = outline_email(
        {
            "mail": GERMAN,
            "subject": "Lieferung",
            "sender_name": "Müller, Jörg",
            "user_name": "Karl Weber",
        }
    )
    assert (
        draft.body
        == """Hallo Jörg,

vielen Dank für die E-Mail „Lieferung“.

> können Sie mir bitte sagen, bis wann die Lieferung kommt?
[…]

Viele Grüße
Karl Weber"""
    )


def test_nothing_known_is_a_gap_not_an_invention() -> None:
    draft = outline_email({})
    assert draft.body == "Hello,\n\nThank you for your e-mail.\n\n[…]\n\nBest regards,\n[…]"
    assert draft.gaps == ["your answer", "your name, below the sign-off"]


def test_a_placeholder_in_the_handbook_is_no_name() -> None:
    draft = outline_email({"handbook": "Name: [your name]", "user_name": "Grace"})
    assert draft.body.endswith("Best regards,\nGrace")


def test_feedback_is_named_but_never_in_the_mail() -> None:
    draft = outline_email({"mail": "Hi", "feedback": "Say no.\nHe is a crook."})
    assert "Say no.; He is a crook." in draft.why
    assert draft.gaps[-2:] == ["your feedback: Say no.", "your feedback: He is a crook."]
    assert "crook" not in draft.body


def test_the_same_material_gives_the_same_draft() -> None:
    material = {"mail": ENGLISH, "sender_name": "Ada"}
    assert outline(material, EmailDraft) == outline(dict(reversed(material.items())), EmailDraft)


def test_invisible_and_control_characters_do_not_reach_the_draft() -> None:
    draft = outline_email({"mail": "Is \u202eit\x1b[2J \u200bso?", "subject": "a\u2028b\x00"})
    assert "> Is it [2J so?" in draft.body
    assert "“a b”" in draft.body


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("Ada Lovelace", "Ada"),
        ("Lovelace, Ada", "Ada"),
        ("Dr. Ada Lovelace", "Ada"),
        ('"Jean-Luc Picard"', "Jean-Luc"),
        ("O'Brien", "O'Brien"),
        ("Jörg", "Jörg"),
        ("ACME GmbH", ""),
        ("Support Team", ""),
        ("noreply", ""),
        ("ada@example.com", ""),
        ("A. Lovelace", ""),
        ("12345", ""),
        ("", ""),
    ],
)
def test_first_names(sender: str, name: str) -> None:
    assert first_name(sender) == name


def test_language() -> None:
    assert language_of(ENGLISH) == "en"
    assert language_of(GERMAN) == "de"
    assert language_of("4711") == "en"


def test_questions_are_asked_once_and_limited() -> None:
    assert questions_in("Why?\n\nWhy?\n\nHow?") == ["Why?", "How?"]
    assert len(questions_in("\n\n".join(f"Is it {n}?" for n in range(50)))) == 10
    (long,) = questions_in("word " * 200 + "?")
    assert len(long) <= 300
    assert questions_in("> Will you come?\n\nYes. Will you?") == ["Will you?"]
    assert questions_in("Von: Bob <bob@example.com>\nKommst du?") == []


def test_a_plan_from_prose() -> None:
    plan = outline(
        {
            "request": "# Treffen mit Ada\nSchreib an ada@example.com und frag, wann sie kann. "
            "Danach reserviere einen Tisch.\nSoll Bob auch mit?",
            "user_name": "Karl",
        },
        RequestPlan,
    )
    assert plan.summary == "Treffen mit Ada"
    assert plan.steps == [
        "Schreib an ada@example.com und frag, wann sie kann.",
        "Danach reserviere einen Tisch.",
        "Soll Bob auch mit?",
    ]
    assert [(e.to, e.subject) for e in plan.emails] == [("ada@example.com", "Treffen mit Ada")]
    assert plan.emails[0].body == "Guten Tag,\n\n[…]\n\nViele Grüße\nKarl"
    assert has_gap(plan.emails[0].body)
    assert plan.questions == [
        "Soll Bob auch mit?",
        "What should the e-mail to ada@example.com say?",
    ]


def test_a_plan_from_a_list_without_addresses() -> None:
    plan = outline_plan({"request": "Offsite\n\n- [ ] book a room\n2. order lunch\n"})
    assert (plan.summary, plan.steps) == ("Offsite", ["book a room", "order lunch"])
    assert plan.emails == []
    assert plan.questions == []


def test_an_empty_request_still_gives_a_plan() -> None:
    assert outline_plan({"request": " \n"}).steps == []


def test_another_shape_is_refused() -> None:
    class Poem(BaseModel):
        text: str = ""

    with pytest.raises(ConfigError, match="cannot write a Poem"):
        outline({}, Poem)


@pytest.mark.timeout(20)  # quadratic matching takes minutes here
def test_hostile_lengths_do_not_stall_it() -> None:
    for unit in ("a'", "*", "name ", "?\n", "'", "a@", "-", "[…", "a.@", "on "):
        text = unit * 30_000
        outline_email({"mail": text, "subject": text, "handbook": text, "sender_name": text})
        outline_plan({"request": text})

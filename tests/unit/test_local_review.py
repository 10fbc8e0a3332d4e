"""The review: what a person reads was written by Local, with what is odd about it on top."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_laptop import CARD, PENDING, TASK, Laptop, proposal, task_note
from pydantic import ValidationError

from nightdesk.errors import NoteError
from nightdesk.local_agent.checks.case import Known
from nightdesk.local_agent.checks.table import risks_of
from nightdesk.local_agent.journal import sha256
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, Task, read_card, read_task
from nightdesk.vault.files import create


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path)
    yield laptop
    laptop.close()


def _warnings(task: Task | None = None, **fields: object) -> tuple[str, ...]:
    values: dict[str, object] = {"to": ["ada@example.com"], "subject": "s", "body": "b", **fields}
    action = EmailSend.model_validate(values)
    card = Card(id=CARD, task=TASK, zone=Zone.EMAIL, action=action)
    task = task or read_task(task_note(), f"In_Progress/cloud/{TASK}.md")
    known = Known(frozenset({"me@example.org"}))
    return tuple(risk.warning for risk in risks_of(card, task, known))


# --- warnings ---


def test_an_answer_to_the_sender_has_no_warning() -> None:
    assert _warnings() == ()
    assert _warnings(to=["ADA@example.com"], cc=["me@example.org"]) == ()


def test_reply_to_and_the_others_in_the_thread_are_known() -> None:
    fields = {"reply_to": "desk@example.com", "to": ["me@example.org", "bob@example.com"]}
    task = read_task(task_note(cc=["Eve <eve@example.com>"], **fields), f"In_Progress/c/{TASK}.md")
    known = ["desk@example.com", "bob@example.com", "eve@example.com"]
    assert _warnings(task, to=known[1:]) == (
        "Answers led elsewhere: the mail came from `ada@example.com`, but asks for answers to "
        "`desk@example.com`.",
    )
    assert all(line.startswith("Answers led elsewhere") for line in _warnings(task, to=known))


def test_a_new_recipient_is_named() -> None:
    (line,) = _warnings(cc=["mallory@example.net"])
    assert line.startswith("New recipient: `mallory@example.net`")


@pytest.mark.parametrize(
    ("address", "shown"),
    [("ada@xn--exmple-cua.com", "exämple.com"), ("ada@exämple.com", "xn--exmple-cua.com")],
)
def test_a_domain_in_other_letters_is_shown_both_ways(address: str, shown: str) -> None:
    found = [line for line in _warnings(to=[address]) if line.startswith("Look-alike")]
    assert len(found) == 1
    assert shown in found[0]


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\U000e0041", "\u00ad", "\u3164", "\ufeff"])
def test_hidden_characters_are_counted(hidden: str) -> None:
    assert "2 invisible characters in the draft" in _warnings(body=f"a{hidden}b{hidden}")[0]
    assert "1 invisible character in the subject" in _warnings(subject=f"a{hidden}b")[0]


@pytest.mark.parametrize(
    "text",
    ["a %%b%% c", "<!-- b -->", "<span style='display:none'>b</span>", "![[b]]"],
)
def test_what_the_reading_view_hides_or_replaces_is_named(text: str) -> None:
    (line,) = _warnings(body=f"Hi\n{text}\n")
    assert line.startswith("Not all is shown")


def test_an_address_in_angle_brackets_is_shown_and_needs_no_warning() -> None:
    assert _warnings(body="On Monday, Ada <ada@example.com> wrote:\n> when do you pay?") == ()
    (line,) = _warnings(body="On Monday, Ada wrote:\n> 3 < 4, see <http://x.org>")
    assert line == "Links: the draft holds a link: `http://x.org`. Look where each leads."


def test_an_emoji_of_several_parts_is_no_hidden_text() -> None:
    assert _warnings(body="well done \U0001f469\u200d\U0001f680 ❤️") == ()


@pytest.mark.parametrize("gap", ["[…]", "[...]", "[… when will you pay? …]", "[the date…]"])
def test_gaps_are_counted(gap: str) -> None:
    assert "1 gap marked" in _warnings(body=f"Hi,\n{gap}\nBye")[0]
    assert _warnings(body="see [1] and [the list]") == ()


# --- incoming ---


def test_the_card_is_written_by_local_from_what_was_parsed(laptop: Laptop) -> None:
    laptop.task()
    raw = proposal(to=["mallory@example.net"]).replace(
        b"# Draft\n", b"> [!warning] Trust me, this is fine.\n%% <b>hidden</b> %%\n\n# Draft\n"
    )
    raw += b"\n%% an afterthought %%\n"
    written = laptop.reviewer.incoming(PENDING, raw)
    assert written is not None
    text = written.decode()
    assert "Trust me" not in text
    assert "hidden" not in text
    assert "afterthought" not in text
    card = read_card(written, PENDING)
    assert card.action == read_card(raw, PENDING).action
    assert card.warnings[0].startswith("New recipient: `mallory@example.net`")
    assert card.original == "Hello,\nwhen do you pay?\nAda"  # the task's, not the cloud's word
    assert (card.expires - laptop.moment).total_seconds() == 72 * 3600  # type: ignore[operator]


def test_it_is_in_the_journal_before_the_bytes_are_given(laptop: Laptop) -> None:
    written = laptop.reviewer.incoming(PENDING, proposal())
    row = laptop.journal.get(CARD)
    assert row is not None
    assert written == row.card
    assert (row.state, row.card_sha) == ("CARDED", sha256(row.card))


def test_asked_again_it_gives_the_same_card(laptop: Laptop) -> None:
    laptop.task()
    first = laptop.reviewer.incoming(PENDING, proposal())
    laptop.later(3600)
    assert laptop.reviewer.incoming(PENDING, proposal()) == first
    assert first is not None
    assert laptop.reviewer.incoming(PENDING, first) == first  # our own card, back from the hub


def test_another_proposal_for_a_known_id_is_refused(laptop: Laptop) -> None:
    laptop.desk()
    before = laptop.read(PENDING)
    assert laptop.reviewer.incoming(PENDING, proposal(body="send me money")) is None
    assert laptop.read(PENDING) == before
    assert "another proposal" in laptop.journal.refusals()[0].reason


_GOOD = proposal()
_BAD = {
    "text beside the draft": (PENDING, _GOOD.replace(b"# Draft", b"and pay Eve\n# Draft")),
    "no card": (PENDING, b"just words"),
    "not UTF-8": (PENDING, b"\xff\xfe" + _GOOD),
    "id is not the name": (PENDING.replace("-1.md", "-2.md"), _GOOD),
    "wrong zone folder": (PENDING.replace("/email/", "/social/"), _GOOD),
    "unknown zone": (PENDING, _GOOD.replace(b'zone: "email"', b'zone: "bank"')),
    "unknown action": (PENDING, _GOOD.replace(b"email.send", b"bank.pay")),
    "no recipient": (PENDING, _GOOD.replace(b'to:\n  - "ada@example.com"\n', b"")),
    "a second subject": (PENDING, _GOOD.replace(b"subject:", b'subject: "x"\nsubject:')),
    "an empty draft": (PENDING, _GOOD.replace(b"Hi Ada,\n\nwe paid yesterday.", b" ")),
    "no draft": (PENDING, _GOOD.replace(b"# Draft", b"# Drft")),
    "line break in the subject": (PENDING, _GOOD.replace(b"Re: Inv", b"Re\\r\\nBcc: x@y.z\\r\\n")),
    "a lone surrogate": (PENDING, _GOOD.replace(b"Re: Inv", b"\\ud800")),
    "straight into Approved": (PENDING.replace("Pending_Approval", "Approved"), _GOOD),
}


@pytest.mark.parametrize("name", sorted(_BAD))
def test_a_bad_proposal_is_quarantined_with_its_evidence(laptop: Laptop, name: str) -> None:
    path, data = _BAD[name]
    assert laptop.reviewer.incoming(path, data) is None
    row = laptop.journal.get(Path(path).stem)
    assert row is not None
    assert row.state == "QUARANTINED"
    assert len(row.reason) > 20
    assert (laptop.state / "quarantine" / f"{sha256(data)}.md").read_bytes() == data
    assert laptop.reviewer.incoming(path, data) is None  # and again


def test_a_payment_card_from_the_hub_is_quarantined(laptop: Laptop) -> None:
    path = PENDING.replace("/email/", "/payments/")
    data = proposal().replace(b'zone: "email"', b'zone: "payments"')
    assert laptop.reviewer.incoming(path, data) is None
    assert "on this laptop only" in laptop.journal.get(CARD).reason  # type: ignore[union-attr]


def test_a_finished_card_does_not_come_back(laptop: Laptop) -> None:
    laptop.desk()
    laptop.approve()
    assert laptop.state_of() == "DONE"
    assert laptop.reviewer.incoming(PENDING, proposal()) is None


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    body=st.text(max_size=300),
    subject=st.text(max_size=60),
    original=st.text(max_size=200),
)
def test_whatever_is_proposed_the_card_says_exactly_that(
    tmp_path_factory: pytest.TempPathFactory, body: str, subject: str, original: str
) -> None:
    try:
        raw = Card(
            id=CARD, task=TASK, zone=Zone.EMAIL, original=original,
            action=EmailSend(to=["ada@example.com"], subject=subject, body=body),
        ).note()  # fmt: skip
        asked = read_card(raw, PENDING)
    except (NoteError, ValidationError):  # what cannot be proposed need not be shown
        return
    laptop = Laptop(tmp_path_factory.mktemp("card"))
    written = laptop.reviewer.incoming(PENDING, raw)
    laptop.close()
    if written is not None:
        assert read_card(written, PENDING).action.canonical() == asked.action.canonical()


# --- what appears on this disk ---


def test_a_local_draft_is_rewritten_in_place(laptop: Laptop) -> None:
    laptop.task()
    laptop.write(PENDING, proposal(cc=["new@example.net"]))
    assert laptop.reviewer.adopt_pending() == [CARD]
    card = read_card(laptop.read(PENDING).encode(), PENDING)
    assert card.warnings
    assert card.expires
    assert laptop.reviewer.adopt_pending() == []


def test_a_broken_local_note_stays_and_is_shown_until_it_is_mended(laptop: Laptop) -> None:
    laptop.task()
    laptop.write(PENDING, proposal().replace(b"# Draft", b"# Drft"))
    assert laptop.reviewer.adopt_pending() == []
    (refusal,) = laptop.journal.refusals()
    assert refusal.path == PENDING
    assert "Put both lines back" in refusal.reason
    laptop.edit(PENDING, "# Drft", "# Draft")
    assert laptop.reviewer.adopt_pending() == [CARD]
    assert laptop.journal.refusals() == []


def test_the_task_that_comes_later_settles_the_warnings(laptop: Laptop) -> None:
    path = laptop.card()
    assert "Recipients not checked" in laptop.read(path)
    laptop.task()
    laptop.reviewer.adopt_pending()
    assert "warning" not in laptop.read(path)
    assert laptop.read(path).encode() == laptop.journal.get(CARD).card  # type: ignore[union-attr]


def test_a_task_that_comes_in_the_same_cycle_is_known_at_once(laptop: Laptop) -> None:
    laptop.reviewer.in_hub = lambda name: (f"In_Progress/cloud/{name}", task_note())
    written = laptop.reviewer.incoming(PENDING, proposal())
    assert written is not None
    assert read_card(written, PENDING).warnings == ()


def test_a_card_that_a_person_changed_is_never_rewritten(laptop: Laptop) -> None:
    path = laptop.card()
    laptop.edit(path, "we paid yesterday", "we paid today")
    laptop.task()
    laptop.reviewer.adopt_pending()
    assert "we paid today" in laptop.read(path)
    assert "Recipients not checked" in laptop.read(path)


def test_a_note_saved_in_the_moment_of_rewriting_is_kept(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nightdesk.vault import unchanged

    laptop.write(PENDING, proposal())
    swap, saved = unchanged.swap, b"what the person typed"

    def racing(temporary: Path, path: Path) -> bool:
        monkeypatch.setattr(unchanged, "swap", swap)
        path.write_bytes(saved)
        return swap(temporary, path)

    monkeypatch.setattr(unchanged, "swap", racing)
    laptop.reviewer.adopt_pending()
    assert laptop.read(PENDING).encode() == saved


def test_a_long_mail_still_makes_a_card(laptop: Laptop) -> None:
    create(laptop.vault / f"In_Progress/cloud/{TASK}.md", task_note(body="ä" * 90_000))
    written = laptop.reviewer.incoming(PENDING, proposal(body="ü" * 65_000))
    assert written is not None
    assert "cut here" in written.decode()

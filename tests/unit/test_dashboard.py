"""The dashboard: a pure function of its view, and nothing from outside renders in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.errors import NoteError
from nightdesk.local_agent.dashboard import (
    Attention,
    Health,
    View,
    inert,
    inert_with_links,
    render,
)
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.view import attention, gather
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, Task
from nightdesk.vault.files import create
from nightdesk.vault.updates import Update


def active(text: str) -> str:
    """What Markdown may still read as markup: everything but the escaped characters."""
    return re.sub(r"\\.", "", text)


NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["![[secret]]", "<img src=x>", "[a](http://x)", "%%hidden%%", "`code`", "**bold**", "a\nb"],
)
def test_text_from_outside_is_inert(text: str) -> None:
    """No embed, link, HTML, comment or line break survives."""
    shown = active(inert(text))
    for markup in "\n[]<>%`*#":
        assert markup not in shown


@given(st.text(max_size=400))
def test_inert_never_leaves_an_active_bracket(text: str) -> None:
    """Whatever comes in, every bracket that comes out is escaped."""
    assert not set("[]<>`\n") & set(active(inert(text)))


def test_a_plain_link_stays_a_link_and_an_embed_does_not() -> None:
    """Updates may link notes by id, and nothing more."""
    assert inert_with_links("Drafted [[2026-11-24-x-1a2b3c-email-1]].").endswith("email-1]].")
    assert inert_with_links("![[2026-11-24-x]]") == "\\![[2026-11-24-x]]"
    assert "[[../x]]" not in inert_with_links("[[../x]]")


def test_it_shows_what_waits_who_works_what_happened_and_what_needs_a_look() -> None:
    """Each part of the view has its place, readable in a plain editor."""
    text = render(
        View(
            waiting=["[[a-email-1]] – e-mail to ada@example.com"],
            in_progress=["[[a]] – cloud – Invoice"],
            attention=[Attention("Needs_Action/x.md", "line 2: broken. Correct it")],
            done=["2026-11-24 12:00 UTC – sent – [[b-email-1]]"],
            news=["2026-11-24 12:00 UTC – Drafted"],
            health=[Health("Laptop (local)", True, "working"), Health("Cloud", False, "silent")],
        )
    ).decode()
    order = ["Waiting for you (1)", "Needs a look (1)", "In progress", "## Done", "News", "Health"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "⚠️ Cloud: silent" in text
    assert "STOP.md" not in text
    assert "STOP.md" in render(View(stopped=["STOP.md"])).decode()


def test_gathering_names_local_only_notes_by_id_alone(tmp_path: Path) -> None:
    """The dashboard syncs, so nothing of a WhatsApp or payment note but its id is in it."""
    task = Task(id="2026-11-24-pay-aaaaaa", zone="payments", subject="IBAN DE02 secret")
    create(tmp_path / "Needs_Action/payments/2026-11-24-pay-aaaaaa.md", task.note())
    action = EmailSend(to=["ada@example.com"], subject="secret subject", body="secret text")
    card = Card(id="x-email-1", task="x", zone="whatsapp", action=action)
    create(tmp_path / "Pending_Approval/whatsapp/x-email-1.md", card.note())
    with Journal(tmp_path / "state/journal.sqlite") as journal:
        view = gather(tmp_path, journal, updates=[], troubles=[], health=[], now=NOON)
    text = render(view).decode()
    assert "2026-11-24-pay-aaaaaa" in text
    assert "x-email-1" in text
    assert "secret" not in text


def test_gathering_shows_cards_tasks_news_and_broken_notes(tmp_path: Path) -> None:
    """What lies in the folders appears, a broken note with file, line and remedy."""
    action = EmailSend(to=["ada@example.com"], subject="Re: ![[x]]", body="Hi")
    card = Card(id="t-email-1", task="t", zone="email", action=action, expires=NOON)
    create(tmp_path / "Pending_Approval/email/t-email-1.md", card.note())
    create(tmp_path / "In_Progress/cloud/t.md", Task(id="t", zone="email", subject="Hi").note())
    create(tmp_path / "Needs_Action/bad.md", b"---\na: 1\na: 2\n---\n")
    news = Update("u", "cloud", NOON, "Drafted [[t-email-1]]")
    with Journal(tmp_path / "state/journal.sqlite") as journal:
        view = gather(
            tmp_path,
            journal,
            updates=[news],
            troubles=[Attention("hub", "gone")],
            health=[],
            now=NOON,
        )
    [waiting] = view.waiting
    assert "[[t-email-1]]" in waiting
    assert "![[" not in waiting
    assert "until 2026-11-24 12:00 UTC" in waiting
    assert [line for line in view.in_progress if "cloud" in line and "Hi" in line]
    assert Attention("hub", "gone") in view.attention
    [bad] = [found for found in view.attention if found.where == "Needs_Action/bad.md"]
    assert bad.text.startswith("line 3")
    assert "twice" in bad.text
    assert "Drafted [[t-email-1]]" in view.news[0]


def test_the_same_view_gives_the_same_bytes() -> None:
    """The file changes only when something happened."""
    assert render(View()) == render(View())


def test_an_error_is_shown_with_its_line_and_remedy() -> None:
    """What a person must do is on the dashboard, not only in a log."""
    shown = attention(NoteError("it is broken", remedy="Mend it", where="a.md", line=4))
    assert shown == Attention("a.md", "line 4: it is broken. Mend it")

"""With both daemons: a new draft after feedback, a task brought back, a newer message, undo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from desk import ADA, ME, Desk, fill_gap, wait

from nightdesk.vault.layout import Folder


def _card(desk: Desk, ending: str = "") -> dict[str, Any] | None:
    found = [c for c in desk.json("local", "pending") if c["id"].endswith(ending)]
    return found[0] if found else None


def _done(desk: Desk, note_id: str) -> Path | None:
    found = [p for p in desk.notes("local", Folder.DONE) if p.endswith(f"/{note_id}.md")]
    return desk.vault("local") / found[0] if found else None


def _linked(desk: Desk, old: str, new: str) -> bool:
    path = _done(desk, old)
    return path is not None and f"[[{new}]]" in path.read_text("utf-8")


def _again(desk: Desk, first: str) -> None:
    """Ada answers her own mail before the person has answered it."""
    desk.deliver(
        f"From: {ADA}\nTo: {ME}\nSubject: Re: Invoice question\nMessage-ID: <again@example.com>\n"
        f"References: {first}\nIn-Reply-To: {first}\n\nForget it, I found it.\n".encode(),
        "again",
    )


def test_feedback_a_newer_message_and_undo(bare_desk: Desk) -> None:
    """One mail's way to its answer: a new draft, a second look, a change of mind, then sent."""
    desk = bare_desk
    desk.set_up(hold_seconds=4.0)
    first = desk.send()
    with desk.running("cloud"), desk.running("local"):
        one = wait(lambda: _card(desk, "-email-1"), "the card")
        desk.on("local", "reject", one["id"], "--feedback", "Shorter, please")
        two = wait(lambda: _card(desk, "-email-2"), "the second draft")
        path = desk.vault("local") / two["path"]
        assert f'supersedes: "{one["id"]}"' in path.read_text("utf-8")
        assert "Shorter, please" in path.read_text("utf-8"), "still to be worked in, says the card"
        wait(lambda: _linked(desk, one["id"], two["id"]), "the link")

        fill_gap(path)
        _again(desk, first["Message-ID"])
        wait(lambda: "Newer message" in desk.dashboard(), "the dashboard's word")
        desk.on("local", "approve", two["id"])
        back = "> [!failure] Newer message"
        wait(lambda: path.exists() and back in path.read_text("utf-8"), "the card to come back")

        desk.on("local", "approve", two["id"])
        wait(lambda: "is sent at" in desk.dashboard(), "the hold on the dashboard")
        assert "Taken back in time" in desk.on("local", "undo", two["id"]).stdout
        wait(lambda: "in time. Nothing was sent" in desk.dashboard(), "the dashboard's word")
        assert desk.inbox_of(ADA) == []

        desk.on("local", "approve", two["id"])
        wait(lambda: desk.inbox_of(ADA), "the mail")
        wait(lambda: _done(desk, two["id"]), "the card in Done/")
        assert "too late" in desk.on("local", "undo", two["id"], code=1).stderr
    assert len(desk.inbox_of(ADA)) == 1


@pytest.mark.skipif("TRIAL_LONG" not in os.environ, reason="waits for typing to end (45 s)")
def test_feedback_typed_after_the_move_and_a_task_brought_back(desk: Desk) -> None:
    """Each makes a new draft, the second as after an expiry: out of Done/, into Needs_Action/."""
    desk.send()
    with desk.running("cloud"), desk.running("local"):
        one = wait(lambda: _card(desk, "-email-1"), "the card")
        desk.on("local", "reject", one["id"])
        rejected = desk.vault("local") / one["path"].replace("Pending_Approval", "Rejected")
        with rejected.open("a", encoding="utf-8") as file:
            file.write("\n# Feedback\nMention Friday.\n")
        two = wait(lambda: _card(desk, "-email-2"), "the second draft", 45)
        (desk.vault("local") / two["path"]).unlink()
        wait(lambda: _done(desk, two["id"]), "the deleted card in Done/")
        task = wait(lambda: _done(desk, two["id"].removesuffix("-email-2")), "its task")
        task.rename(desk.vault("local") / "Needs_Action" / task.name)
        three = wait(lambda: _card(desk, "-email-3"), "the new draft")
        text = (desk.vault("local") / three["path"]).read_text("utf-8")
        assert f'supersedes: "{two["id"]}"' in text
    assert desk.inbox_of(ADA) == []

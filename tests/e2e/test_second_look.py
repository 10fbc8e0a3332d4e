"""With both daemons: a new draft after feedback, a task brought back, a newer message, undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from desk import ADA, Desk, fill_gap, wait

from nightdesk.vault.layout import Folder


def _card(desk: Desk, ending: str = "") -> dict[str, Any] | None:
    found = [c for c in desk.json("local", "pending") if c["id"].endswith(ending)]
    return found[0] if found else None


def _done(desk: Desk, note_id: str) -> Path:
    [path] = [p for p in desk.notes("local", Folder.DONE) if p.endswith(f"/{note_id}.md")]
    return desk.vault("local") / path


def test_feedback_makes_a_new_draft_round_after_round(desk: Desk) -> None:
    """Typed before the move and after it; both cards name each other; the third is sent."""
    desk.send()
    with desk.running("cloud"), desk.running("local"):
        one = wait(lambda: _card(desk, "-email-1"), "the card")
        desk.on("local", "reject", one["id"], "--feedback", "Shorter, please")
        two = wait(lambda: _card(desk, "-email-2"), "the second draft")
        text = (desk.vault("local") / two["path"]).read_text("utf-8")
        assert f'supersedes: "{one["id"]}"' in text
        assert "Shorter, please" in text, "the outline says what is still to be worked in"
        wait(lambda: f"[[{two['id']}]]" in _done(desk, one["id"]).read_text("utf-8"), "the link")
        desk.on("local", "reject", two["id"])
        rejected = desk.vault("local") / two["path"].replace("Pending_Approval", "Rejected")
        with rejected.open("a", encoding="utf-8") as file:
            file.write("\n# Feedback\nMention Friday.\n")
        three = wait(lambda: _card(desk, "-email-3"), "the third draft", 45)
        fill_gap(desk.vault("local") / three["path"])
        desk.on("local", "approve", three["id"])
        wait(lambda: desk.inbox_of(ADA), "the mail")
        wait(lambda: not desk.notes("local", "In_Progress"), "the task's end")
        assert desk.json("local", "pending") == []
    assert len(desk.inbox_of(ADA)) == 1


def test_a_rejected_task_that_is_brought_back_is_drafted_again(desk: Desk) -> None:
    """The same as after an expiry: out of Done/, back into Needs_Action/."""
    desk.send()
    with desk.running("cloud"), desk.running("local"):
        one = wait(lambda: _card(desk, "-email-1"), "the card")
        (desk.vault("local") / one["path"]).unlink()
        wait(lambda: len(desk.notes("local", Folder.DONE)) == 2, "card and task in Done/")
        task = _done(desk, one["id"].removesuffix("-email-1"))
        task.rename(desk.vault("local") / "Needs_Action" / task.name)
        two = wait(lambda: _card(desk, "-email-2"), "the new draft")
        assert "supersedes" in (desk.vault("local") / two["path"]).read_text("utf-8")
    assert desk.inbox_of(ADA) == []


def test_a_newer_message_stops_the_send_until_it_was_shown(desk: Desk) -> None:
    """Ada writes again while the answer to her first mail waits, filled in by the person."""
    first = desk.send()
    with desk.running("cloud"), desk.running("local"):
        one = wait(lambda: _card(desk, "-email-1"), "the card")
        path = desk.vault("local") / one["path"]
        fill_gap(path)
        second = f"<again@example.com>\nReferences: {first['Message-ID']}"
        desk.deliver(
            f"From: {ADA}\nTo: robin@nightdesk.example\nSubject: Re: Invoice question\n"
            f"Message-ID: {second}\nIn-Reply-To: {first['Message-ID']}\n\n"
            "Forget it, I found the invoice.\n".encode(),
            "again",
        )
        wait(lambda: len(desk.json("local", "pending")) == 2, "the card of the second mail")
        wait(lambda: "Newer message" in desk.dashboard(), "the dashboard's word")
        desk.on("local", "approve", one["id"])
        wait(
            lambda: path.exists() and "> [!failure] Newer message" in path.read_text("utf-8"),
            "the card to come back",
        )
        assert desk.inbox_of(ADA) == []
        desk.on("local", "approve", one["id"])
        wait(lambda: desk.inbox_of(ADA), "the mail, after a second look")


def test_undo_in_time_and_too_late(bare_desk: Desk) -> None:
    """The dashboard says when it is sent; `undo` stops it, or says that it was too late."""
    bare_desk.set_up(hold_seconds=6.0)
    bare_desk.send()
    bare_desk.on("cloud", "run", "--once")
    with bare_desk.running("local"):
        card = wait(lambda: _card(bare_desk), "the card")
        bare_desk.approve(card["id"])
        wait(lambda: "is sent at" in bare_desk.dashboard(), "the hold on the dashboard", 5)
        said = bare_desk.on("local", "undo", card["id"][:20]).stdout
        assert "Taken back in time" in said
        assert (bare_desk.vault("local") / card["path"]).exists()
        wait(lambda: "Nothing was sent" in bare_desk.dashboard(), "the dashboard's word")
        bare_desk.on("local", "approve", card["id"])
        wait(lambda: bare_desk.inbox_of(ADA), "the mail")
        wait(lambda: len(bare_desk.notes("local", Folder.DONE)) == 2, "Done/")
        assert "too late" in bare_desk.on("local", "undo", card["id"], code=1).stderr
    assert len(bare_desk.inbox_of(ADA)) == 1

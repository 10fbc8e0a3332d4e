"""What a person does to cards and folders, beyond approving: the desk understands and settles."""

from __future__ import annotations

import time

import pytest
from desk import ADA, Desk, fill_gap, wait

from nightdesk.vault.layout import Folder


def _settled(desk: Desk, seconds: float = 4.0) -> bool:
    """Whether the hub's history has stopped growing."""
    before = len(desk.history())
    time.sleep(seconds)
    return len(desk.history()) == before


@pytest.mark.parametrize("to", ["", "Notes of mine.md"])
def test_a_deleted_or_carried_away_card_ends_its_task_and_starts_no_loop(
    desk: Desk, to: str
) -> None:
    """Nothing is sent, the task is filed, and the two daemons do not draft against each other."""
    desk.send()
    with desk.running("cloud"), desk.running("local"):
        [card] = wait(lambda: desk.json("local", "pending"), "the card")
        file = desk.vault("local") / card["path"]
        file.rename(desk.vault("local") / to) if to else file.unlink()
        wait(lambda: len(desk.notes("local", Folder.DONE)) == 2, "card and task in Done/")
        wait(lambda: len(desk.notes("cloud", Folder.DONE)) == 2, "the same on the cloud's side")
        assert wait(lambda: _settled(desk), "the hub to come to rest", 30)
        assert desk.json("local", "pending") == []
        assert "rejected by you" in desk.dashboard()
    assert desk.inbox_of(ADA) == []


def test_the_folders_for_the_persons_moves_are_there_from_the_start(desk: Desk) -> None:
    """A card can be dragged into Approved/ in Obsidian, which shows only folders that exist."""
    for folder in ("Inbox", "Approved", "Rejected", "Pending_Approval", "Needs_Action"):
        assert (desk.vault("local") / folder).is_dir()
        (desk.vault("local") / folder).rmdir()
    desk.on("local", "run", "--once")
    assert (desk.vault("local") / "Approved").is_dir()


def test_a_card_with_a_gap_comes_back_instead_of_going_out(desk: Desk) -> None:
    """An outline dragged by mistake is not mailed; filled in or confirmed, it is."""
    desk.send(subject="One")
    desk.send(subject="Two")
    desk.on("cloud", "run", "--once")
    with desk.running("local"):
        one, two = _two_cards(desk)
        assert "--confirm" in desk.on("local", "approve", one["id"], code=2).stderr
        (desk.vault("local") / one["path"]).rename(desk.vault("local") / "Approved/dragged.md")
        back = desk.vault("local") / one["path"]
        wait(lambda: back.exists() and "still has a gap" in back.read_text("utf-8"), "the reason")
        assert desk.inbox_of(ADA) == []
        fill_gap(back)
        desk.on("local", "approve", one["id"])
        wait(lambda: len(desk.inbox_of(ADA)) == 1, "the filled one")
        other = desk.vault("local") / two["path"]
        text = other.read_text("utf-8").replace('confirm: ""', 'confirm: "gaps"', 1)
        other.write_text(text, "utf-8")
        desk.on("local", "approve", two["id"])
        wait(lambda: len(desk.inbox_of(ADA)) == 2, "the confirmed one")


def _two_cards(desk: Desk) -> list[dict[str, str]]:
    def look() -> list[dict[str, str]] | None:
        found: list[dict[str, str]] = desk.json("local", "pending")
        return found if len(found) == 2 else None

    return wait(look, "two cards")


def test_a_file_that_stands_where_a_folder_belongs_is_named(desk: Desk) -> None:
    """`mv card Approved` without the folder makes a file of that name: it is kept and told."""
    (desk.vault("local") / "Approved").rmdir()
    (desk.vault("local") / "Approved").write_text("a card, perhaps")
    desk.on("local", "run", "--once")
    assert "a file stands where the folder Approved/ belongs" in desk.dashboard()
    assert (desk.vault("local") / "Approved").read_text() == "a card, perhaps"
    look = desk.json("local", "status")["needs_a_look"]
    assert [found["where"] for found in look] == ["Approved"]


def test_the_other_halfs_configuration_is_refused(desk: Desk) -> None:
    """agent-cloud never runs in the laptop's vault, nor the other way round."""
    for side, other in (("cloud", "local"), ("local", "cloud")):
        done = desk.command(side, "run", "--once", "--config", str(desk.config(other)), code=3)
        assert f"agent-{other}" in done.stderr


def test_run_once_says_when_it_could_not_sync(desk: Desk) -> None:
    """A script learns from the exit code that the hub was away."""
    desk.hub.rename(desk.hub.with_name("away.git"))
    assert "did not sync" in desk.on("local", "run", "--once", code=1).stderr
    assert "did not sync" in desk.on("cloud", "run", "--once", code=1).stderr


def test_one_broken_note_among_the_laptops_own_tasks_makes_no_churn(desk: Desk) -> None:
    """It is told once and stays on the dashboard; the hub's history comes to rest."""
    note = desk.vault("local") / "In_Progress" / "local" / "broken.md"
    note.parent.mkdir(parents=True)
    note.write_text('---\nkind: "approval"\n---\nx\n')
    with desk.running("local"):
        wait(lambda: "broken.md" in desk.dashboard(), "the dashboard's word")
        assert wait(lambda: _settled(desk), "the hub to come to rest", 30)
        assert "broken.md" in desk.dashboard()

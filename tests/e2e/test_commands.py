"""The commands as a person and as an MCP client use them, on a whole desk."""

from __future__ import annotations

import json
import os
import sys

import pytest
from desk import ADA, Desk, fill_gap, wait

from nightdesk.mcp_servers.client import ServerProcess, ToolRefused
from nightdesk.vault.layout import Folder


def _server(desk: Desk, side: str) -> ServerProcess:
    command = [sys.executable, "-m", f"nightdesk.{side}_agent.cli", "mcp", "email"]
    # The child starts with a bare environment; what is under test must be this checkout's code.
    path = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return ServerProcess("email", [*command, "--config", str(desk.config(side))], path)


@pytest.mark.requirement("MCP.cloud.email", "FR-002", "US2.3")
def test_the_clouds_server_offers_no_way_to_send(desk: Desk) -> None:
    """`agent-cloud mcp email` has two tools; asked to send, it knows no such tool."""
    server = _server(desk, "cloud")
    try:
        server.start()
        assert sorted(server.tools()) == ["draft_email", "search_emails"]
        with pytest.raises(ToolRefused):
            server.call("send_email", {"to": [ADA], "subject": "x", "body": "y"}, timeout=10)
    finally:
        server.close()
    assert desk.inbox_of(ADA) == []


@pytest.mark.requirement("MCP.local.email")
def test_the_laptops_server_sends_nothing_without_a_receipt(desk: Desk) -> None:
    """`agent-local mcp email` has three tools; sending asks for a receipt and says what to do."""
    server = _server(desk, "local")
    try:
        server.start()
        assert sorted(server.tools()) == ["draft_email", "find_sent", "search_emails", "send_email"]
        with pytest.raises(ToolRefused) as e:
            server.call("send_email", {"to": [ADA], "subject": "x", "body": "y"}, timeout=10)
        assert "call draft_" in str(e.value)
    finally:
        server.close()
    assert desk.inbox_of(ADA) == []


def test_a_draft_made_by_an_mcp_client_waits_for_the_person(desk: Desk) -> None:
    """draft_email puts a proposal into the vault; the laptop shows it; approved, it goes out."""
    with desk.running("local"):
        server = _server(desk, "local")
        try:
            made = server.call(
                "draft_email", {"to": [ADA], "subject": "Hello", "body": "Hi Ada"}, timeout=20
            )
        finally:
            server.close()
        wait(lambda: made["id"] in desk.dashboard(), "the card on the dashboard")
        assert desk.inbox_of(ADA) == []
        # Nobody has written to or from Ada yet, so the card asks for her domain.
        [card] = desk.json("local", "pending")
        assert card["type"] == ["example.com"]
        refused = desk.on("local", "approve", made["id"], code=2).stderr
        assert '--confirm "example.com"' in " ".join(refused.split())
        desk.on("local", "approve", made["id"], "--confirm", "example.com")
        [mail] = wait(lambda: desk.inbox_of(ADA), "the mail")
    assert mail["Subject"] == "Hello"


def test_rejected_with_feedback_comes_back_as_a_new_draft(desk: Desk) -> None:
    """The cloud drafts anew with the feedback; the old card ends in Done/, linked."""
    desk.send()
    desk.on("cloud", "run", "--once")
    with desk.running("cloud"), desk.running("local"):
        [card] = wait(lambda: desk.json("local", "pending"), "the first draft")
        desk.on("local", "reject", card["id"], "--feedback", "Name the invoice number")
        [second] = wait(
            lambda: [c for c in desk.json("local", "pending") if c["id"] != card["id"]],
            "the second draft",
        )
        assert second["id"] == card["id"].removesuffix("-1") + "-2"
        text = desk.on("local", "show", second["id"]).stdout
        assert f'supersedes: "{card["id"]}"' in text
        wait(lambda: desk.notes("local", Folder.DONE), "the old card in Done/")
    assert desk.inbox_of(ADA) == []


def test_the_emergency_stop_holds_everything_until_it_is_taken_back(desk: Desk) -> None:
    """`stop` before the approval: nothing goes out; `stop --off`: it does."""
    desk.send()
    desk.on("cloud", "run", "--once")
    with desk.running("local"):
        [card] = wait(lambda: desk.json("local", "pending"), "the draft")
        desk.on("local", "stop")
        desk.approve(card["id"])
        wait(lambda: "Stopped: nothing is carried out" in desk.dashboard(), "the dashboard's word")
        assert desk.json("local", "status")["stopped"] is True
        assert desk.inbox_of(ADA) == []
        desk.on("local", "stop", "--off")
        wait(lambda: desk.inbox_of(ADA), "the answer")


def test_run_once_finishes_what_was_approved(desk: Desk) -> None:
    """A person without a daemon: `run --once` waits for quiet period and hold, and sends."""
    desk.send()
    desk.on("cloud", "run", "--once")
    desk.on("local", "run", "--once")
    [card] = desk.json("local", "pending")
    fill_gap(desk.vault("local") / card["path"])
    moved = desk.json("local", "approve", card["id"])
    assert moved == {"ok": True, "path": f"Approved/email/{card['id']}.md"}
    desk.on("local", "run", "--once")
    assert len(desk.inbox_of(ADA)) == 1
    desk.on("local", "run", "--once")
    assert len(desk.inbox_of(ADA)) == 1


def test_an_id_may_be_shortened_but_not_guessed(desk: Desk) -> None:
    """A beginning that fits two cards, or none, is wrong use and moves nothing."""
    desk.send(subject="One")
    desk.send(subject="Two")
    desk.on("cloud", "run", "--once")
    desk.on("local", "run", "--once")
    assert len(desk.json("local", "pending")) == 2
    assert "2 notes" in desk.on("local", "approve", "20", code=2).stderr
    assert "pending" in desk.on("local", "approve", "nonsense", code=2).stderr
    assert len(desk.json("local", "pending")) == 2


def test_init_may_be_repeated_and_keeps_what_is_there(desk: Desk) -> None:
    """A second init changes neither the configuration nor the key nor a note."""
    note = desk.vault("local") / "mine.md"
    note.write_text("mine")
    before = desk.config("local").read_bytes()
    first = desk.on("local", "init", "--non-interactive").stdout
    assert desk.on("local", "init", "--non-interactive").stdout == first
    assert desk.config("local").read_bytes() == before
    assert note.read_text() == "mine"


def test_skills_are_listed_by_role(desk: Desk) -> None:
    """Each side lists its own and the shared skills, and not the other's."""
    local = {skill["name"] for skill in desk_skills(desk, "local")}
    cloud = {skill["name"] for skill in desk_skills(desk, "cloud")}
    assert {"claim-task", "check-claimed", "sync-vault"} <= local & cloud
    assert "local-execute-approved" in local - cloud
    assert "cloud-draft-email" in cloud - local


def desk_skills(desk: Desk, side: str) -> list[dict[str, str]]:
    """What `skills --json` prints."""
    found: list[dict[str, str]] = json.loads(desk.command(side, "skills", "--json").stdout)
    return found

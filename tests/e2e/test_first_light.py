"""The specification's independent tests of US1, US2 and US3, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from email.utils import getaddresses

import psutil
import pytest
from desk import ADA, ME, Desk, alive, wait

from nightdesk.vault.layout import Folder, place_of


def _proposal(desk: Desk) -> str | None:
    found = (p for c in desk.history() for s, p in c.changes if s == "A" and c.author == "cloud")
    return next((p for p in found if p.startswith("Pending_Approval/")), None)


@pytest.mark.requirement(
    "US1.test", "US1.1", "US1.2", "US1.3", "US5.1", "FR-002", "FR-005", "SC-002",
    "SKILL.cloud-draft-email", "SKILL.cloud-write-update",
)  # fmt: skip
def test_mail_is_drafted_while_the_laptop_is_off(desk: Desk) -> None:
    """Laptop off, mail in: the draft waits in Pending_Approval/ when the laptop comes on."""
    with desk.running("cloud"):
        asked = desk.send()
        sent_at = time.monotonic()
        proposal = wait(lambda: _proposal(desk), "a draft in the hub")
        assert time.monotonic() - sent_at < 300  # SC-002
        assert {c.author for c in desk.history()[1:]} == {"cloud"}, "the laptop was off"
        task = place_of(proposal).stem.removesuffix("-email-1")
        changed = {path for c in desk.history() for _, path in c.changes if c.author == "cloud"}
        assert f"In_Progress/cloud/{task}.md" in changed
        assert any(path.startswith("Updates/") for path in changed)
        assert "Dashboard.md" not in changed
        with desk.running("local"):
            card = desk.vault("local") / proposal
            text = wait(lambda: card.exists() and card.read_text("utf-8"), "the card on the laptop")
            waiting = wait(lambda: desk.json("local", "pending"), "the card in `pending`")
            wait(lambda: place_of(proposal).stem in desk.dashboard(), "the dashboard's link")
            wait(lambda: not desk.notes("local", Folder.UPDATES), "the updates merged")
            wait(lambda: "Drafted an answer" in desk.dashboard(), "the news on the dashboard")
    assert [w["id"] for w in waiting] == [place_of(proposal).stem]
    assert asked["Message-ID"] in text
    assert "Did you send the invoice?" in text
    assert "Recipients not checked" not in text, "the first look knows the task"
    assert desk.inbox_of(ADA) == [], "nothing was sent without an approval"


@pytest.mark.requirement(
    "US2.test", "US2.1", "US2.2", "FR-003", "FR-004", "SC-008",
    "SKILL.local-execute-approved", "SKILL.local-merge-updates", "SKILL.sync-vault", "SC-007",
)  # fmt: skip
def test_an_approved_mail_is_sent_once_and_filed(desk: Desk) -> None:
    """Approve a mail on the laptop: it goes out through MCP, threaded, once; all is filed."""
    asked = desk.send(subject="Frage zu Ihrer Rechnung – Größe", text="Kommt die Rechnung noch?\n")
    desk.on("cloud", "run", "--once")
    proposal = _proposal(desk)
    assert proposal
    with desk.running("local"):
        card = desk.vault("local") / proposal
        wait(card.exists, "the card on the laptop")
        head, heading, draft = card.read_text("utf-8").partition("# Draft")
        draft = draft.replace("[…]", "Ja, sie ist heute hinausgegangen.")
        card.write_text(head + heading + draft, "utf-8")
        desk.on("local", "approve", place_of(proposal).stem)
        approved = time.monotonic()
        wait(lambda: desk.inbox_of(ADA), "the answer")
        assert time.monotonic() - approved < 30  # SC-008
        wait(lambda: len(desk.notes("local", Folder.DONE)) == 2, "card and task in Done/")
        wait(lambda: f"sent – [[{place_of(proposal).stem}]]" in desk.dashboard(), "the dashboard")
        wait(
            lambda: any(p.startswith("Done/") for c in desk.history() for _, p in c.changes),
            "Done/ in the hub",
        )
    with desk.running("local"):  # and once more: nothing is sent twice
        wait(lambda: desk.log("local").count('"started"') == 2, "the second start")
        passes = desk.log("local").count("local-execute-approved")
        wait(lambda: desk.log("local").count("local-execute-approved") > passes + 1, "two passes")
    [answer] = desk.inbox_of(ADA)
    assert answer["In-Reply-To"] == asked["Message-ID"]
    assert asked["Message-ID"] in answer["References"]
    assert answer["Subject"] == "Re: Frage zu Ihrer Rechnung – Größe"
    assert getaddresses([answer["To"]]) == [("", ADA)]
    assert ME in answer["From"]
    assert "Ja, sie ist heute hinausgegangen." in answer.get_content()
    assert "> Kommt die Rechnung noch?" in answer.get_content()
    assert answer["Message-ID"] != asked["Message-ID"]
    assert not desk.notes("local", Folder.APPROVED)
    assert not desk.notes("local", Folder.IN_PROGRESS)
    writers = {c.author for c in desk.history() for _, p in c.changes if p == "Dashboard.md"}
    assert writers == {"local"}
    done = [desk.vault("local") / path for path in desk.notes("local", Folder.DONE)]
    assert any("# What happened" in file.read_text("utf-8") for file in done)
    logs = list((desk.vault("local") / "Logs").glob("*.md"))
    assert logs
    assert answer["Message-ID"] in logs[0].read_text("utf-8")


@pytest.mark.requirement("US3.test", "US3.1", "US3.2", "US3.3", "FR-006", "EDGE.2")
def test_one_note_both_agents_one_claims_it(desk: Desk) -> None:
    """Both agents on, notes dropped into Needs_Action/: one agent claims each, once."""
    with desk.running("cloud"), desk.running("local"):
        for number in range(6):
            note = desk.vault("local") / "Needs_Action" / f"Anruf {number} – ☎.md"
            note.parent.mkdir(exist_ok=True)
            note.write_text(f"Plan call {number} with grace{number}@example.org\n", "utf-8")
        wait(lambda: len(desk.json("local", "pending")) == 6, "a card for each note", 60)
        wait(lambda: not desk.notes("cloud", Folder.NEEDS_ACTION), "the cloud to see the claims")
    claims = [
        (place_of(path).name, place_of(path).group, commit.author)
        for commit in desk.history()
        for change, path in commit.changes
        if change == "A" and path.startswith("In_Progress/")
    ]
    assert len({name for name, _, _ in claims}) == 6
    assert len(claims) == 6, "no task was claimed twice"
    assert all(group == author for _, group, author in claims)


def test_a_dropped_note_becomes_a_plan_and_a_card(desk: Desk) -> None:
    """A request in plain words, dropped into Inbox/, is planned and its mail is drafted."""
    with desk.running("local"):
        note = desk.vault("local") / "Inbox" / "Grace.md"
        note.parent.mkdir(exist_ok=True)
        note.write_text("Ask grace@example.org for the slides of Tuesday.\n", "utf-8")
        old = time.time() - 60
        os.utime(note, (old, old))
        [card] = wait(lambda: desk.json("local", "pending"), "the card")
        assert "grace@example.org" in card["summary"]
        assert desk.notes("local", Folder.PLANS)
        assert not note.exists()


def test_the_daemons_stop_cleanly_and_leave_no_process(desk: Desk) -> None:
    """SIGTERM ends both daemons within 5 s with exit code 0, and the MCP server with them."""
    with desk.running("cloud") as cloud, desk.running("local") as local:
        wait(lambda: '"started"' in desk.log("local") and '"started"' in desk.log("cloud"), "start")
        family = psutil.Process(local.pid)
        children = wait(lambda: family.children(recursive=True), "the warm MCP server")
        for process in (cloud, local):
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
    assert not [child for child in children if alive(child)]


def test_the_demo_tells_the_truth_in_json(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`agent-local demo --yes --json` ends with one object, every field true, exit code 0."""
    root = tmp_path_factory.mktemp("demo") / "desk"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nightdesk.local_agent.cli"),
            *("demo", "--yes", "--json", "--dir", str(root)),
        ],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["ok"] is True
    assert result["claimed_by"] == "cloud"
    assert result["drafted_while_local_off"] is True
    assert result["dashboard_updated"] is True
    assert result["sent"]["count"] == 1
    assert result["approval"].startswith("Pending_Approval/email/")
    assert set(result["seconds"]) == {"mail_to_approval", "approval_to_sent"}

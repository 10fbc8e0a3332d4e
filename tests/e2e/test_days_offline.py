"""Days without the hub, the cloud or the laptop, and what follows (DESIGN, section 3).

Whole agents: as objects in this process where the test turns their clocks, as a process where
one is frozen.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from desk import ADA, Desk, fill_gap, wait

from fake_model_servers import openai_tool, serve
from nightdesk.cloud_agent.agent import CloudAgent
from nightdesk.config import SyncSettings
from nightdesk.local_agent.agent import LocalAgent
from nightdesk.policy import Role
from nightdesk.runtime.command import open_desk
from nightdesk.sync import hub as hub_module
from nightdesk.vault.layout import Folder, place_of


class Clock:
    """The laptop's clocks: the day, and the monotonic one that silence is measured on."""

    def __init__(self) -> None:
        self.day = datetime.now(UTC)
        self.ticks = 1000.0

    def now(self) -> datetime:
        return self.day

    def monotonic(self) -> float:
        return self.ticks


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(hub_module, "monotonic", made.monotonic)
    return made


@contextmanager
def laptop(desk: Desk, clock: Clock, *, sends: bool = False, **sync: float) -> Iterator[LocalAgent]:
    opened = open_desk(Role.LOCAL, desk.config("local"))
    update: dict[str, object] = {"sync": SyncSettings(**sync)}
    if not sends:
        update["email"] = opened.settings.email.model_copy(update={"smtp": ""})
    settings = opened.settings.model_copy(update=update)
    agent = LocalAgent(replace(opened, settings=settings), clock.now)
    try:
        agent.open()
        yield agent
    finally:
        agent.close()


@contextmanager
def cloud(desk: Desk) -> Iterator[CloudAgent]:
    agent = CloudAgent(open_desk(Role.CLOUD, desk.config("cloud")))
    try:
        agent.open()
        yield agent
    finally:
        agent.close()


@contextmanager
def no_hub(desk: Desk) -> Iterator[None]:
    away = desk.hub.with_name("away.git")
    desk.hub.rename(away)
    try:
        yield
    finally:
        away.rename(desk.hub)


def an_hour_of_silence(agent: LocalAgent, clock: Clock) -> None:
    for _ in range(13):
        agent.engine._cycle.hub.fetch()
        clock.ticks += 300


def added(desk: Desk, folder: Folder) -> list[str]:
    """Every note that ever came into a folder, by the hub's history."""
    changes = (change for commit in desk.history() for change in commit.changes)
    return [path for status, path in changes if status == "A" and path.startswith(f"{folder}/")]


def ask_for(desk: Desk, text: str, name: str = "Call") -> str:
    path = f"Needs_Action/general/{name}.md"
    note = desk.vault("local") / path
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(text, "utf-8")
    return path


def use_model(desk: Desk, url: str) -> None:
    with desk.config("cloud").open("a") as file:
        file.write('\n[model]\nprovider = "openai-compatible"\nname = "m"\n')
        file.write(f'base_url = "{url}/v1"\ntimeout_seconds = 30\n')


@pytest.mark.requirement("EDGE.3", "FR-006")
def test_a_frozen_cloud_loses_its_task_and_drafts_it_once_when_it_wakes(
    desk: Desk, clock: Clock
) -> None:
    """Frozen while the model thinks: the draft for the lost claim never leaves; a new one does."""
    value = {"body": "Dear Ada,\n\nyes.\n\nRobin", "why": "She asks.", "gaps": []}
    with serve(openai_tool(value)) as server:
        server.delay = 30
        use_model(desk, server.url)
        desk.send()
        with desk.running("cloud") as process, laptop(desk, clock) as local:
            wait(lambda: server.requests, "the model's call")
            os.kill(process.pid, signal.SIGSTOP)
            local.one_pass()
            [claimed] = desk.notes("local", "In_Progress/cloud")
            an_hour_of_silence(local, clock)
            local.one_pass()
            task = place_of(claimed).stem
            assert desk.notes("local", Folder.NEEDS_ACTION) == [f"Needs_Action/email/{task}.md"]
            board = desk.dashboard()
            assert "no sign of life for 65 minutes: 1 claimed task without a draft went" in board
            assert "⚠️ Cloud: silent since" in board
            os.kill(process.pid, signal.SIGCONT)
            server.released.set()
            wait(lambda: added(desk, Folder.PENDING), "the draft")
            local.one_pass()
            assert len(desk.notes("local", Folder.PENDING)) == 1
            news = desk.dashboard()
    assert len(added(desk, Folder.PENDING)) == 1
    assert added(desk, Folder.IN_PROGRESS).count(claimed) == 2, "claimed, lost, claimed anew"
    assert "Took back a draft" in news
    assert '"a draft was withdrawn: its task is no longer ours"' in desk.log("cloud")


@pytest.mark.requirement("EDGE.3", "US1.1")
def test_a_cloud_without_the_hub_reads_on_and_all_arrives_in_order(
    desk: Desk, clock: Clock
) -> None:
    """New tasks wait, unclaimed; with the hub back each mail has one card, and nothing is lost."""
    with cloud(desk) as far, laptop(desk, clock) as local:
        desk.send(subject="Before")
        far.one_pass()
        with no_hub(desk):
            for day in range(3):
                desk.send(subject=f"Day {day}")
                far.one_pass()
                clock.day += timedelta(days=1)
                ask_for(desk, f"Call grace{day}@example.org\n", f"Call {day}")
                local.one_pass()
            assert len(desk.notes("cloud", "Needs_Action/email")) == 3, "a claim needs the hub"
            assert len(desk.notes("cloud", Folder.PENDING)) == 1
            assert len(desk.notes("local", Folder.PENDING)) == 3, "the laptop works on by itself"
            assert "the hub cannot be reached since" in desk.dashboard()
        for _ in range(2):
            far.one_pass()
            local.one_pass()
        far.one_pass()
        cards = [place_of(path).stem for path in desk.notes("local", Folder.PENDING)]
        assert len(cards) == len(set(cards)) == 7
        assert desk.notes("cloud", Folder.NEEDS_ACTION) == []
        assert sorted(cards) == sorted(
            place_of(path).stem for path in desk.notes("cloud", Folder.PENDING)
        )
    assert len(added(desk, Folder.PENDING)) == 7


@pytest.mark.requirement("EDGE.3")
def test_a_laptop_that_was_off_for_days_finds_what_waits_and_sends_nothing_expired(
    desk: Desk, clock: Clock
) -> None:
    """What was approved before is carried out late or expires, visibly; what is new waits."""
    with cloud(desk) as far:
        desk.send(subject="Old")
        far.one_pass()
        with laptop(desk, clock) as local:
            local.one_pass()
        [old] = desk.notes("local", Folder.PENDING)
        clock.day += timedelta(days=4)
        desk.send(subject="New")
        far.one_pass()
        card = desk.vault("local") / old
        fill_gap(card)
        card.rename(desk.vault("local") / "Approved" / card.name)  # while the agent was off
        with laptop(desk, clock, sends=True) as local:
            for _ in range(3):
                local.one_pass()
                clock.day += timedelta(seconds=5)
            assert len(desk.notes("local", Folder.PENDING)) == 1, "the new one waits"
            assert not desk.notes("local", Folder.APPROVED)
            assert f"expired unanswered – [[{card.stem}]]" in desk.dashboard()
    assert len(desk.notes("local", Folder.DONE)) == 2, "card and task"
    assert desk.inbox_of(ADA) == []


@pytest.mark.requirement("EDGE.2", "US3.2", "US3.3")
def test_both_claimed_one_request_apart_and_it_has_one_owner_one_plan_one_draft(
    desk: Desk, clock: Clock
) -> None:
    """The cloud in the hub, the laptop on its own disk: the laptop's work stands, once."""
    with cloud(desk) as far, laptop(desk, clock) as local:
        path = ask_for(desk, "Write to grace@example.org\nand to alan@example.org\n")
        local.engine.cycle()
        far.one_pass()
        assert len(desk.notes("cloud", Folder.PENDING)) == 2
        # The person shortens the request before the laptop sees the hub again.
        (desk.vault("local") / path).write_text("Write to grace@example.org\n", "utf-8")
        with no_hub(desk):
            local.one_pass()
        [mine] = desk.notes("local", Folder.PENDING)
        for _ in range(2):
            local.one_pass()
            far.one_pass()
        for side in ("local", "cloud"):
            assert desk.notes(side, Folder.PENDING) == [mine], side
            assert desk.notes(side, Folder.PLANS) == ["Plans/Call-plan.md"]
            assert sorted(os.listdir(desk.vault(side) / "Plans")) == ["Call-plan.md"]
            assert desk.notes(side, Folder.IN_PROGRESS) == ["In_Progress/local/Call.md"]
        assert 'created_by: "local"' in (desk.vault("cloud") / mine).read_text("utf-8")
        assert "this laptop has claimed its task and drafts it itself" in desk.dashboard()


@pytest.mark.requirement("FR-006", "US2.1")
@pytest.mark.parametrize("to", ["Done/2026-11", "Needs_Action/email"])
def test_a_draft_for_a_task_that_is_not_the_senders_never_reaches_the_person(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """A cloud that holds nothing back (an older version, say): the laptop's review refuses."""
    monkeypatch.setattr("nightdesk.sync.cycle.unowned", lambda *sides: {})
    with cloud(desk) as far, laptop(desk, clock) as local:
        desk.send()
        with monkeypatch.context() as patch:
            patch.setattr(CloudAgent, "_work", lambda self, trouble: False)
            far.one_pass()
        local.one_pass()
        [claimed] = desk.notes("local", "In_Progress/cloud")
        with no_hub(desk):
            far.one_pass()
        [card] = desk.notes("cloud", Folder.PENDING)
        file = desk.vault("local") / claimed
        (desk.vault("local") / to).mkdir(parents=True, exist_ok=True)
        file.rename(desk.vault("local") / to / file.name)
        local.engine.cycle()
        far.engine.cycle()
        assert card in added(desk, Folder.PENDING), "it does get into the hub"
        local.one_pass()
        assert desk.notes("local", Folder.PENDING) == []
        why = "its task is finished" if to.startswith("Done") else "nobody has claimed its task"
        assert why in desk.dashboard()
        far.engine.cycle()
        assert desk.notes("cloud", Folder.PENDING) == []
        if not to.startswith("Done"):
            far.one_pass()
            local.one_pass()
            assert desk.notes("local", Folder.PENDING) == [card], "claimed anew, drafted anew"


def test_general_tasks_of_a_silent_cloud_are_taken_up_by_the_laptop(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the cloud may claim waits for it; with 0 minutes nothing ever goes back."""
    monkeypatch.setattr(CloudAgent, "_work", lambda self, trouble: False)
    with cloud(desk) as far, laptop(desk, clock) as local:
        ask_for(desk, "Write to grace@example.org\n")
        local.engine.cycle()
        desk.send()
        far.one_pass()
        assert len(desk.notes("cloud", "In_Progress/cloud")) == 2
        local.engine.cycle()
        an_hour_of_silence(local, clock)
        local.one_pass()
        assert desk.notes("local", Folder.IN_PROGRESS) == ["In_Progress/local/Call.md"]
        assert len(desk.notes("local", "Needs_Action/email")) == 1
        assert len(desk.notes("local", Folder.PENDING)) == 1
        far._next_beat = 0.0  # it was away for an hour
        far.one_pass()
        local.one_pass()
        assert [place_of(p).group for p in desk.notes("local", Folder.IN_PROGRESS)] == [
            "cloud",
            "local",
        ]
    with laptop(desk, clock, return_claims_after_minutes=0) as local:
        local.engine.cycle()
        an_hour_of_silence(local, clock)
        local.one_pass()
        assert len(desk.notes("local", "In_Progress/cloud")) == 1

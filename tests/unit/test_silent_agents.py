"""What the laptop makes of the others' signs of life, and of drafts by who does not own a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from local_laptop import CARD, PENDING, TASK, Laptop, proposal, task_note

from nightdesk.config import SyncSettings, parse
from nightdesk.errors import ConfigError
from nightdesk.local_agent import silent
from nightdesk.sync.hub import Heartbeat

SETTINGS = SyncSettings()


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    made.close()


class Others:
    """An engine that knows some heartbeats and gives back what it is asked to."""

    def __init__(self, *beats: Heartbeat) -> None:
        self.beats = {beat.agent: beat for beat in beats}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def agents(self) -> list[str]:
        return sorted(self.beats)

    def heartbeat(self, agent: str) -> Heartbeat | None:
        return self.beats.get(agent)

    def return_claims(self, owner: str, moves: dict[str, str], silent_for: float) -> list[str]:
        self.asked.append((owner, moves))
        return list(moves.values())


@pytest.mark.parametrize(
    ("minutes", "status", "well", "state"),
    [
        (1, {"state": "well"}, True, "working"),
        (1, {"state": "trouble", "what": "no *mail*"}, False, r"no \*mail\*"),
        (1, None, False, "cannot be read"),
        (1, {}, False, "cannot be read"),
        (1, {"state": "splendid"}, False, "cannot be read"),
        (11, {"state": "well", "at": "2026-11-24T08:00"}, False, "silent since 2026-11-24T08:00"),
        (11, None, False, "silent"),
    ],
)
def test_what_the_dashboard_says_about_a_sign_of_life(
    minutes: float, status: Mapping[str, str] | None, well: bool, state: str
) -> None:
    [health] = silent.health([Heartbeat("cloud", minutes * 60, status)], SETTINGS)
    assert health.well is well
    assert state in health.state


def test_every_other_agent_has_its_line_and_none_is_taken_from_a_strange_ref() -> None:
    engine = Others(
        *(Heartbeat(n, 0, {"state": "well"}) for n in ("cloud", "vm2", "local", "../x"))
    )
    names = [line.name for line in silent.health(silent.others(engine, "local"), SETTINGS)]
    assert names == ["Cloud", "Cloud (vm2)"]
    [line] = silent.health([], SETTINGS)
    assert line.state == "not seen yet"


def test_only_uncarded_claims_of_the_silent_that_the_cloud_may_claim_go_back(
    laptop: Laptop,
) -> None:
    """A card in the journal or on the disk, a private zone, a broken note: all stay."""
    for path, data in {
        f"In_Progress/cloud/{TASK}.md": task_note(),
        "In_Progress/cloud/free.md": task_note("free", zone="general"),
        "In_Progress/cloud/carded.md": task_note("carded"),
        "Approved/carded-email-1.md": b"x",
        "In_Progress/cloud/private.md": task_note("private", zone="payments"),
        "In_Progress/cloud/broken.md": b'---\nid: "a"\nid: "b"\n---\n',
        "In_Progress/vm2/busy.md": task_note("busy"),
        "In_Progress/robin/own.md": task_note("own"),
    }.items():
        laptop.write(path, data)
    assert laptop.reviewer.incoming(PENDING, proposal())
    engine = Others(Heartbeat("cloud", 3660, None), Heartbeat("vm2", 60, None))
    beats = silent.others(engine, "local")
    [line] = silent.return_claims(engine, laptop.vault, laptop.journal, beats, SETTINGS)
    assert engine.asked == [
        ("cloud", {"In_Progress/cloud/free.md": "Needs_Action/general/free.md"})
    ]
    assert "cloud has given no sign of life for 61 minutes: 1 claimed task" in line
    assert "[[free]]" in line
    never = SyncSettings(return_claims_after_minutes=0)
    assert not list(silent.return_claims(engine, laptop.vault, laptop.journal, beats, never))


def test_claims_cannot_go_back_before_the_cloud_is_called_silent() -> None:
    values = {"name": "local", "vault": "/v", "hub": {"url": "/h"}}
    with pytest.raises(ConfigError, match="silent_after_minutes"):
        parse(values | {"sync": {"return_claims_after_minutes": 5}}, "test")
    assert parse(values | {"sync": {"return_claims_after_minutes": 0}}, "test")


@pytest.mark.requirement("FR-006")
@pytest.mark.parametrize(
    ("places", "why"),
    [
        ({f"In_Progress/cloud/{TASK}.md"}, ""),
        (set(), ""),
        ({f"Done/2026-11/{TASK}.md"}, "its task is finished"),
        ({f"Rejected/{TASK}.md"}, "its task is finished"),
        ({f"Needs_Action/email/{TASK}.md"}, "nobody has claimed its task"),
        ({f"In_Progress/vm2/{TASK}.md"}, "its task belongs to vm2"),
        ({f"In_Progress/local/{TASK}.md", f"In_Progress/cloud/{TASK}.md"}, "drafts it itself"),
        ({""}, "its task was removed"),
    ],
)
def test_a_draft_by_who_does_not_own_the_task_is_refused_with_the_reason(
    laptop: Laptop, places: set[str], why: str
) -> None:
    """The evidence is kept, and the same id may come again from the task's owner."""
    laptop.reviewer.whereabouts = lambda task: frozenset(places if task == TASK else ())
    card = laptop.reviewer.incoming(PENDING, proposal())
    assert (card is None) is bool(why)
    if not why:
        return
    [refusal] = laptop.journal.refusals()
    assert why in refusal.reason
    assert refusal.path == PENDING
    [evidence] = (Path(laptop.journal.path).parent / "quarantine").iterdir()
    assert evidence.read_bytes() == proposal()
    assert laptop.journal.get(CARD) is None
    laptop.reviewer.whereabouts = lambda task: frozenset({f"In_Progress/cloud/{TASK}.md"})
    assert laptop.reviewer.incoming(PENDING, proposal())
    assert laptop.journal.refusals() == [], "settled"

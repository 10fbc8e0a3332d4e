"""Shared skills: who owns a task, what may be claimed, and what goes to the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightdesk.errors import PolicyDenied
from nightdesk.policy import Role
from nightdesk.skills.manifest import Skill, load_skill, skills_root
from nightdesk.skills.shared import check_claimed, claim_task, claimable, sync_vault
from nightdesk.vault.claims import claim, owner_of
from nightdesk.vault.documents import Task

SKILL: Skill = load_skill(skills_root() / "claim-task")


def put(vault: Path, path: str, data: bytes | None = None, **fields: str) -> str:
    file = vault / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        data = Task.model_validate({"id": file.stem, **fields}).note()
    file.write_bytes(data)
    return path


def open_paths(vault: Path, role: Role) -> list[str]:
    return [path for path, _ in claimable(vault, role, role.value).tasks]


@pytest.mark.requirement("SKILL.check-claimed", "FR-006", "US3.2", "US3.3")
def test_a_claimed_task_is_ignored_by_the_other_agent(tmp_path: Path) -> None:
    path = put(tmp_path, "Needs_Action/general/a.md", zone="general")
    assert check_claimed(SKILL, tmp_path, path, "local") is None
    assert open_paths(tmp_path, Role.LOCAL) == open_paths(tmp_path, Role.CLOUD) == [path]
    won = claim(tmp_path, path, "cloud")
    assert won == "In_Progress/cloud/a.md"
    assert check_claimed(SKILL, tmp_path, path, "local") == "cloud" == owner_of(tmp_path, "a.md")
    assert check_claimed(SKILL, tmp_path, won, "cloud") == "cloud"
    # It turns up again in Needs_Action/ (a restored file): still the cloud's.
    put(tmp_path, path, zone="general")
    assert open_paths(tmp_path, Role.LOCAL) == open_paths(tmp_path, Role.CLOUD) == []


def test_two_owners_both_back_off(tmp_path: Path) -> None:
    put(tmp_path, "In_Progress/cloud/a.md")
    put(tmp_path, "In_Progress/local/a.md")
    assert check_claimed(SKILL, tmp_path, "Needs_Action/a.md", "cloud") == "local"
    assert check_claimed(SKILL, tmp_path, "Needs_Action/a.md", "local") == "cloud"


@pytest.mark.requirement("US5.2")
def test_each_role_sees_only_the_zones_that_it_may_claim(tmp_path: Path) -> None:
    for zone in ("email", "social", "accounting", "general", "whatsapp", "payments"):
        put(tmp_path, f"Needs_Action/{zone}/{zone}.md", zone=zone)
    put(tmp_path, "Needs_Action/plain words.md", b"Buy milk, please.\n")
    cloud = {path.split("/")[-1] for path in open_paths(tmp_path, Role.CLOUD)}
    local = {path.split("/")[-1] for path in open_paths(tmp_path, Role.LOCAL)}
    assert cloud == {"email.md", "social.md", "accounting.md", "general.md", "plain words.md"}
    assert local == {"whatsapp.md", "payments.md", "general.md", "plain words.md"}


@pytest.mark.requirement("US5.2")
@pytest.mark.parametrize(
    ("folder", "zone"), [("WhatsApp", "email"), ("payments", "general"), ("email", "payments")]
)
def test_folder_and_property_must_both_allow_it(folder: str, zone: str, tmp_path: Path) -> None:
    put(tmp_path, f"Needs_Action/{folder}/a.md", zone=zone)
    assert open_paths(tmp_path, Role.CLOUD) == []


def test_a_broken_note_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = put(tmp_path, "Needs_Action/email/b.md", zone="email")
    put(tmp_path, "Needs_Action/email/a.md", b"---\nid: x\nid: y\n---\n")
    put(tmp_path, "Needs_Action/moon/c.md", b"to the moon\n")
    put(tmp_path, "Needs_Action/email/d.md", b"\xff")
    found = claimable(tmp_path, Role.CLOUD, "cloud")
    assert [path for path, _ in found.tasks] == [good]
    assert [p.where for p in found.problems] == [
        "Needs_Action/email/a.md",
        "Needs_Action/moon/c.md",
        "Needs_Action/email/d.md",
    ]
    assert (tmp_path / "Needs_Action/email/a.md").exists()


class Engine:
    """An engine that loses every third claim."""

    def __init__(self) -> None:
        self.pushes: list[list[str]] = []

    def claim(self, paths: list[str]) -> list[str]:
        self.pushes.append(paths)
        won = [path for number, path in enumerate(paths) if number % 3]
        return [f"In_Progress/cloud/{path.rpartition('/')[2]}" for path in won]

    def cycle(self) -> dict[str, int]:
        return {"pushed": 1}


@pytest.mark.requirement("SKILL.claim-task")
def test_claims_travel_by_fifty_and_what_was_won_comes_back() -> None:
    engine = Engine()
    won = claim_task(SKILL, engine=engine, paths=[f"Needs_Action/{n}.md" for n in range(120)])
    assert [len(push) for push in engine.pushes] == [50, 50, 20]
    assert len(won) == 120 - 17 - 17 - 7
    assert won[0] == "In_Progress/cloud/1.md"
    assert claim_task(SKILL, engine=engine, paths=[]) == []
    assert len(engine.pushes) == 3


@pytest.mark.parametrize("path", ["In_Progress/local/a.md", "Approved/a.md", "a.md", "../a.md"])
def test_only_open_tasks_are_claimed(path: str) -> None:
    engine = Engine()
    with pytest.raises(PolicyDenied, match="only tasks in Needs_Action/"):
        claim_task(SKILL, engine=engine, paths=["Needs_Action/b.md", path])
    assert engine.pushes == []


def test_sync_hands_the_report_back() -> None:
    assert sync_vault(SKILL, engine=Engine()) == {"pushed": 1}

"""The registry: an agent has its role's skills, whole, and none of the other's (FR-017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from nightdesk.errors import ConfigError, PolicyDenied
from nightdesk.policy import Role, Zone
from nightdesk.skills.manifest import Skill, SkillRole, load_skills, skills_root
from nightdesk.skills.registry import Registry


def skill(
    name: str, role: SkillRole, zone: Zone | None = None, tools: tuple[str, ...] = ()
) -> Skill:
    return Skill(name, "d", role, "t", zone, tools, "Do.", Path(f"/skills/{name}/SKILL.md"))


SKILLS = {
    s.name: s
    for s in (
        skill("cloud-a", "cloud", Zone.EMAIL, ("email:draft_email",)),
        skill("local-b", "local", None, ("email:send_email",)),
        skill("shared-c", "shared", Zone.GENERAL),
    )
}


def nothing(_: Skill, **__: Any) -> None:
    return None


def cloud(**more: Any) -> Registry:
    return Registry(Role.CLOUD, SKILLS, {"cloud-a": nothing, "shared-c": nothing} | more)


@pytest.mark.requirement("FR-017")
def test_each_role_has_its_own_and_the_shared_skills() -> None:
    assert cloud().names() == ["cloud-a", "shared-c"]
    local = Registry(Role.LOCAL, SKILLS, {"local-b": nothing, "shared-c": nothing})
    assert local.names() == ["local-b", "shared-c"]


@pytest.mark.requirement("FR-017")
def test_the_shipped_skills_split_by_role() -> None:
    skills = load_skills(skills_root())
    of_cloud = {n for n, s in skills.items() if s.loaded_by(Role.CLOUD)}
    registry = Registry(Role.CLOUD, skills, dict.fromkeys(of_cloud, nothing))
    assert not [n for n in registry.names() if n.startswith("local-")]
    assert {"cloud-draft-email", "cloud-write-update", "claim-task"} <= set(registry.names())


@pytest.mark.requirement("FR-017")
def test_a_skill_without_handler_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="'shared-c' has no handler in the cloud agent"):
        Registry(Role.CLOUD, SKILLS, {"cloud-a": nothing})


@pytest.mark.requirement("FR-017")
def test_a_handler_without_skill_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"'ghost'.*there is no such skill"):
        cloud(ghost=nothing)


@pytest.mark.requirement("FR-017")
def test_a_handler_for_the_other_roles_skill_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="'local-b', which is a skill of the local agent"):
        cloud(**{"local-b": nothing})


@pytest.mark.requirement("SC-003")
def test_the_cloud_cannot_run_a_local_skill() -> None:
    with pytest.raises(PolicyDenied, match="no skill 'local-b'"):
        cloud().run("local-b")


def test_run_hands_the_skill_and_arguments_over_and_returns_the_result() -> None:
    registry = cloud(**{"cloud-a": lambda s, *a, **k: (s.name, a, k)})
    assert registry.run("cloud-a", 1, x=2) == ("cloud-a", (1,), {"x": 2})


def test_start_and_end_are_logged_but_never_the_arguments() -> None:
    def fail(_: Skill, mail: str) -> None:
        raise ValueError(mail[:0])

    registry = cloud(**{"cloud-a": fail})
    with capture_logs() as lines, pytest.raises(ValueError):
        registry.run("cloud-a", mail="the secret text")
    with capture_logs() as more:
        registry.run("shared-c", mail="the secret text")
    assert [(e["event"], e["skill"]) for e in lines] == [
        ("skill started", "cloud-a"),
        ("skill ended", "cloud-a"),
    ]
    assert lines[1]["outcome"] == "failed"
    assert more[1]["outcome"] == "done"
    assert "the secret text" not in str(lines + more)


def test_a_skill_may_call_only_the_tools_that_it_names() -> None:
    registry = cloud()
    own = registry.get("cloud-a")
    registry.allow_tool(own, "email:draft_email")
    registry.allow_tool(own, "email/draft_email")
    for tool in ("email:send_email", "email/send_email", "draft_email", ""):
        with pytest.raises(PolicyDenied, match="may not call"):
            registry.allow_tool(own, tool)


def test_a_skill_made_up_by_the_caller_does_not_widen_its_tools() -> None:
    forged = skill("cloud-a", "cloud", None, ("email:send_email",))
    with pytest.raises(PolicyDenied):
        cloud().allow_tool(forged, "email:send_email")
    with pytest.raises(PolicyDenied):
        cloud().allow_tool(SKILLS["local-b"], "email:send_email")


def test_skills_are_found_by_zone() -> None:
    assert [s.name for s in cloud().for_zone("Email")] == ["cloud-a"]
    assert [s.name for s in cloud().for_zone(Zone.GENERAL)] == ["shared-c"]
    assert cloud().for_zone("payments") == []

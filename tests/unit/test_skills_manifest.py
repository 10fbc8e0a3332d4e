"""SKILL.md: ours are valid, and what is not is refused with file and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from skills_ref import read_properties, validate

from nightdesk.errors import ConfigError
from nightdesk.policy import Zone
from nightdesk.skills import manifest
from nightdesk.skills.manifest import SkillError, data_root, load_skill, load_skills, skills_root

OURS = sorted(p.name for p in skills_root().iterdir() if p.is_dir())

GOOD = """---
name: some-skill
description: "Does a thing. Use it when asked."
metadata:
  role: cloud
  trigger: "When asked"
  zone: email
  version: "1.0"
allowed-tools: "email:draft_email email:search_emails"
---
Do the thing.
"""


def write(root: Path, text: str, name: str = "some-skill") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text, "utf-8")
    return folder


@pytest.mark.requirement("FR-017")
@pytest.mark.parametrize("name", OURS)
def test_every_skill_is_valid_under_the_reference_validator(name: str) -> None:
    assert validate(skills_root() / name) == []


@pytest.mark.parametrize("name", OURS)
def test_reference_reader_and_ours_agree(name: str) -> None:
    ours = load_skill(skills_root() / name)
    theirs = read_properties(skills_root() / name)
    assert (theirs.name, theirs.description) == (ours.name, ours.description)
    assert isinstance(theirs.allowed_tools, str | None)
    assert tuple((theirs.allowed_tools or "").split()) == ours.allowed_tools
    assert theirs.metadata["role"] == ours.role


def test_the_skills_of_this_version() -> None:
    skills = load_skills(skills_root())
    assert {n: (s.role, s.zone) for n, s in skills.items()} == {
        "check-claimed": ("shared", None),
        "claim-task": ("shared", None),
        "cloud-draft-email": ("cloud", Zone.EMAIL),
        "cloud-write-update": ("cloud", None),
        "local-execute-approved": ("local", None),
        "local-merge-updates": ("local", None),
        "plan-request": ("shared", Zone.GENERAL),
        "sync-vault": ("shared", None),
    }


@pytest.mark.requirement("FR-002")
def test_no_skill_that_the_cloud_loads_names_a_tool_that_sends() -> None:
    for skill in load_skills(skills_root()).values():
        if skill.role != "local":
            assert "email:send_email" not in skill.allowed_tools


def test_a_good_skill_is_read(tmp_path: Path) -> None:
    skill = load_skill(write(tmp_path, GOOD))
    assert skill.name == "some-skill"
    assert skill.trigger == "When asked"
    assert skill.zone is Zone.EMAIL
    assert skill.allowed_tools == ("email:draft_email", "email:search_emails")
    assert skill.instruction == "Do the thing."
    assert skill.version == "1.0"


BROKEN = {
    "unknown key": (GOOD.replace("metadata:", "version: '1'\nmetadata:"), "unknown key `version`"),
    "key twice": (GOOD.replace("name: some-skill", "name: some-skill\nname: x"), "stands twice"),
    "tools as a list": (
        GOOD.replace(
            'allowed-tools: "email:draft_email email:search_emails"', "allowed-tools:\n- a:b"
        ),
        "must be one text",
    ),
    "nested metadata": (GOOD.replace("zone: email", "zone:\n    a: b"), "must be one text"),
    "anchor": (GOOD.replace("role: cloud", "role: &a cloud"), "anchors"),
    "alias": (GOOD.replace("zone: email", "zone: &a email\n  x: *a"), "anchors"),
    "tag": (GOOD.replace("role: cloud", "role: !!str cloud"), "tags"),
    "dashes inside": (GOOD.replace("When asked", "a---b"), "may not stand inside"),
    "no properties": ("Do the thing.\n", "must begin with properties"),
    "never closed": ("---\nname: some-skill\n", "must begin with properties"),
    "no YAML": (GOOD.replace("role: cloud", "role: [cloud"), "not valid YAML"),
    "no mapping": ("---\n- a\n---\nx\n", "`key: value`"),
    "empty properties": ("---\n---\nx\n", "`key: value`"),
    "bad name": (GOOD.replace("some-skill", "Some_Skill"), "is no name"),
    "double hyphen": (GOOD.replace("some-skill", "some--skill"), "is no name"),
    "reserved word": (GOOD.replace("some-skill", "claude-skill"), "reserved"),
    "other name": (GOOD.replace("name: some-skill", "name: other"), "that of its folder"),
    "no description": (
        GOOD.replace("Does a thing. Use it when asked.", ""),
        "`description` is missing",
    ),
    "long description": (GOOD.replace("Does a thing", "x" * 1025), "1024"),
    "bad role": (GOOD.replace("role: cloud", "role: everyone"), "cloud, local or shared"),
    "no role": (GOOD.replace("  role: cloud\n", ""), "cloud, local or shared"),
    "no metadata": ("---\nname: some-skill\ndescription: x\n---\nDo.\n", "cloud, local or shared"),
    "no trigger": (GOOD.replace('"When asked"', '""'), "metadata.trigger"),
    "no version": (GOOD.replace('  version: "1.0"\n', ""), "metadata.version"),
    "bad zone": (GOOD.replace("zone: email", "zone: moon"), "is not one of"),
    "cloud in payments": (
        GOOD.replace("zone: email", "zone: payments"),
        "may not work in the zone",
    ),
    "shared in whatsapp": (
        GOOD.replace("role: cloud", "role: shared").replace("zone: email", "zone: whatsapp"),
        "the cloud agent may not work in the zone whatsapp",
    ),
    "tool without server": (GOOD.replace("email:draft_email ", "draft_email "), "server:tool"),
    "tool twice": (GOOD.replace("search_emails", "draft_email"), "twice"),
    "sending tool": (GOOD.replace("search_emails", "send_email"), "only local ones may"),
    "empty body": (GOOD.replace("Do the thing.", ""), "is empty"),
    "too long": (GOOD + "x" * 20_000, "longer than"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_skill_is_refused_with_file_and_remedy(case: str, tmp_path: Path) -> None:
    text, what = BROKEN[case]
    folder = write(tmp_path, text, "claude-skill" if case == "reserved word" else "some-skill")
    with pytest.raises(SkillError) as caught:
        load_skill(folder)
    assert what in caught.value.what
    assert caught.value.where == str(folder / "SKILL.md")
    assert caught.value.remedy
    assert caught.value.exit_code == 3


def test_a_folder_without_a_skill_and_bad_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SkillError, match=r"has no SKILL\.md"):
        load_skills(tmp_path)
    (tmp_path / "empty" / "SKILL.md").write_bytes(b"\xff\xfe")
    with pytest.raises(SkillError, match="cannot be read"):
        load_skills(tmp_path)
    with pytest.raises(SkillError, match="no such folder"):
        load_skills(tmp_path / "nowhere")


def test_data_lies_in_the_wheel_or_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "nightdesk"
    (package / "skills").mkdir(parents=True)
    (tmp_path / "agent_skills").mkdir()
    monkeypatch.setattr(manifest, "__file__", str(package / "skills" / "manifest.py"))
    with pytest.raises(ConfigError, match="missing from this installation"):
        data_root("agent_skills")  # a folder of that name without pyproject.toml is somebody else's
    (tmp_path / "pyproject.toml").touch()
    assert data_root("agent_skills") == tmp_path / "agent_skills"
    (package / "_data" / "agent_skills").mkdir(parents=True)
    assert data_root("agent_skills") == package / "_data" / "agent_skills"

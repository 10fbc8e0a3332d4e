"""SKILL.md: a skill as it stands on disk, read strictly (docs/design.md, section 7).

Stricter than the reference validator: `allowed-tools` must be one text, metadata must be flat,
and a skill that the cloud loads may name no tool that sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

import yaml

from nightdesk.errors import ConfigError
from nightdesk.policy import Role, Verb, Zone, may
from nightdesk.vault.actions import ACTIONS

SkillRole: TypeAlias = Literal["cloud", "local", "shared"]

SKILL_FILE = "SKILL.md"
MAX_SKILL_CHARACTERS = 20_000
"""About 5,000 tokens, the standard's advice for a body."""

_KEYS = frozenset(
    {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
)  # the six keys of the standard; anything else is an error
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TOOL = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
_DESCRIBED = "agentskills.io describes the format"

Fields: TypeAlias = dict[str, "str | dict[str, str]"]


class SkillError(ConfigError):
    """A skill's folder or SKILL.md is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill.

    Attributes:
        name: the folder's name, for example "cloud-draft-email".
        description: what it does and when, one paragraph.
        role: which agent loads it; "shared" means both.
        trigger: the event it answers to, in words.
        zone: the zone whose claimed tasks it works on; None where it has none.
        allowed_tools: MCP tools it may call, as "server:tool".
        instruction: the body: what the model is told, or what the handler does.
        path: the SKILL.md file.
        version: the skill's own version, "1.0".
    """

    name: str
    description: str
    role: SkillRole
    trigger: str
    zone: Zone | None
    allowed_tools: tuple[str, ...]
    instruction: str
    path: Path
    version: str = "1.0"

    def loaded_by(self, role: Role) -> bool:
        """Whether an agent of this role has the skill."""
        return self.role in (role, "shared")


def data_root(name: str) -> Path:
    """The folder of data files that travels with the package.

    Args:
        name: "agent_skills" or "vault_template". In the installed wheel it lies in
            `nightdesk/_data/`, in a checkout at its top.

    Raises:
        ConfigError: neither is there; the installation is not whole.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / name
    if installed.is_dir():
        return installed
    checkout = package.parents[1]
    # pyproject.toml tells a checkout from a site-packages folder that merely looks alike.
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise ConfigError(
        f"the folder {name}/ is missing from this installation",
        remedy="Install Nightdesk again",
        where=str(installed),
    )


def skills_root() -> Path:
    """The folder that holds the skills, one folder each."""
    return data_root("agent_skills")


def load_skills(root: Path) -> dict[str, Skill]:
    """Read every skill below a folder, by name, in the order of their names.

    Raises:
        SkillError: the folder is not there, or one of the skills is wrong.
    """
    if not root.is_dir():
        raise SkillError(
            "there is no such folder of skills",
            remedy="Install Nightdesk again, or correct the path",
            where=str(root),
        )
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return {skill.name: skill for skill in map(load_skill, folders)}


def load_skill(folder: Path) -> Skill:
    """Read one skill.

    Args:
        folder: holds SKILL.md; its name must be the skill's name.

    Raises:
        SkillError: names the file, what is wrong in it and how to put it right.
    """
    path = folder / SKILL_FILE
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except FileNotFoundError as e:
        raise SkillError(
            f"the skill has no {SKILL_FILE}",
            remedy="Write one, or remove the folder",
            where=str(folder),
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        raise SkillError(
            f"the skill cannot be read ({e})",
            remedy="It must be a UTF-8 text file that you may read",
            where=str(path),
        ) from e
    try:
        fields, body = _split(text)
        return _skill(fields, body, path)
    except ValueError as e:
        raise SkillError(str(e), remedy=f"Correct it; {_DESCRIBED}", where=str(path)) from e


def _split(text: str) -> tuple[Fields, str]:
    if len(text) > MAX_SKILL_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_SKILL_CHARACTERS} characters")
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0] != "---" or "---" not in lines[1:]:
        raise ValueError("it must begin with properties between two lines `---`")
    end = lines.index("---", 1)
    block = "\n".join(lines[1:end])
    if "---" in block:  # readers that split at the first `---` would see another file
        raise ValueError("`---` may not stand inside the properties")
    try:
        return _fields(block), "\n".join(lines[end + 1 :]).strip()
    except yaml.YAMLError as e:
        raise ValueError(f"the properties are not valid YAML ({str(e).splitlines()[0]})") from e


def _fields(block: str) -> Fields:
    for event in yaml.parse(block, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise ValueError("YAML anchors, aliases and tags are not allowed")
    found: Fields = {}
    for key, node in _pairs(yaml.compose(block, Loader=yaml.SafeLoader), "the properties"):
        if key not in _KEYS:
            raise ValueError(f"unknown key `{key}`; allowed are {', '.join(sorted(_KEYS))}")
        if key == "metadata":
            found[key] = {k: _text(v, f"metadata.{k}") for k, v in _pairs(node, "`metadata`")}
        else:
            found[key] = _text(node, key)
    return found


def _pairs(node: yaml.Node | None, what: str) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{what} must be `key: value` lines")
    pairs = [(_text(key, "a key"), value) for key, value in node.value]
    for position, (key, _) in enumerate(pairs):
        if key in (k for k, _ in pairs[:position]):
            raise ValueError(f"`{key}` stands twice")
    return pairs


def _text(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"`{what}` must be one text")
    return str(node.value)


def _skill(fields: Fields, body: str, path: Path) -> Skill:
    name = _name(_one(fields, "name"), path.parent.name)
    description = _one(fields, "description")
    if len(description) > 1024 or "<" in description:
        raise ValueError("`description` must have at most 1024 characters and no XML tags")
    metadata = fields.get("metadata", {})
    assert isinstance(metadata, dict)
    role = _role(metadata.get("role", ""))
    if not _VERSION.fullmatch(version := metadata.get("version", "")):
        raise ValueError('`metadata.version` must be a quoted version like "1.0"')
    if not (trigger := metadata.get("trigger", "").strip()):
        raise ValueError("`metadata.trigger` must say when the skill runs")
    if not body:
        raise ValueError("the instruction (the text below the properties) is empty")
    return Skill(
        name=name,
        description=description,
        role=role,
        trigger=trigger,
        zone=_zone(metadata.get("zone"), role),
        allowed_tools=_tools(cast("str", fields.get("allowed-tools", "")), role),
        instruction=body,
        path=path,
        version=version,
    )


def _one(fields: Mapping[str, str | dict[str, str]], key: str) -> str:
    value = fields.get(key, "")
    assert isinstance(value, str)
    if not value.strip():
        raise ValueError(f"`{key}` is missing")
    return value.strip()


def _name(name: str, folder: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise ValueError(f"{name!r} is no name: use up to 64 of a-z, 0-9 and single hyphens")
    if "claude" in name or "anthropic" in name:
        raise ValueError(f"{name!r} uses a reserved word")
    if name != folder:
        raise ValueError(f"the name {name!r} must be that of its folder, {folder!r}")
    return name


def _role(role: str) -> SkillRole:
    if role not in ("cloud", "local", "shared"):
        raise ValueError("`metadata.role` must be cloud, local or shared")
    return cast("SkillRole", role)


def _zone(name: str | None, role: SkillRole) -> Zone | None:
    if name is None:
        return None
    try:
        zone = Zone(name)
    except ValueError as e:
        raise ValueError(f"`metadata.zone`: {name!r} is not one of {', '.join(Zone)}") from e
    for needed in Role:
        if role in (needed, "shared") and not may(needed, zone, Verb.DRAFT):
            raise ValueError(f"the {needed} agent may not work in the zone {zone}")
    return zone


def _tools(text: str, role: SkillRole) -> tuple[str, ...]:
    tools = tuple(text.split())
    sending = {model.TOOL.replace("/", ":") for model in ACTIONS.values()}
    for tool in tools:
        if not _TOOL.fullmatch(tool):
            raise ValueError(f"`allowed-tools`: {tool!r} is not of the form server:tool")
        if role != "local" and tool in sending:
            raise ValueError(f"a {role} skill may not name {tool}, which acts; only local ones may")
    if len(set(tools)) != len(tools):
        raise ValueError("`allowed-tools` names a tool twice")
    return tools

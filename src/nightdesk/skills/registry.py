"""The registry: which skills the running role has, and the handler of each (FR-017).

A skill without a handler, a handler without a skill, or a handler for the other role's skill
stops the start: an agent never runs half equipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import structlog

from nightdesk.errors import PolicyDenied
from nightdesk.policy import Role
from nightdesk.skills.manifest import Skill, SkillError

Handler: TypeAlias = Callable[..., Any]
"""Called with the skill first, then with whatever `Registry.run` was given."""

log = structlog.get_logger(__name__)


class Registry:
    """The skills of one role, each with its handler.

    Args:
        role: the agent that runs.
        skills: every skill there is, by name; those of the other role are left out.
        handlers: this role's handlers, by skill name.

    Raises:
        SkillError: names the skill or handler that has no counterpart.
    """

    def __init__(
        self, role: Role, skills: Mapping[str, Skill], handlers: Mapping[str, Handler]
    ) -> None:
        self.role = role
        self._skills = {name: skill for name, skill in skills.items() if skill.loaded_by(role)}
        self._handlers = dict(handlers)
        for name in sorted(self._handlers.keys() - self._skills.keys()):
            raise _stray_handler(name, role, skills.get(name))
        for name in sorted(self._skills.keys() - self._handlers.keys()):
            raise SkillError(
                f"the skill {name!r} has no handler in the {role} agent",
                remedy="Install the version of Nightdesk that it belongs to, or remove its folder",
                where=str(self._skills[name].path),
            )

    def names(self) -> list[str]:
        """The names of this role's skills, sorted."""
        return sorted(self._skills)

    def get(self, name: str) -> Skill:
        """One skill of this role.

        Raises:
            PolicyDenied: this role has no such skill.
        """
        try:
            return self._skills[name]
        except KeyError:
            raise PolicyDenied(
                f"the {self.role} agent has no skill {name!r}",
                remedy=f"It has: {', '.join(self.names())}",
            ) from None

    def for_zone(self, zone: str) -> list[Skill]:
        """The skills that work on tasks of a zone, by name; zones compare without case."""
        wanted = zone.casefold()
        return [self._skills[name] for name in self.names() if self._skills[name].zone == wanted]

    def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a skill's handler with the skill and these arguments, and return its result.

        Start and end are logged for --verbose, never the arguments: they may hold mail.

        Raises:
            PolicyDenied: this role has no such skill.
        """
        skill = self.get(name)
        bound = log.bind(skill=name, role=str(self.role))
        bound.debug("skill started")
        started = time.monotonic()
        outcome = "failed"
        try:
            result = self._handlers[name](skill, *args, **kwargs)
            outcome = "done"
            return result
        finally:
            seconds = round(time.monotonic() - started, 3)
            bound.debug("skill ended", outcome=outcome, seconds=seconds)

    def allow_tool(self, skill: Skill, tool: str) -> None:
        """Let a skill call a tool, or refuse.

        Args:
            tool: "server:tool"; "server/tool", as actions write it, means the same.

        Raises:
            PolicyDenied: the skill is not this role's, or does not name the tool.
        """
        own = self.get(skill.name)
        if tool.replace("/", ":", 1) not in own.allowed_tools:
            raise PolicyDenied(
                f"the skill {own.name!r} may not call the tool {tool}",
                remedy="Only tools in its allowed-tools may be called",
                where=str(own.path),
            )


def _stray_handler(name: str, role: Role, skill: Skill | None) -> SkillError:
    if skill is None:
        return SkillError(
            f"the {role} agent has a handler for the skill {name!r}, but there is no such skill",
            remedy="Install Nightdesk again; a folder of agent_skills/ is missing",
        )
    return SkillError(
        f"the {role} agent has a handler for {name!r}, which is a skill of the {skill.role} agent",
        remedy="Correct metadata.role in its SKILL.md, or install Nightdesk again",
        where=str(skill.path),
    )

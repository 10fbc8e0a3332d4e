"""The cloud's handlers: one function a skill, bound by name in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nightdesk.skills import drafting, shared
from nightdesk.skills.manifest import Skill


def write_update(skill: Skill, *args: Any, **kwargs: Any) -> None:
    """Report finished or failed work; the arguments are those of `drafting.report`."""
    drafting.report(*args, **kwargs)


HANDLERS: Mapping[str, Callable[..., Any]] = {
    "claim-task": shared.claim_task,
    "check-claimed": shared.check_claimed,
    "sync-vault": shared.sync_vault,
    "cloud-draft-email": drafting.draft_reply,
    "cloud-write-update": write_update,
    "plan-request": drafting.plan_request,
}
"""Skill name -> handler, for the cloud's own and the shared skills."""

"""The laptop's handlers: one function a skill, bound by name in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from nightdesk.errors import NoteError
from nightdesk.local_agent.executor import Executor
from nightdesk.local_agent.round import PassReport
from nightdesk.local_agent.updates import UpdateLog
from nightdesk.skills import drafting, shared
from nightdesk.skills.manifest import Skill
from nightdesk.vault.updates import Update


def execute_approved(skill: Skill, *, executor: Executor, now: datetime) -> PassReport:
    """Carry out what the person approved, once."""
    return executor.pass_once(now)


def merge_updates(
    skill: Skill, *, log: UpdateLog, vault: Path
) -> tuple[list[Update], list[NoteError]]:
    """Take the cloud's updates out of the vault for the dashboard."""
    return log.merge(vault)


HANDLERS: Mapping[str, Callable[..., Any]] = {
    "claim-task": shared.claim_task,
    "check-claimed": shared.check_claimed,
    "sync-vault": shared.sync_vault,
    "local-execute-approved": execute_approved,
    "local-merge-updates": merge_updates,
    "plan-request": drafting.plan_request,
}
"""Skill name -> handler, for the laptop's own and the shared skills."""

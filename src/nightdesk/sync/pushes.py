"""What came of a push: git's answer read, and said to a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nightdesk.errors import HubRefused
from nightdesk.sync import locks
from nightdesk.sync.process import Result
from nightdesk.sync.storage import cannot_for_now

_LOST = ("failed to update ref", "cannot lock ref", "failed to lock", "incorrect old value")


class PushOutcome(Enum):
    """How a push ended. LOST: somebody was first. UNKNOWN: fetch and look."""

    ACCEPTED = "accepted"
    LOST = "lost"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Push:
    """A push's outcome and the far side's words.

    Attributes:
        passing: the hub could not, rather than would not (its disk is full or read-only, or its
            quota is used up): the same push may be accepted later.
        locked: which lock file in a hub on this machine is in the way, and what to do; else "".
    """

    outcome: PushOutcome
    reason: str = ""
    passing: bool = False
    locked: str = ""


def refused(hub: str, push: Push) -> HubRefused:
    """Say that the hub answered no."""
    if push.passing:
        return HubRefused(
            f"the hub could not store our changes: {push.reason}",
            remedy="Free space on the hub's disk, make it writable, or raise its quota; the"
            " changes are kept here and sent again by themselves",
            where=hub,
        )
    return HubRefused(
        f"the hub refused our changes: {push.reason}",
        remedy="The same push is not sent again; see the hub's message, then change the note",
        where=hub,
    )


def read_push(result: Result) -> Push:
    """Read git's answer to `push --porcelain` of one ref (git-push(1), OUTPUT)."""
    if result.code == 0:
        return Push(PushOutcome.ACCEPTED)
    rows = result.out.decode("utf-8", "replace").splitlines()
    verdict = next((row.split("\t")[-1] for row in rows if row.startswith("!\t")), "")
    said = " / ".join(
        line.removeprefix("remote:").strip()
        for line in result.err.splitlines()
        if line.startswith("remote:") and line.removeprefix("remote:").strip()
    )
    if verdict.startswith("[rejected]"):
        return Push(PushOutcome.LOST, verdict)
    if verdict.startswith("[remote rejected]"):
        reason = f"{verdict.removeprefix('[remote rejected] ').strip('()')}"
        said = said or _unpack_failure(result.err)
        reason = f"{reason}: {said}" if said else reason
        locked = str(locks.blocked(result.err) or "")
        # A ref that cannot be written is no lost race: trying at once again would never end.
        passing = cannot_for_now(reason)
        lost = any(word in verdict for word in _LOST) and not passing
        return Push(PushOutcome.LOST if lost else PushOutcome.REFUSED, reason, passing, locked)
    return Push(PushOutcome.UNKNOWN, result.reason)


def _unpack_failure(error: str) -> str:
    start = "error: remote unpack failed: "
    return next((li.removeprefix(start) for li in error.splitlines() if li.startswith(start)), "")

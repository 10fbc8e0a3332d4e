"""Claiming in the hub: a commit that only moves files, accepted or not.

The rule: docs/design.md, section 3.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from nightdesk.errors import HubUnreachable
from nightdesk.sync.clone import MAIN
from nightdesk.sync.entries import Entry
from nightdesk.sync.git import Git, PushOutcome, refused
from nightdesk.sync.hub import Hub
from nightdesk.sync.trees import Trees
from nightdesk.vault.layout import Folder, claim_path, place_of

BATCH = 50
ATTEMPTS = 24


def back_off(attempt: int) -> None:
    """Wait after a lost race: up to 20 ms, doubled each time, never more than a second."""
    time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 - jitter, no secret


def claim_in_hub(
    paths: Sequence[str],
    agent: str,
    *,
    git: Git,
    hub: Hub,
    trees: Trees,
    entries_at: Callable[[str], Mapping[str, Entry]],
    may_claim_on: Callable[[str | None], bool],
) -> dict[str, str]:
    """Claim tasks in the hub, up to 50 at once.

    Args:
        paths: vault-relative, in `Needs_Action/`.
        agent: who claims.
        entries_at: what a commit of the hub holds.
        may_claim_on: whether a fetched tip is one to build upon.

    Returns:
        Old path -> new path, of those that the hub holds as this agent's now.

    Raises:
        HubUnreachable: no answer; a claim may or may not have arrived, and the next fetch
            tells (a claim that did arrive comes back as a move into our own folder).
        HubRefused: the hub said no.
    """
    wanted = {p: claim_path(agent, place_of(p).name) for p in paths if _is_task(p)}
    for attempt in range(ATTEMPTS):
        tip = hub.fetch()
        if tip is None or not may_claim_on(tip):
            return {}
        held = entries_at(tip)
        moves = {p: t for p, t in wanted.items() if p in held and t not in held}
        if not moves:
            return {}
        changes: dict[str, Entry | None] = dict.fromkeys(moves)
        changes.update({target: held[path] for path, target in moves.items()})
        commit = git.commit(trees.write(tip, changes), [tip], _message(agent, len(moves)))
        push = git.push(f"{commit}:{MAIN}")
        if push.outcome is PushOutcome.REFUSED:
            raise refused(git.hub, push)
        if push.outcome is PushOutcome.ACCEPTED:
            return moves
        if push.outcome is PushOutcome.UNKNOWN:
            arrived = _look(commit, git, hub)
            if arrived:
                now = entries_at(arrived)
                return {p: t for p, t in moves.items() if now.get(t) == held[p]}
        back_off(attempt)
    return {}


def _look(commit: str, git: Git, hub: Hub) -> str | None:
    tip = hub.fetch()
    if tip is None:
        raise HubUnreachable(
            "the hub lost its history", remedy="The next sync repairs it", where=git.hub
        )
    return tip if git.is_ancestor(commit, tip) else None


def _is_task(path: str) -> bool:
    place = place_of(path)
    return place.folder is Folder.NEEDS_ACTION and place.is_note


def _message(agent: str, number: int) -> str:
    return f"{agent}: claim {number} {'task' if number == 1 else 'tasks'}"

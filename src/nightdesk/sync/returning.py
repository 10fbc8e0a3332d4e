"""Giving back what a silent agent has claimed: a commit that only moves files, like a claim.

The rule: docs/design.md, section 3. The hub decides in the same moment whether the agent is
still silent, the tasks still lie in its folder, and none has a card; a push that does not go
through changes nothing, and the next pass looks again.
"""

from __future__ import annotations

from collections.abc import Mapping

from nightdesk.sync.clone import MAIN
from nightdesk.sync.entries import Entry, PathMap
from nightdesk.sync.git import Git
from nightdesk.sync.hub import Hub
from nightdesk.sync.pairing import Ident, is_state_note
from nightdesk.sync.pushes import PushOutcome, refused
from nightdesk.sync.trees import Trees
from nightdesk.vault.layout import Folder, card_task, place_of

BATCH = 50
_CARDS = (f"{Folder.PENDING}/", f"{Folder.APPROVED}/", f"{Folder.REJECTED}/")


def return_in_hub(
    moves: Mapping[str, str],
    owner: str,
    silent_for: float,
    *,
    agent: str,
    git: Git,
    hub: Hub,
    trees: Trees,
    merged: str,
    held: PathMap,
    ident: Ident,
) -> tuple[str, dict[str, str]]:
    """Move a silent agent's claims back to `Needs_Action/` in the hub.

    Args:
        moves: path in `In_Progress/<owner>/` -> path in `Needs_Action/`; of more than 50 the
            first.
        owner: the agent that is silent.
        silent_for: how many seconds it must have been silent, counting this very look.
        agent: who gives back.
        merged: the hub's commit that this disk has merged. Where the hub has gone on since,
            nothing is given back: the next cycle looks at what came first.
        held: what that commit holds.
        ident: id of a note in a state folder.

    Returns:
        The commit, and those of `moves` that it made; `merged` and none when the agent gave a
        sign of life, or somebody was first. A task whose card is in the hub stays.

    Raises:
        HubUnreachable: no answer.
        HubRefused: the hub said no.
    """
    tip = hub.fetch()
    beat = hub.heartbeat(owner)
    if tip != merged or beat is None or beat.silent_seconds < silent_for:
        return merged, {}
    carded = {card_task(place_of(p).stem) for p in held if p.startswith(_CARDS)}
    free = {
        source: target
        for source, target in moves.items()
        if source in held
        and target not in held
        and is_state_note(source)
        and ident(source, held[source])[0] not in carded
    }
    free = dict(list(free.items())[:BATCH])
    if not free:
        return merged, {}
    changes: dict[str, Entry | None] = dict.fromkeys(free)
    changes.update({target: held[source] for source, target in free.items()})
    number = f"{len(free)} {'task' if len(free) == 1 else 'tasks'}"
    message = f"{agent}: return {number} of {owner}, which is silent"
    commit = git.commit(trees.write(merged, changes), [merged], message)
    push = git.push(f"{commit}:{MAIN}")
    if push.outcome is PushOutcome.REFUSED:
        raise refused(git.hub, push)
    return (commit, free) if push.outcome is PushOutcome.ACCEPTED else (merged, {})

"""Claiming in the hub: a commit that only moves files, accepted or not.

The rule: docs/design.md, section 3. A push is a compare-and-swap, so the first one is tried on
the tip that was seen last, without asking before: if anybody was there since, the hub says no
and nothing has happened. After a loss the claim is built anew on what the hub holds now, of the
tasks that nobody took meanwhile.

Who has just won knows the tip and would win again and again, while the others still fetch, and
would never learn of them. So a winner in haste lets one turn pass now and then; once it has
met others, it waits after every win, and the losers do not. All waits are measured in durations
of a claim, which takes 50 ms on one disk and a second over a slow line.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nightdesk.errors import HubUnreachable
from nightdesk.sync.clone import MAIN
from nightdesk.sync.entries import Entry
from nightdesk.sync.git import Git
from nightdesk.sync.hub import Hub
from nightdesk.sync.pushes import PushOutcome, refused
from nightdesk.sync.trees import Trees
from nightdesk.vault.layout import Folder, claim_path, place_of

BATCH = 50
"""So many claims travel in one push at most."""
ATTEMPTS = 24
TURN = 4
"""Of so many wins in a row one is followed by a wait of one turn, also where nobody was met."""
COURTESY = 2.5
"""How many turns a winner waits at most after each win once it has met others."""
MET_SECONDS = 10.0
"""So long a winner remembers that it has met others."""


def back_off(attempt: int) -> None:
    """Wait after a cycle that somebody overtook: up to 20 ms, doubled each time, at most 160 ms.

    The limit is a few pushes long: a longer wait would leave the field to whoever just won.
    """
    _sleep_up_to(min(0.16, 0.02 * 2**attempt))


def _sleep_up_to(seconds: float) -> None:
    time.sleep(random.uniform(0, max(0.0, seconds)))  # noqa: S311 - jitter, no secret


def choose(paths: Sequence[str], most: int) -> list[str]:
    """Choose which tasks to try for: the first `most` from a random place on, round the end.

    Agents that look at one list would otherwise all run for its head, and all but one in vain.
    """
    if len(paths) <= most:
        return list(paths)
    at = random.randrange(len(paths))  # noqa: S311 - spreads load, no secret
    return [*paths[at : at + most], *paths[: max(0, at + most - len(paths))]]


@dataclass(frozen=True, slots=True)
class _Try:
    """A claim commit that was pushed: what it moves, and what lay there."""

    commit: str
    moves: Mapping[str, str]
    held: Mapping[str, Entry]


class Claiming:
    """One agent's claims.

    Args:
        agent: who claims.
        entries_at: what a commit of the hub holds.
        may_claim_on: whether a fetched tip is one to build upon.
    """

    def __init__(
        self,
        agent: str,
        *,
        git: Git,
        hub: Hub,
        trees: Trees,
        entries_at: Callable[[str], Mapping[str, Entry]],
        may_claim_on: Callable[[str | None], bool],
    ) -> None:
        self._agent = agent
        self._git = git
        self._hub = hub
        self._trees = trees
        self._entries_at = entries_at
        self._may_claim_on = may_claim_on
        self._seen: str | None = None
        self._took = 0.05
        self._won_at = self._met_at = float("-inf")
        self._in_a_row = 0

    def hub_stands_at(self, commit: str | None) -> None:
        """Tell where the hub stood after the last cycle; the next claim builds on it.

        Args:
            commit: judged and merged; None where the next claim has to look for itself.
        """
        self._seen = commit

    def claim(self, paths: Sequence[str], most: int = BATCH) -> dict[str, str]:
        """Claim tasks in the hub, in one push.

        Args:
            paths: vault-relative; what is no task in `Needs_Action/`, or not in the hub, is
                left out.
            most: how many at most, up to 50; which of more `paths` they are is left to chance.

        Returns:
            Old path -> new path, of those that the hub holds as this agent's now.

        Raises:
            HubUnreachable: no answer; a claim may or may not have arrived, and the next fetch
                tells (a claim that did arrive comes back as a move into our own folder).
            HubRefused: the hub said no.
        """
        wanted = {p: claim_path(self._agent, place_of(p).name) for p in paths if _is_task(p)}
        if not wanted:
            return {}
        doubtful: list[_Try] = []
        self._let_others_go_first()
        tip = self._known_to_hold(wanted)
        for _ in range(ATTEMPTS):
            begun = time.monotonic()
            if tip is None:
                tip = self._hub.fetch()
                if doubtful and (moves := self._arrived(doubtful, tip)):
                    return moves
                if tip is None or not self._may_claim_on(tip):
                    return {}
            held = self._entries_at(tip)
            free = [p for p, t in wanted.items() if p in held and t not in held]
            if not free:
                return {}
            made = self._commit(tip, choose(free, min(most, BATCH)), wanted, held)
            # Exactly there: a hub that lost its end or all of it is for the next cycle to judge.
            push = self._git.push(f"{made.commit}:{MAIN}", only_if_at=tip)
            self._seen = tip = None
            now = time.monotonic()
            self._took = now - begun
            if push.outcome is PushOutcome.ACCEPTED:
                self._won_at = now
                self._in_a_row += 1
                self._seen = made.commit
                return dict(made.moves)
            if push.outcome is PushOutcome.REFUSED:
                raise refused(self._git.hub, push)
            if push.outcome is PushOutcome.UNKNOWN:
                # It may also arrive later than our next look, so every look asks for it.
                doubtful.append(made)
            self._met_at = now
            self._in_a_row = 0
            _sleep_up_to(self._took / 4)
        return {}

    def _let_others_go_first(self) -> None:
        now = time.monotonic()
        since = now - self._won_at
        if now - self._met_at < MET_SECONDS:
            _sleep_up_to(COURTESY * self._took - since)
        elif self._in_a_row % TURN == TURN - 1:
            time.sleep(max(0.0, self._took - since))

    def _known_to_hold(self, wanted: Mapping[str, str]) -> str | None:
        """The tip seen last, where it shows anything that is wanted."""
        if self._seen is None:
            return None
        held = self._entries_at(self._seen)
        return self._seen if any(path in held for path in wanted) else None

    def _commit(
        self, tip: str, paths: Sequence[str], wanted: Mapping[str, str], held: Mapping[str, Entry]
    ) -> _Try:
        moves = {path: wanted[path] for path in paths}
        changes: dict[str, Entry | None] = dict.fromkeys(moves)
        changes.update({target: held[path] for path, target in moves.items()})
        message = f"{self._agent}: claim {len(moves)} {'task' if len(moves) == 1 else 'tasks'}"
        commit = self._git.commit(self._trees.write(tip, changes), [tip], message)
        return _Try(commit, moves, {path: held[path] for path in moves})

    def _arrived(self, doubtful: Sequence[_Try], tip: str | None) -> dict[str, str]:
        """What a push without an answer has won after all, as far as it still is so."""
        if tip is None:
            raise HubUnreachable(
                "the hub lost its history",
                remedy="The next sync repairs it",
                where=self._git.hub,
            )
        for made in doubtful:
            if self._git.is_ancestor(made.commit, tip):
                now = self._entries_at(tip)
                return {p: t for p, t in made.moves.items() if now.get(t) == made.held[p]}
        return {}


def _is_task(path: str) -> bool:
    place = place_of(path)
    return place.folder is Folder.NEEDS_ACTION and place.is_note

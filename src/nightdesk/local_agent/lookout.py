"""Looking whether an effect happened: at the far side, by its key, without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nightdesk.config import Settings
from nightdesk.errors import NightdeskError, NotSent
from nightdesk.local_agent.effects import DONE_WORDS, Effect, effect_of
from nightdesk.local_agent.found import find_copies, find_done, look_at
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.projection import one_line
from nightdesk.local_agent.states import Event
from nightdesk.vault.documents import stamp

Probe = Callable[[str, dict[str, Any]], Mapping[str, Any]]
"""Asks a read-only tool: "server/tool" and its arguments -> its answer.

The answer's `found` is true or false, `where` says where it was looked, `looked` how much was
seen there. Whatever it raises means that nobody could look.
"""

LOOK_FIRST = "look_first_at_cards_until"
"""Journal fact: cards recorded up to this moment may have run without the journal knowing."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw.

    Attributes:
        found: None where nobody could look; `words` then says why.
        words: where it was looked and what was seen, one line.
    """

    found: bool | None
    words: str


class Lookout:
    """Looks for effects.

    Args:
        probe: None where this laptop has nothing that could look.
    """

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        settings: Settings,
        probe: Probe | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._settings = settings
        self._probe = probe
        self._clock = clock

    def can_look(self, effect: Effect) -> bool:
        """Whether there is anything that could look for such an effect."""
        return self._probe is not None and effect.probe != ""

    def look(self, row: Row, key: str = "") -> Sight:
        """Look once for the effect of an action; never raises, never changes anything.

        Args:
            key: what to look for; the key of the attempt that was begun by default.
        """
        effect = effect_of(row.action)
        if self._probe is None or not effect.probe:
            return Sight(None, "there is no place where Nightdesk could look")
        key = key or row.message_id
        try:
            answer = self._probe(effect.probe, {effect.key_argument: key})
        except NightdeskError as e:
            return Sight(None, one_line(e.what if not e.remedy else f"{e.what}. {e.remedy}"))
        except Exception as e:  # noqa: BLE001 - nobody could look; the person is asked instead
            return Sight(None, one_line(e) or type(e).__name__)
        where = one_line(answer.get("where") or "")
        match answer.get("found"):
            case True:
                return Sight(True, where or "at the far side")
            case False:
                looked = one_line(answer.get("looked") or "")
                return Sight(False, f"{where} ({looked})" if looked else where)
            case _:
                return Sight(None, "the answer of the looking tool could not be read")

    def suspect_all(self) -> None:
        """From now on every card that is known now is looked for before it runs."""
        self._journal.set_meta(LOOK_FIRST, self._clock().isoformat())

    def already(self, row: Row) -> Row | None:
        """The last question before INTENT: has this happened already?

        Args:
            row: CLAIMED.

        Returns:
            The action as CONFIRMED if the far side has it; None if it may run.

        Raises:
            NotSent: Done/ says that it was carried out.
        """
        if done := self.done_note(row):
            raise NotSent(
                f"`{done}` says that it was carried out already",
                remedy="If it was not, delete that note and move the card to Approved/ again",
            )
        until = self._journal.meta(LOOK_FIRST)
        suspect = row.attempt > 0 or (until and row.created <= datetime.fromisoformat(until))
        if not suspect:
            return None
        key = effect_of(row.action).key(row, self._settings)
        if (sight := self.look(row, key)).found:
            return self.found(row, sight.words, key)
        if row.message_id not in {"", key, row.result.get("told")}:
            self._tell_of_earlier(row)
        return None

    def _tell_of_earlier(self, row: Row) -> None:
        """Stop once if another text of this card went out: the person may not want both."""
        if (sight := self.look(row)).found:
            result = {**row.result, "told": row.message_id}
            self._journal.note(row, self._clock(), detail="an earlier text went out", result=result)
            raise NotSent(
                f"an earlier text of this card did go out: found in {sight.words}",
                remedy="If this text should go out as well, move it to Approved/ once more",
            )

    def done_note(self, row: Row) -> str | None:
        """The note that says that this action was carried out, or None.

        It lies in Done/, or as a conflict copy beside the card: so sync keeps it where the card
        was moved here too, on an old copy of the vault.
        """
        done = find_done(self._vault, row.id)
        for path in [*([done] if done else []), *find_copies(self._vault, row.id)]:
            found = look_at(self._vault, path)
            if found and found.id == row.id and found.note.get("status") in DONE_WORDS:
                return path
        return None

    def found(self, row: Row, where: str, key: str = "") -> Row:
        """Record that an effect was found to have happened.

        Args:
            where: where it was found, words for a person.
            key: what was found, where that is not the key of the attempt that was begun.
        """
        now = self._clock()
        result = {**row.result, "found": where, "found_at": stamp(now)}
        key = key or row.message_id
        return self._journal.change(
            row, Event.FOUND, now, detail=f"found: {where}", result=result, message_id=key
        )

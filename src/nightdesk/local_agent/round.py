"""One look at the folders, and what the executor has to say after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from nightdesk.errors import NightdeskError
from nightdesk.local_agent.found import Found, look
from nightdesk.vault.layout import Folder

log = structlog.get_logger()

RETRY_SECONDS = 5.0
"""After how long a step is tried again that could not be taken."""


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did.

    Attributes:
        acted: ids for which the one call was made, whatever came of it.
        approved: ids whose approval was recorded in this pass.
        asked: ids about which the person is asked whether they went out.
        refused: "path: reason" of what may not run, new in this pass.
        notices: what a person should hear, a sentence each.
        waiting_until: seconds from now after which to look again; None: nothing waits.
        stopped: the emergency stop lies in the vault, and something waits for its removal.
        held: id or path -> why it does not go on for now, and what to do; shown while it is so.
    """

    acted: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    waiting_until: float | None = None
    stopped: bool = False
    held: Mapping[str, str] = field(default_factory=dict)


class Sightings:
    """Since when each file has stood as it stands; this process's own monotonic time."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[str, int, int], float]] = {}

    def since(self, found: Found, now: float) -> float:
        """The first time at which the file was seen as it is now."""
        mark, first = self._seen.get(found.path, (None, now))
        if mark != found.mark:
            first = now
            self._seen[found.path] = (found.mark, now)
        return first

    def keep_only(self, paths: set[str]) -> None:
        """Forget what is gone."""
        self._seen = {path: seen for path, seen in self._seen.items() if path in paths}


@dataclass(slots=True)
class Round:
    """What lay in the folders at the beginning of a pass; collects what happens in it.

    Attributes:
        now: monotonic seconds, for the quiet period and the hold.
        moment: the same instant on the calendar, for expiry.
    """

    now: float
    moment: datetime
    pending: list[Found]
    approved: list[Found]
    rejected: list[Found]
    acted: list[str] = field(default_factory=list)
    approvals: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    judged: set[tuple[str, str]] = field(default_factory=set)
    still_refused: set[tuple[str, str]] = field(default_factory=set)
    notices: list[str] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    stopped: bool = False
    held: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, vault: Path, now: float, moment: datetime) -> Round:
        """Look at the three folders."""
        pending, approved, rejected = (
            look(vault, folder) for folder in (Folder.PENDING, Folder.APPROVED, Folder.REJECTED)
        )
        return cls(now, moment, pending, approved, rejected)

    def everywhere(self) -> Iterator[Found]:
        """Everything that was found."""
        yield from self.pending
        yield from self.approved
        yield from self.rejected

    def due(self, moment: float) -> bool:
        """Whether a moment has come; if not, the pass asks to be repeated then."""
        if moment <= self.now:
            return True
        self.deadlines.append(moment)
        return False

    @contextmanager
    def one_card(self, name: str) -> Iterator[None]:
        """Let what goes wrong with one card be told, and the others go on.

        Args:
            name: the card's id, or its note's path.
        """
        try:
            yield
        except Exception as e:  # whatever it is, it is this card's alone; the journal decides
            if isinstance(e, NightdeskError | OSError):
                log.warning("a card could not be worked on", card=name, why=str(e))
            else:
                log.exception("a card could not be worked on", card=name)
            why = f"it could not be worked on ({e or type(e).__name__}); it is tried again"
            self.held[name] = why
            self.deadlines.append(self.now + RETRY_SECONDS)

    def report(self) -> PassReport:
        """The result, for the caller."""
        return PassReport(
            acted=tuple(self.acted),
            approved=tuple(self.approvals),
            asked=tuple(self.asked),
            refused=tuple(self.refused),
            notices=tuple(self.notices),
            waiting_until=max(0.0, min(self.deadlines) - self.now) if self.deadlines else None,
            stopped=self.stopped,
            held=dict(self.held),
        )

"""Preflight: the last look at an approved card, before INTENT is written down.

Nothing has been called yet, so whatever is not right here is certain not to have left: the card
goes back to the person with the reason. Each check is a small function in `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nightdesk.config import Settings
from nightdesk.errors import NoteError, NotSent
from nightdesk.local_agent.checks.case import Known
from nightdesk.local_agent.checks.table import risks_of
from nightdesk.local_agent.confirm import refusal, typed_in, unconfirmed
from nightdesk.local_agent.found import find_done, find_task, read_alone, task_note
from nightdesk.local_agent.handbook import SENDS_A_DAY
from nightdesk.local_agent.journal import Journal, Row, sha256
from nightdesk.local_agent.knowledge import Knowledge
from nightdesk.local_agent.states import State
from nightdesk.local_agent.threads import Threads, newer_line, sent_in_thread, shows
from nightdesk.vault.actions import files_in
from nightdesk.vault.attached import Attached, fetch
from nightdesk.vault.body import split_draft
from nightdesk.vault.documents import Card, read_card
from nightdesk.vault.notes import Note, parse_note

_AGAIN = "Read the card again and move it to Approved/ once more"


@dataclass(frozen=True, slots=True)
class Flight:
    """An approved card that is about to be carried out, and what it is checked against.

    Attributes:
        row: the journal's word on it.
        card: what the private copy says; `note` has its properties as the person left them.
        files: the card's files as they were approved.
        now: the present moment, aware.
        threads: what has come into each thread.
        known: what the laptop knows at that moment.
    """

    row: Row
    card: Card
    files: tuple[Attached, ...]
    note: Note
    now: datetime
    vault: Path
    journal: Journal = field(repr=False)
    settings: Settings = field(repr=False)
    threads: Threads = field(repr=False)
    known: Known = field(repr=False)


Check = Callable[[Flight], None]
"""Raises NotSent, with the reason and what to do, where the action may not run now."""


class Preflight:
    """Reads private copies of what was approved, and checks them.

    Args:
        copies: the folder of the private copies.
    """

    def __init__(self, journal: Journal, vault: Path, settings: Settings, copies: Path) -> None:
        self._journal = journal
        self._vault = vault
        self._settings = settings
        self._copies = copies
        self._threads = Threads(vault)
        self._knowledge = Knowledge(journal, vault, settings)

    def approved(self, row: Row, now: datetime) -> Flight:
        """The card in the private copy, proved to be what was recorded.

        Raises:
            NotSent: the copy is missing, damaged, or not what was approved.
        """
        try:
            data, _ = read_alone(self._copies / f"{row.approved_sha}.md")
            card, note = read_card(data, row.path), parse_note(data, row.path)
        except (FileNotFoundError, NoteError) as e:
            what = "the private copy of what you approved is missing or damaged"
            raise NotSent(what, remedy=_AGAIN) from e
        files = files_in(row.canonical)
        if sha256(data) != row.approved_sha or card.action.digest(files) != row.digest:
            raise NotSent("the private copy is not what you approved", remedy=_AGAIN)
        context = (self._vault, self._journal, self._settings)
        return Flight(
            *(row, card, files, note, now, *context),
            threads=self._threads,
            known=self._knowledge.now(),
        )

    @staticmethod
    def check(flight: Flight) -> None:
        """Go through every check.

        Raises:
            NotSent: the first reason why the action may not run now.
        """
        for check in CHECKS:
            check(flight)


def attachments_are_there(flight: Flight) -> None:
    """The bytes that were approved, all of them, in the private copies."""
    named = [path.rpartition("/")[2] for path in flight.card.action.files()]
    if named != [file.name for file in flight.files]:
        raise NotSent("its attachments were not copied when it was approved", remedy=_AGAIN)
    for file in flight.files:
        fetch(flight.journal.path.parent, file)


def task_is_open(flight: Flight) -> None:
    """A task that somebody else has finished needs no answer any more."""
    row = flight.row
    finished = find_done(flight.vault, row.task)
    ours = flight.journal.rows({State.DONE, State.CONFIRMED}, task=row.task)
    if finished and not ours and not find_task(flight.vault, row.task):
        raise NotSent(
            f"its task is finished already ({finished})",
            remedy="Move the task back to Needs_Action/ if this should still be sent",
        )


def nothing_newer(flight: Flight) -> None:
    """What came into the thread since the draft was made must have been shown on the card."""
    task = task_note(flight.vault, flight.row.task)
    if task is None:
        return
    newer = flight.threads.newer(task) + sent_in_thread(flight.journal, task, flight.row)
    if not shows(split_draft(flight.note.text).above, newer):
        raise NotSent(newer_line(newer), remedy="Then move the card to Approved/ once more")


def within_a_day(flight: Flight) -> None:
    """The handbook's limit of sends in one day of this laptop's clock, midnight to midnight."""
    limit = flight.known.handbook.limits.sends_a_day
    midnight = flight.now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    today = [s for s in flight.known.sent if s.at >= midnight and s.id != flight.row.id]
    if len(today) < limit:
        return
    one = "1 mail has" if len(today) == 1 else f"{len(today)} mails have"
    raise NotSent(
        f"{one} gone out today and the limit is {limit}",
        remedy=f"Approve it again tomorrow, or raise `{SENDS_A_DAY}` under Limits in Handbook.md",
    )


def confirmed(flight: Flight) -> None:
    """Every risk that asks for a word has it; the risks are those of what was approved."""
    task = task_note(flight.vault, flight.card.task)
    risks = risks_of(flight.card, task, flight.known)
    if missing := unconfirmed(risks, typed_in(flight.note)):
        raise refusal(missing)


CHECKS: tuple[Check, ...] = (
    attachments_are_there,
    task_is_open,
    nothing_newer,
    within_a_day,
    confirmed,
)
"""In the order in which their reasons help most."""

"""The review: a proposal becomes a card that Local wrote, before a person can see it.

The bytes of a proposal never reach the vault. They are parsed strictly, checked, and the
card is written anew from the parsed values with warnings on top (docs/design.md, section 6).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from nightdesk.config import Settings
from nightdesk.errors import NoteError
from nightdesk.local_agent.attachments import Attachments
from nightdesk.local_agent.checks.case import Known
from nightdesk.local_agent.checks.table import risks_of, tokens_of
from nightdesk.local_agent.found import QUESTION_ID, Found, find_done, find_task, look
from nightdesk.local_agent.journal import Journal, Row, sha256
from nightdesk.local_agent.knowledge import Knowledge
from nightdesk.local_agent.states import Event, State
from nightdesk.local_agent.threads import Threads, newer_line, sent_in_thread, shows
from nightdesk.policy import LOCAL_ONLY_ZONES
from nightdesk.vault import files, scan
from nightdesk.vault.body import DraftFault, split_draft
from nightdesk.vault.documents import (
    ORIGINAL_CUT,
    Card,
    Task,
    read_card,
    read_task,
    unfence,
)
from nightdesk.vault.layout import Folder, Place, place_of
from nightdesk.vault.unchanged import replace_unchanged

MAX_ORIGINAL_CHARACTERS = 40_000


def no_crash(point: str) -> None:
    """The crash point that does nothing; tests pass one that kills the process."""


class Reviewer:
    """Writes the cards.

    Args:
        journal: its folder also holds `quarantine/`, the evidence of refused proposals.
        vault: the vault's root.
        clock: the present moment, aware.
        crash: called with the name of each crash point.

    Attributes:
        in_hub: finds a note by its file name in what a running sync has fetched: a card may
            come in the same cycle as its task, before either is on the disk.
        whereabouts: where a task lies by this disk's word and the hub's; see
            `sync.engine.Engine.whereabouts`.
    """

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        settings: Settings,
        clock: Callable[[], datetime],
        crash: Callable[[str], None] = no_crash,
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._settings = settings
        self._clock = clock
        self._crash = crash
        self._attachments = Attachments(journal, vault)
        self._knowledge = Knowledge(journal, vault, settings)
        self._threads = Threads(vault)
        self.in_hub: Callable[[str], tuple[str, bytes] | None] = lambda name: None
        self.whereabouts: Callable[[str], frozenset[str]] = lambda task: frozenset()

    def incoming(self, path: str, data: bytes) -> bytes | None:
        """Review a proposal that came from the hub; sync calls this before it writes the file.

        Asked again for the same proposal it gives the same card. A different proposal for an
        id that is known is refused, and what is there stays.

        Args:
            path: vault-relative, in `Pending_Approval/`.
            data: the proposal as it came.

        Returns:
            The card to write instead, or None if nothing may be written.
        """
        place = place_of(path)
        proposal = sha256(data)
        row = self._journal.get(_storable(place.stem))
        if row is not None:
            return self._known(row, path, proposal)
        try:
            card = self._checked(data, place, from_hub=True)
            if reason := self._not_the_senders(card):
                # The same id may well come again, from whoever owns the task then.
                self._keep_evidence(data)
                self._journal.refuse(path, proposal, reason, self._clock(), lasting=True)
                return None
            written, expires = self._written(card, path)
        except NoteError as e:
            self._quarantine(place, data, str(e))
            return None
        self._crash("K0")
        self._add(card, path, proposal, written, expires)
        self._journal.clear_refusals([path], self._clock())
        self._crash("K1")
        return written

    def adopt_pending(self) -> list[str]:
        """Review what appeared in `Pending_Approval/` on this disk, and refresh untouched cards.

        A note that cannot be read as a card stays where it is and is shown with the reason.

        Returns:
            The ids of the cards that are new.
        """
        adopted = []
        pending = look(self._vault, Folder.PENDING)
        known = self._knowledge.now() if pending else None
        for found in pending:
            if found.is_question:
                continue
            row = self._journal.get(found.id)
            if row is None:
                adopted += self.adopt(found, known=known)
            elif row.state is State.CARDED:
                self._refresh(found, row, known)
            elif not _is_moving(row):
                self._refuse(found, f"{found.id} was already {_ENDED[row.state]}. Delete this note")
        self._clear_settled({found.path: found.sha for found in pending})
        return adopted

    def adopt(self, found: Found, reason: str = "", *, known: Known | None = None) -> list[str]:
        """Review one note in `Pending_Approval/` that the journal does not know.

        Args:
            reason: why it lies here; stands first on the card until it is approved.
            known: what the laptop knows; gathered here where it is not given.

        Returns:
            Its id, or nothing if it was refused.
        """
        try:
            if found.fault:
                raise found.fault
            card = self._checked(found.data, found.place, from_hub=False)
            extra = (reason,) if reason else ()
            written, expires = self._written(card, found.path, extra=extra, known=known)
        except NoteError as e:
            self._refuse(found, str(e))
            return []
        self._crash("K0")
        self._add(card, found.path, found.sha, written, expires, reason)
        self._crash("K1")
        replace_unchanged(self._vault / found.path, found.data, written)
        self._crash("K2")
        return [card.id]

    def task_of(self, task: str) -> Task | None:
        """The task with this id, open or finished; None where it is missing or unreadable."""
        path = find_task(self._vault, task) or find_done(self._vault, task)
        try:
            if path is not None:
                return read_task(scan.read(self._vault, path), path)
            if found := self.in_hub(f"{task}.md"):
                return read_task(found[1], found[0])
        except (NoteError, FileNotFoundError):
            return None
        return None

    # --- inside ----------------------------------------------------------------------------

    def _checked(self, data: bytes, place: Place, *, from_hub: bool) -> Card:
        card = read_card(data, place.path)
        fault = ""
        if place.folder is not Folder.PENDING:
            fault = "a card must come in Pending_Approval/"
        elif card.id != place.stem:
            fault = f"the card's id is {card.id!r}, but the file is named {place.stem!r}"
        elif place.group and place.group.casefold() != card.zone:
            fault = f"the card's zone is {card.zone}, but it lies in the folder {place.group}"
        elif from_hub and card.zone in LOCAL_ONLY_ZONES:
            fault = f"cards of the zone {card.zone} are made on this laptop only"
        elif QUESTION_ID.search(card.id):
            fault = "ids that end in -question are kept for Nightdesk's own questions"
        if fault:
            raise NoteError(fault, remedy="It was not taken; draft it again", where=place.path)
        return card

    def _not_the_senders(self, card: Card) -> str:
        """Why a card's task is not its sender's, or "": a task has one owner, a round one draft."""
        for path in sorted(self.whereabouts(card.task)):
            place = place_of(path)
            if place.folder is Folder.IN_PROGRESS and place.group == card.created_by:
                continue
            if not path:
                fault = "its task was removed"
            elif place.folder is Folder.NEEDS_ACTION:
                fault = "nobody has claimed its task; whoever claims it drafts it again"
            elif place.folder is not Folder.IN_PROGRESS:
                fault = f"its task is finished (`{path}`)"
            elif place.group == self._settings.name:
                fault = "this laptop has claimed its task and drafts it itself"
            else:
                fault = f"its task belongs to {place.group or 'nobody'}"
            return f"a draft by {card.created_by[:40] or 'nobody'} was not taken: {fault}"
        return ""

    def _written(
        self,
        card: Card,
        path: str,
        *,
        row: Row | None = None,
        extra: tuple[str, ...] = (),
        known: Known | None = None,
    ) -> tuple[bytes, datetime]:
        now = self._clock()
        expires = row.expires if row else None
        expires = expires or now + timedelta(hours=self._settings.approval.expire_hours)
        task = self.task_of(card.task)
        original = (unfence(task.body) or task.body) if task else card.original
        if len(original) > MAX_ORIGINAL_CHARACTERS:
            original = f"{original[:MAX_ORIGINAL_CHARACTERS]}\n{ORIGINAL_CUT}"
        risks = risks_of(card, task, known or self._knowledge.now())
        full = card.model_copy(
            update={
                "created": min(card.created or now, now),
                "expires": expires,
                "warnings": (
                    *extra,
                    *self._newer(card, task, row),
                    *(risk.warning for risk in risks),
                ),
                "asks": bool(tokens_of(risks)),
                "enclosed": self._attachments.lines(card.action),
                "original": original.strip("\n"),
            }
        )
        return _proven(full, path), expires

    def _newer(self, card: Card, task: Task | None, row: Row | None) -> tuple[str, ...]:
        """The line about what came into the thread since the draft, if anything did."""
        if task is None:
            return ()
        sent = sent_in_thread(self._journal, task, row) if row else []
        line = newer_line(self._threads.newer(task) + sent)
        return (line,) if line else ()

    def _add(
        self,
        card: Card,
        path: str,
        proposal: str,
        written: bytes,
        expires: datetime,
        reason: str = "",
    ) -> None:
        self._journal.add(
            Event.CARD,
            self._clock(),
            action_id=card.id,
            task=card.task,
            action=card.action.NAME,
            zone=str(card.zone),
            path=path,
            proposal_sha=proposal,
            card=written,
            expires=expires,
            reason=reason,
        )

    def _known(self, row: Row, path: str, proposal: str) -> bytes | None:
        if row.state is State.CARDED and proposal in {row.proposal_sha, row.card_sha}:
            return row.card
        if row.state is State.QUARANTINED and proposal == row.proposal_sha:
            return None
        if proposal not in {row.proposal_sha, row.card_sha}:
            reason = f"another proposal for {row.id}, which is known already; what is here stays"
            self._journal.refuse(path, proposal, reason, self._clock(), lasting=True)
        elif not _is_moving(row):
            reason = f"{row.id} was already {_ENDED[row.state]}; it is not shown again"
            self._journal.refuse(path, proposal, reason, self._clock(), lasting=True)
        return None

    def _refresh(self, found: Found, row: Row, known: Known | None) -> None:
        """Finish or renew a card that nobody has touched; one that a person changed is theirs."""
        if found.sha not in {row.card_sha, row.proposal_sha}:
            self._flag_stale(found, row)
            return
        target = row.card
        extra = (row.reason,) if row.reason else ()
        try:
            card = read_card(row.card, found.path)
            if extra or self.task_of(card.task) is not None:
                target, _ = self._written(card, found.path, row=row, extra=extra, known=known)
        except NoteError:
            return
        if target != found.data:
            if not replace_unchanged(self._vault / found.path, found.data, target):
                return
            self._crash("K2")
        if target != row.card:
            self._journal.change(
                row, Event.REVISE, self._clock(), card=target, card_sha=sha256(target)
            )

    def _flag_stale(self, found: Found, row: Row) -> None:
        """A card that a person changed is theirs: what it does not know stands on the dashboard."""
        task = self.task_of(row.task)
        flagged = {refusal.path for refusal in self._journal.refusals(lasting=False)}
        if task is None or found.fault or found.path in flagged:
            return
        newer = self._threads.newer(task) + sent_in_thread(self._journal, task, row)
        try:
            shown = shows(split_draft(found.note.text).above, newer)
        except DraftFault:
            return  # it is told already that this is no card any more
        if not shown:
            self._refuse(found, newer_line(newer))

    def _quarantine(self, place: Place, data: bytes, reason: str) -> None:
        self._keep_evidence(data)
        self._journal.add(
            Event.QUARANTINE,
            self._clock(),
            action_id=_storable(place.stem),
            path=_storable(place.path),
            proposal_sha=sha256(data),
            zone=place.group if place.group.isascii() else "",
            reason=reason,
        )

    def _keep_evidence(self, data: bytes) -> None:
        evidence = self._journal.path.parent / "quarantine"
        evidence.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            files.create(evidence / f"{sha256(data)}.md", data, mode=0o600)

    def _refuse(self, found: Found, reason: str) -> None:
        self._journal.refuse(found.path, found.sha, reason, self._clock())

    def _clear_settled(self, now: dict[str, str]) -> None:
        settled = [
            refusal.path
            for refusal in self._journal.refusals(lasting=False)
            if place_of(refusal.path).folder is Folder.PENDING
            and now.get(refusal.path) != refusal.sha
        ]
        if settled:
            self._journal.clear_refusals(settled, self._clock())


_ENDED = {
    State.DONE: "carried out",
    State.REJECTED: "rejected",
    State.EXPIRED: "expired",
    State.SUPERSEDED: "replaced by a newer draft",
    State.QUARANTINED: "refused as a proposal",
}


def _is_moving(row: Row) -> bool:
    # Between two folders by the executor's own doing; its projection puts the note right.
    return row.state not in _ENDED or (row.state is State.REJECTED and not row.projected)


def _proven(card: Card, path: str) -> bytes:
    """Write a card and prove that reading it gives the same action back."""
    try:
        data = card.note()
    except UnicodeEncodeError as e:
        raise NoteError(
            "the proposal holds characters that cannot be written",
            remedy="It was not taken; draft it again",
            where=path,
        ) from e
    back = read_card(data, path)
    same = back.action.canonical() == card.action.canonical()
    if not same or (back.id, back.task, back.zone) != (card.id, card.task, card.zone):
        raise NoteError(
            "the card would not say what the proposal says",
            remedy="It was not taken; draft it again",
            where=path,
        )
    return data


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

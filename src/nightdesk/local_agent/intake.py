"""Approved/: which of the files there are approvals, copied privately and recorded once.

A file there is no evidence by itself. It counts if its id is CARDED in the journal, it has
stood unchanged for the quiet period, and it is the only file with that id.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nightdesk.config import Settings
from nightdesk.errors import NoteError, NotSent
from nightdesk.local_agent.attachments import Attachments
from nightdesk.local_agent.effects import DONE_WORDS, effect_of
from nightdesk.local_agent.found import Found, find_done, look_at
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.lookout import LOOK_FIRST
from nightdesk.local_agent.review import Reviewer
from nightdesk.local_agent.round import Round, Sightings
from nightdesk.local_agent.states import Event, State
from nightdesk.policy import Zone
from nightdesk.vault import files
from nightdesk.vault.actions import Action
from nightdesk.vault.attached import Attached
from nightdesk.vault.documents import Card, read_card
from nightdesk.vault.layout import Folder, zone_path

READMITTED = "approvals_of_a_lost_journal_returned"
_LOST = (
    "Approved before this laptop's journal began, so it needs a new move. It may have gone out "
    "already."
)
_ENDED = {
    State.DONE: "this was already carried out (see Done/); it never runs twice. Delete this copy",
    State.REJECTED: "this card was rejected. Ask for a new draft instead",
    State.EXPIRED: "this card has expired. Move its task back to Needs_Action/ for a new draft",
    State.SUPERSEDED: "a newer draft has replaced this card. Approve that one",
    State.QUARANTINED: "this proposal was refused when it came in. Ask for a new draft",
}
_WAITING_FOR_MOVE = (State.CARDED, State.REJECTED)


class Intake:
    """Takes approvals, notices edits and withdrawals, refuses the rest with a reason."""

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        settings: Settings,
        reviewer: Reviewer,
        sightings: Sightings,
        clock: Callable[[], datetime],
        crash: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._settings = settings.approval
        self._reviewer = reviewer
        self._sightings = sightings
        self._clock = clock
        self._crash = crash
        self._held: dict[str, float] = {}
        self._attachments = Attachments(journal, vault)
        self.copies = journal.path.parent / "approved"

    def hold_ends(self, row: Row, now: float) -> float:
        """When the hold of an approval is over (monotonic; after a restart it begins anew)."""
        return self._held.setdefault(row.id, now) + self._settings.hold_seconds

    def still_stands(self, row: Row) -> bool:
        """Whether the approved file lies where it lay, as it was recorded."""
        found = look_at(self._vault, row.path)
        return found is not None and found.fault is None and found.sha == row.approved_sha

    def withhold(self, path: str) -> bool:
        """Whether sync must not show the hub this move yet: it is not in the journal."""
        if not path.startswith(f"{Folder.APPROVED}/"):
            return False
        found = look_at(self._vault, path)
        if found is None:
            return False
        row = self._journal.get(found.id)
        return row is not None and row.state in _WAITING_FOR_MOVE and not row.projected

    def take(self, turn: Round) -> None:
        """Look through Approved/ once."""
        self._attachments.forget()
        lost = self._journal.meta(READMITTED) == ""
        for found in turn.approved:
            if found.is_question:
                continue
            row = self._journal.get(found.id)
            if row and row.state is State.APPROVED and found.sha != row.approved_sha:
                self._held[row.id] = turn.now  # being edited: the old text must not run
            since = self._sightings.since(found, turn.now)
            if turn.due(since + self._settings.quiet_seconds):
                turn.judged.add((found.path, found.sha))
                with turn.one_card(found.path):
                    self._take_one(found, row, turn, lost=lost)
        all_seen = all((f.path, f.sha) in turn.judged for f in turn.approved if not f.is_question)
        if lost and all_seen and self._journal.rows():
            self._journal.set_meta(LOOK_FIRST, self._clock().isoformat())
            self._journal.set_meta(READMITTED, "yes")
        self._notice_withdrawals(turn)

    def _take_one(self, found: Found, row: Row | None, turn: Round, *, lost: bool) -> None:
        if found.fault:
            if row and row.state is State.APPROVED:
                self._withdraw(row, found.path, turn, "it can no longer be read")
            self.refuse(found, str(found.fault), turn)
        elif row is None:
            self._unknown(found, turn, lost=lost)
        elif row.state in _WAITING_FOR_MOVE and not row.projected:
            self._approve(found, row, turn)
        elif row.state is State.APPROVED and found.path == row.path:
            if found.sha != row.approved_sha:
                self._approve(found, row, turn)
        elif row.state is State.APPROVED and not (self._vault / row.path).exists():
            self._approve(found, row, turn)  # moved about inside Approved/
        elif row.state in _ENDED:
            self.refuse(found, _ENDED[row.state], turn)
        elif found.path != row.path and (self._vault / row.path).exists():
            self.refuse(found, f"a copy of `{row.path}`, which counts. Delete this one", turn)

    def _unknown(self, found: Found, turn: Round, *, lost: bool) -> None:
        if done := find_done(self._vault, found.id):
            self.refuse(found, f"this was already finished: `{done}`. Delete this copy", turn)
            return
        try:
            card = read_card(found.data, found.path)
        except NoteError as e:
            self.refuse(found, str(e), turn)
            return
        if lost and found.note.get("status") not in DONE_WORDS:
            self._readmit(found, card, turn)
            return
        where = zone_path(Folder.PENDING, card.zone, card.id)
        self.refuse(
            found,
            "this laptop has never shown you this card, so nothing was done. If you want it, "
            f"move it to `{where}`, read it there, and approve it again",
            turn,
        )

    def _readmit(self, found: Found, card: Card, turn: Round) -> None:
        # First out of Approved/, then into the journal: a crash in between must not leave
        # a CARDED id in Approved/.
        target = zone_path(Folder.PENDING, card.zone, card.id)
        if not files.move(self._vault / found.path, self._vault / target):
            self.refuse(found, f"it needs a new move, and `{target}` exists. Delete one", turn)
            return
        moved = look_at(self._vault, target)
        if moved and self._reviewer.adopt(moved, f"{_LOST} {effect_of(card.action.NAME).look}"):
            written = look_at(self._vault, target)
            reason = f"{card.id} needs a new move: the journal of this laptop is new"
            if written:
                self._journal.refuse(target, written.sha, reason, self._clock())
            turn.refused.append(f"{target}: {reason}")

    def _approve(self, found: Found, row: Row, turn: Round) -> None:
        twins = [o.path for o in turn.everywhere() if o.id == row.id and o.path != found.path]
        twins = [path for path in twins if (self._vault / path).exists()]
        if twins:
            self.refuse(found, f"the same card also lies at `{twins[0]}`. Delete one of them", turn)
            return
        if found.sha == row.proposal_sha and row.proposal_sha != row.card_sha:
            self._show_first(found, row, turn)
            return
        try:
            action = self._as_carded(found, row).action
        except NoteError as e:
            if row.state is State.APPROVED:
                self._withdraw(row, found.path, turn, "it can no longer be read as a card")
            self.refuse(found, str(e), turn)
            return
        self._crash("K3")
        self._copy(found)
        enclosed, fault = self._files(found, action)
        self._crash("K5")
        now = self._clock()
        if row.state is State.REJECTED:
            row = self._journal.change(row, Event.WITHDRAW, now, detail="moved to Approved/ after")
        row = self._journal.change(
            row,
            Event.EDIT if row.state is State.APPROVED else Event.APPROVE,
            now,
            detail=f"moved to {found.path}",
            path=found.path,
            approved_sha=found.sha,
            digest=action.digest(enclosed),
            canonical=action.canonical(enclosed),
            approved_at=now,
            reason="",
        )
        if fault:
            self._journal.change(row, Event.REFUSE, now, reason=fault)
            turn.notices.append(f"{row.id} was not sent: {fault}")
            return
        self._held[row.id] = turn.now
        turn.approvals.append(row.id)

    def _files(self, found: Found, action: Action) -> tuple[tuple[Attached, ...], str]:
        """The card's files, copied privately, or why it goes back to the person."""
        try:
            return self._attachments.bind(action, found.note.text), ""
        except NotSent as e:
            return (), str(e)

    def _as_carded(self, found: Found, row: Row) -> Card:
        card = read_card(found.data, found.path)
        pairs = [
            ("task", card.task, row.task),
            ("zone", str(card.zone), row.zone),
            ("action", card.action.NAME, row.action),
        ]
        for key, now, before in pairs:
            if now != before:
                raise NoteError(
                    f"the property `{key}` was changed from {before!r} to {now!r}",
                    remedy="Put it back; only the text, the recipients and the subject are yours",
                    where=found.path,
                )
        return card

    def _copy(self, found: Found) -> None:
        self.copies.mkdir(mode=0o700, exist_ok=True)
        self._crash("K4")
        with suppress(FileExistsError):  # the name is the content's own hash
            files.create(self.copies / f"{found.sha}.md", found.data, mode=0o600)

    def _show_first(self, found: Found, row: Row, turn: Round) -> None:
        target = zone_path(Folder.PENDING, Zone(row.zone), row.id)
        if files.move(self._vault / found.path, self._vault / target):
            turn.notices.append(
                f"{row.id} was moved before Nightdesk had checked it. It lies in {target} again; "
                "please read it there and approve it once more."
            )

    def _notice_withdrawals(self, turn: Round) -> None:
        there = {found.id for found in turn.approved if not found.fault}
        for row in self._journal.rows({State.APPROVED}):
            if row.id in there:
                continue
            elsewhere = [f.path for f in turn.everywhere() if f.id == row.id and not f.fault]
            place = elsewhere[0] if elsewhere else ""
            reason = f"it was moved to {place}" if place else "its file is gone from Approved/"
            self._withdraw(row, place or row.path, turn, reason)

    def _withdraw(self, row: Row, path: str, turn: Round, why: str) -> None:
        self._held.pop(row.id, None)
        self._journal.change(
            row, Event.WITHDRAW, self._clock(), detail=why, path=path, reason=f"Not sent: {why}"
        )
        turn.notices.append(f"{row.id}: {why}, in time. Nothing was sent.")

    def refuse(self, found: Found, reason: str, turn: Round) -> None:
        """Record a reason once; the file stays where it is."""
        turn.still_refused.add((found.path, found.sha))
        if self._journal.refuse(found.path, found.sha, reason, self._clock()):
            turn.refused.append(f"{found.path}: {reason}")

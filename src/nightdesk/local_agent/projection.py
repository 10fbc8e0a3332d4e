"""The folders show what the journal says: finished notes move to Done/ with what happened.

Every step looks at what is there already, so that it may be repeated after a crash at any
point. Nothing here decides anything; nothing a person wrote is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.local_agent.attachments import Attachments, file_lines, with_lines
from nightdesk.local_agent.audit import AuditLog
from nightdesk.local_agent.confirm import CONFIRM, asks
from nightdesk.local_agent.effects import DONE_WORDS, effect_of
from nightdesk.local_agent.found import Found, find_done, find_task, look, look_at
from nightdesk.local_agent.journal import Journal, Row, sha256
from nightdesk.local_agent.states import OPEN, Event
from nightdesk.policy import LOCAL_ONLY_ZONES
from nightdesk.vault import files
from nightdesk.vault.actions import files_in
from nightdesk.vault.documents import DRAFT_HEADING, OUTCOME_HEADING, read_card, stamp
from nightdesk.vault.layout import Folder, conflict_name, done_path, place_of, zone_path
from nightdesk.vault.notes import Value, parse_note, render_note
from nightdesk.vault.unchanged import replace_unchanged

_FAILURE = b"> [!failure] "
_CARD_FOLDERS = (Folder.APPROVED, Folder.PENDING, Folder.REJECTED)


class Projection:
    """Moves cards and tasks where the journal says that they belong."""

    def __init__(
        self,
        journal: Journal,
        vault: Path,
        clock: Callable[[], datetime],
        crash: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._vault = vault
        self._clock = clock
        self._crash = crash
        self._audit = AuditLog(journal, vault, clock)
        self._attachments = Attachments(journal, vault)

    def done(self, row: Row) -> bool:
        """Show a CONFIRMED action: log, card and task to Done/; then it is DONE.

        Returns:
            False if a person was editing one of the notes; the next pass goes on.
        """
        word = effect_of(row.action).done
        self.log(row, word, done_lines(row))
        self._crash("K10")
        if not self._card_to_done(row, word, done_lines(row)):
            return False
        self._crash("K11")
        if not self.finish_task(row, "done", f"[[{row.id}]]: {word} {stamp(row.updated)}"):
            return False
        self._crash("K12")
        self._journal.change(row, Event.FINISH, self._clock(), path=done_path(row.id, row.updated))
        self._attachments.forget()
        return True

    def closed(self, row: Row, status: str, lines: Sequence[str], feedback: str = "") -> bool:
        """Show a rejected or expired card: it goes to Done/, its task too or back for a new draft.

        Returns:
            False if a person was editing one of the notes; the next pass goes on.
        """
        if feedback:
            settled = self._task_back(row, feedback)
        else:
            settled = self.finish_task(row, status, f"[[{row.id}]]: {status}, nothing was sent")
        self._crash("K11")
        if not settled or not self._card_to_done(row, status, lines):
            return False
        self._journal.note(
            row,
            self._clock(),
            detail=f"{status}, shown in Done/",
            path=done_path(row.id, row.updated),
            projected=True,
        )
        return True

    def returned(self, row: Row) -> bool:
        """Lay a card before the person again, with the reason on top; then it is CARDED.

        Returns:
            False if a person was editing it; the next pass goes on.
        """
        target = zone_path(Folder.PENDING, row.zone, row.id)
        found = self._find(row)
        if found is None:
            files.create(self._vault / target, self._with_failure(self._approved(row), row.reason))
        else:
            data = self._with_failure(found.data, row.reason)
            path = self._vault / found.path
            if data != found.data and not replace_unchanged(path, found.data, data):
                return False
            self._crash("K10")
            if found.place.folder is Folder.PENDING:
                target = found.path
            elif not files.move(path, self._vault / target):
                target = conflict_name(target, data)
                if not files.move(path, self._vault / target):
                    return False
        self._crash("K11")
        self._journal.change(row, Event.RETURN, self._clock(), path=target)
        return True

    def log(self, row: Row, word: str, lines: Sequence[str]) -> None:
        """Put one effect into the day's log; cards of local-only zones are named by id alone."""
        private = row.zone in LOCAL_ONLY_ZONES
        card = f"Card: [[{row.id}]]"
        self._audit.record(row, word, [card] if private else [card, *lines])

    def write_log(self) -> bool:
        """Write what the log still lacks, see `AuditLog.write`."""
        return self._audit.write()

    def retire(self, path: str, note_id: str, status: str, lines: Sequence[str]) -> bool:
        """Write what happened into a note, then move it to Done/."""
        found = look_at(self._vault, path)
        if found is None:
            return True
        data = _with_outcome(found, status, lines)
        if data != found.data and not replace_unchanged(self._vault / path, found.data, data):
            return False
        return self._to_done(path, note_id, self._clock())

    # --- inside ----------------------------------------------------------------------------

    def _with_failure(self, data: bytes, reason: str) -> bytes:
        try:
            note = parse_note(data)
        except NoteError:
            return data
        if f"`{CONFIRM}`" in reason and not asks(note):
            # A field to type into, for a card that the person has made risky since it was written.
            data = render_note({**note.properties, CONFIRM: ""}, note.body)
        lines = note.body.splitlines(keepends=True)
        heads = [n for n, line in enumerate(lines) if line.strip() == DRAFT_HEADING.encode()]
        end = heads[0] if heads else 0
        above = [line for line in lines[:end] if not line.startswith(_FAILURE)]
        with suppress(NoteError):  # what it says about its files is what is there now
            above = with_lines(above, self._attachments.lines(read_card(data, "").action))
        kept = above + lines[end:]
        failure = _FAILURE + one_line(reason).encode() + b"\n"
        gap = b"" if kept and kept[0].startswith(b"\n") else b"\n"
        head = data[: len(data) - len(note.body)]
        return head + failure + gap + b"".join(kept)

    def _find(self, row: Row) -> Found | None:
        at_place = look_at(self._vault, row.path)
        if at_place and at_place.place.folder in _CARD_FOLDERS and _is_card(at_place, row.id):
            return at_place
        everywhere = (found for folder in _CARD_FOLDERS for found in look(self._vault, folder))
        return next((found for found in everywhere if _is_card(found, row.id)), None)

    def _approved(self, row: Row) -> bytes:
        copy = self._journal.path.parent / "approved" / f"{row.approved_sha}.md"
        if row.approved_sha and copy.is_file():
            data = copy.read_bytes()
            if sha256(data) == row.approved_sha:
                return data
        return row.card

    def _card_to_done(self, row: Row, status: str, lines: Sequence[str]) -> bool:
        found = self._find(row)
        if found is None:
            return self._card_from_copy(row, status, lines)
        if found.note.get("status") != status:
            base = found
            if status in DONE_WORDS and found.sha != row.approved_sha:
                # Edited after it was taken: Done/ shows what was sent, the edit is kept beside.
                kept = done_path(row.id, row.updated)
                kept = conflict_name(kept, found.data)
                if not (self._vault / kept).exists():
                    files.create(self._vault / kept, found.data)
                base = _parsed(found.path, self._approved(row))
            data = _with_outcome(base, status, lines)
            if not replace_unchanged(self._vault / found.path, found.data, data):
                return False
        if not self._to_done(found.path, row.id, row.updated):
            return False
        return self._card_from_copy(row, status, lines)

    def _card_from_copy(self, row: Row, status: str, lines: Sequence[str]) -> bool:
        there = find_done(self._vault, row.id)
        if there and (status not in DONE_WORDS or self._shown_as_sent(row)):
            return True
        found = look_at(self._vault, there) if there else None
        if found:  # saved in the very moment of the move, or not ours: Done/ shows what was sent
            beside = conflict_name(found.path, found.data)
            files.move(self._vault / found.path, self._vault / beside)
        path = done_path(row.id, row.updated)
        base = _parsed(path, self._approved(row))
        files.create(self._vault / path, _with_outcome(base, status, lines))
        return True

    def _shown_as_sent(self, row: Row) -> bool:
        for name in _names(row.id):
            found = look_at(self._vault, done_path(name, row.updated))
            if found is None:
                return False
            if found.note.get("status") in DONE_WORDS:
                try:
                    action = read_card(found.data, found.path).action
                except NoteError:
                    continue
                if action.digest(files_in(row.canonical)) == row.digest:
                    return True
        return False

    def _to_done(self, path: str, note_id: str, when: datetime) -> bool:
        for name in _names(note_id):  # a name may be taken by a note that is not this one
            if files.move(self._vault / path, self._vault / done_path(name, when)):
                return True
            if not (self._vault / path).exists():
                return False  # a person has just moved it: look again
        return False

    def finish_task(self, row: Row, status: str, line: str) -> bool:
        """Move a task to Done/ when no other card of it is open."""
        path = find_task(self._vault, row.task)
        others = [r for r in self._journal.rows(OPEN, task=row.task) if r.id != row.id]
        if path is None or others:
            return True
        found = look_at(self._vault, path)
        if found is None:
            return False
        if found.note.get("status") == "redraft" and self._asked_since(row, found):
            return True
        if found.note.get("status") != status:
            data = _with_outcome(found, status, [line])
            if not replace_unchanged(self._vault / path, found.data, data):
                return False
        return self._to_done(path, found.place.stem, row.updated)

    def _asked_since(self, row: Row, task: Found) -> bool:
        # Another card of the task was sent back with feedback; this one does not answer that.
        refused = self._journal.get(task.note.get("supersedes"))
        return refused is not None and refused.id != row.id and row.created < refused.updated

    def has_task(self, row: Row) -> bool:
        """Whether the task of a card is still in the vault, open or finished."""
        return bool(find_task(self._vault, row.task) or find_done(self._vault, row.task))

    def _task_back(self, row: Row, feedback: str) -> bool:
        path = find_task(self._vault, row.task) or find_done(self._vault, row.task)
        if path is None:
            return True
        found = look_at(self._vault, path)
        if found is None or found.fault:
            return found is not None
        wanted: dict[str, Value | None] = dict(found.note.properties)
        wanted |= {"status": "redraft", "feedback": feedback, "supersedes": row.id}
        data = render_note(wanted, found.note.body)
        if data != found.data and not replace_unchanged(self._vault / path, found.data, data):
            return False
        if found.place.folder is Folder.NEEDS_ACTION:
            return True
        target = f"{Folder.NEEDS_ACTION}/{found.note.get('zone') or row.zone}/{found.place.name}"
        return files.move(self._vault / path, self._vault / target)


def _names(note_id: str) -> list[str]:
    return [note_id, *(f"{note_id}-{n}" for n in range(2, 100))]


def done_lines(row: Row) -> list[str]:
    """What happened, for the Done note and the log; a line each."""
    effect, result = effect_of(row.action), row.result
    begun = result.get("at")
    lines = [f"{effect.done.capitalize()}: {begun or stamp(row.updated)}"]
    if result.get("by") == "person":
        lines = [f"You said on {stamp(row.updated)} that it went out."]
    elif where := result.get("found"):
        lines = [f"Begun: {begun}, without a clear answer"] if begun else []
        lines.append(f"Found on {result.get('found_at')} in {one_line(where)}: it went out")
    if to := result.get("to"):
        lines.append("To: " + ", ".join(f"`{address}`" for address in to))
    for address, why in (result.get("refused") or {}).items():
        lines.append(f"Not delivered to `{one_line(address)}`: `{one_line(why)}`")
    if row.message_id:
        lines.append(f"{effect.key_name}: `{row.message_id}`")
    if answer := result.get("response"):
        lines.append(f"The server said: `{one_line(answer)}`")
    return [*lines, *approval_lines(row)]


def attempt_lines(row: Row) -> list[str]:
    """What is known of an attempt that sent nothing, or may have, for the log; a line each."""
    lines = [f"Why: `{one_line(row.reason)}`"]
    if to := row.result.get("to"):
        lines.append("To: " + ", ".join(f"`{address}`" for address in to))
    if row.message_id:
        lines.append(f"{effect_of(row.action).key_name}: `{row.message_id}`")
    return [*lines, *approval_lines(row)]


def approval_lines(row: Row) -> list[str]:
    """Who approved what, when, and by which move; a line each."""
    lines = []
    if row.approved_at:
        where = f"to `{row.path}`" if place_of(row.path).folder is Folder.APPROVED else ""
        move = f"moving it {where}".strip() if where else "a move to Approved/"
        lines.append(f"Approved: {stamp(row.approved_at)}, by you, {move}")
    lines += file_lines(row)
    if row.digest:
        lines.append(f"Digest: `{row.digest}`")
    return lines


def one_line(text: object) -> str:
    """Text from outside as one harmless line of at most 300 characters."""
    flat = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(flat.replace("`", "'").split())[:300]


def _is_card(found: Found, card_id: str) -> bool:
    # A link or a special file has no bytes here: it is never touched.
    return found.id == card_id and found.data != b""


def _parsed(path: str, data: bytes) -> Found:
    place = place_of(path)
    try:
        return Found(place, place.stem, ("", 0, 0), data, parse_note(data, path))
    except NoteError as e:
        return Found(place, place.stem, ("", 0, 0), data, fault=e)


def _with_outcome(found: Found, status: str, lines: Sequence[str]) -> bytes:
    text = "\n".join([OUTCOME_HEADING, *(f"- {line}" for line in lines), ""]).encode()
    if found.fault:
        return found.data + b"\n\n" + text
    body = found.note.body
    gap = b"\n" if body.endswith(b"\n") or not body else b"\n\n"
    properties: dict[str, Value | None] = {**found.note.properties, "status": status}
    return render_note(properties, body + gap + text)

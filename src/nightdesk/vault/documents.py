"""Tasks and cards: what notes of Nightdesk's own mean (docs/design.md, section 2)."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nightdesk.errors import NoteError
from nightdesk.policy import Zone
from nightdesk.vault.actions import ACTIONS, Action
from nightdesk.vault.body import (
    DRAFT_END,
    DRAFT_HEADING,
    FEEDBACK_HEADING,
    ORIGINAL_HEADING,
    OUTCOME_HEADING,
    DraftFault,
    fence,
    section,
    split_draft,
    unfence,
)
from nightdesk.vault.fields import (
    Addresses,
    AnyZone,
    MaybeMoment,
    NoteId,
    Words,
    as_properties,
    fault_in_id,
    known_fields,
    stamp,
    validated,
)
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, Place, place_of
from nightdesk.vault.notes import Note, parse_note, render_note
from nightdesk.vault.properties import writable

__all__ = [
    "DRAFT_END",
    "DRAFT_HEADING",
    "FEEDBACK_HEADING",
    "ORIGINAL_HEADING",
    "OUTCOME_HEADING",
    "Card",
    "Task",
    "read_card",
    "read_task",
    "section",
    "stamp",
    "unfence",
]

ORIGINAL_CUT = "… (cut here; the whole text is in the task)"
"""Ends an original that does not fit into its card."""

_WARNING = re.compile(r"> \[!warning\] (.*)")


class Task(BaseModel):
    """Something that came in and wants an answer or an action.

    Attributes:
        body: Markdown, with text from outside already in a fence.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True, frozen=True)

    id: NoteId
    kind: Literal["task"] = "task"
    zone: AnyZone = Zone.GENERAL
    source: str = ""
    sender: str = Field(default="", alias="from")
    sender_name: str = ""
    reply_to: str = ""
    to: Addresses = Field(default_factory=list)
    cc: Addresses = Field(default_factory=list)
    subject: str = ""
    received: MaybeMoment = None
    message_id: str = ""
    references: Words = Field(default_factory=list)
    thread: str = ""
    priority: str = ""
    status: str = ""
    feedback: str = ""
    supersedes: str = ""
    body: str = Field(default="", exclude=True)

    def note(self) -> bytes:
        """Write the task as a note.

        Raises:
            NoteError: it would be larger than a note may be.
        """
        properties = as_properties(self.model_dump(by_alias=True))
        return render_note(properties, writable(self.body).encode("utf-8"))


class Card(BaseModel):
    """A request for approval: what executes is its action as it stands when approved.

    Attributes:
        asks: a person must type something: the note gets an empty `confirm` property for it.
            What stands in one is never read here, so none can come with a proposal.
        enclosed: what is said about the files that go with it, a callout each; only written.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: NoteId
    kind: Literal["approval"] = "approval"
    task: NoteId
    zone: AnyZone
    created_by: str = ""
    created: MaybeMoment = None
    expires: MaybeMoment = None
    model: str = ""
    why: str = ""
    supersedes: str = ""
    action: Action = Field(exclude=True)
    warnings: tuple[str, ...] = Field(default=(), exclude=True)
    asks: bool = Field(default=False, exclude=True)
    enclosed: tuple[str, ...] = Field(default=(), exclude=True)
    original: str = Field(default="", exclude=True)

    def note(self) -> bytes:
        """Write the card as a note; every value appears once, untrusted text inside a fence.

        An original that does not fit is cut, and says so.

        Raises:
            NoteError: it would be larger than a note may be.
        """
        fields = {"action": self.action.NAME, **self.action.model_dump(exclude={"body"})}
        properties = as_properties(self.model_dump() | fields)
        if self.asks:
            properties["confirm"] = ""
        head = "".join(f"> [!warning] {_one_line(line)}\n" for line in self.warnings)
        head += "".join(f"> {_one_line(line)}\n" for line in self.enclosed)
        text = f"{head}\n{DRAFT_HEADING}\n{self.action.body}\n\n{DRAFT_END}\n"
        data = render_note(properties, writable(text.lstrip("\n")).encode("utf-8"))
        if not self.original:
            return data
        return data + _original(writable(self.original), MAX_NOTE_BYTES - len(data))


def _one_line(text: str) -> str:
    # A warning may quote what an attacker wrote; a line break in it could forge a draft.
    parts = ("" if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text)
    return " ".join("".join(p or " " for p in parts).split())


def _original(text: str, room: int) -> bytes:
    while True:
        data = f"{ORIGINAL_HEADING}\n{fence(text)}".encode()
        over = len(data) - room
        if over <= 0:
            return data
        size = len(text.encode())
        if size < 200:
            return b""
        # The fence grows with the backticks in the text, so cutting is tried until it fits.
        kept = max(size - over, size // 2) - len(ORIGINAL_CUT.encode()) - 1
        text = text.encode()[:kept].decode("utf-8", "ignore").rstrip("\n") + "\n" + ORIGINAL_CUT


def read_task(data: bytes, path: str) -> Task:
    """Read the task at a vault-relative path.

    A note without properties is a request in plain words: its zone is that of its folder,
    `general` where the folder names none; its id is the file's stem.

    Raises:
        NoteError: the note is broken, or its properties are not those of a task.
    """
    note = parse_note(data, path)
    place = place_of(path)
    fields = known_fields(note, {*Task.model_fields, "from"}, path)
    if "id" not in fields:
        fields["id"] = _id_from_name(place)
    if fields.setdefault("kind", "task") != "task":
        raise NoteError(
            f"this is a note of kind {note.get('kind')!r}, not a task",
            remedy="Move it to the folder where such notes belong",
            where=path,
        )
    if place.folder is Folder.NEEDS_ACTION and place.group:
        fields.setdefault("zone", place.group)
    return validated(Task, {**fields, "body": note.text}, path)


def read_card(data: bytes, path: str) -> Card:
    """Read the approval card at a vault-relative path, as it stands.

    Raises:
        NoteError: no card, an unknown action, a missing draft or a field out of its limits.
    """
    note = parse_note(data, path)
    if note.get("kind") != "approval":
        raise _no_card(note, path)
    name = note.get("action")
    model = ACTIONS.get(name)
    if model is None:
        raise NoteError(
            f"the action {name!r} is not known",
            remedy=f"Known actions: {', '.join(sorted(ACTIONS))}",
            where=path,
        )
    fields = known_fields(note, {*Card.model_fields, *model.model_fields, *model.REFUSED}, path)
    try:
        parts = split_draft(note.text)
    except DraftFault as e:
        above = data[: len(data) - len(note.body)].count(b"\n")
        raise NoteError(
            e.what, remedy=e.remedy, where=path, line=above + e.line if e.line else 0
        ) from e
    action = validated(model, {**fields, "body": parts.draft}, path)
    warnings = tuple(m[1] for line in parts.above if (m := _WARNING.fullmatch(line)))
    own = {"action": action, "warnings": warnings, "asks": False, "original": unfence(parts.rest)}
    return validated(Card, {**fields, **own}, path)


def _id_from_name(place: Place) -> str:
    # macOS may hand out names in another normal form; the id is the same on every machine.
    name = unicodedata.normalize("NFC", place.stem)
    if fault := fault_in_id(name):
        raise NoteError(f"the file's name {fault}", remedy="Rename the file", where=place.path)
    return name


def _no_card(note: Note, path: str) -> NoteError:
    if not note.has_properties and note.text.lstrip().startswith("---"):
        return NoteError(
            "the properties do not begin on the first line",
            remedy="Delete what stands above the first --- line",
            where=path,
            line=1,
        )
    return NoteError(
        "this is not an approval card (its kind is not `approval`)",
        remedy="Only cards that Nightdesk wrote can be approved",
        where=path,
    )

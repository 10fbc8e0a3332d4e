"""Tasks and cards: what notes of Nightdesk's own mean (DESIGN section 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nightdesk.errors import NoteError
from nightdesk.policy import Zone
from nightdesk.vault.actions import ACTIONS, Action
from nightdesk.vault.layout import Folder, fault_in_name, place_of
from nightdesk.vault.notes import Value, fence, parse_note, render_note

DRAFT_HEADING = "# Draft"
DRAFT_END = "%% end of draft %%"
ORIGINAL_HEADING = "# Original"
FEEDBACK_HEADING = "# Feedback"
OUTCOME_HEADING = "# What happened"

_M = TypeVar("_M", bound=BaseModel)
_WARNING = re.compile(r"> \[!warning\] (.*)")


def _note_id(text: str) -> str:
    fault = fault_in_name(text)
    if fault or "/" in text:
        raise ValueError(f"{text!r} {fault or 'holds a slash'}")
    return text


def _in_utc(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _zone(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


NoteId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_note_id)]
Moment = Annotated[datetime, AfterValidator(_in_utc)]
MaybeMoment = Annotated[Moment | None, BeforeValidator(_empty_is_none)]
AnyZone = Annotated[Zone, BeforeValidator(_zone)]


def stamp(moment: datetime) -> str:
    """Write a moment as notes hold it: ISO 8601, UTC, whole seconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Task(BaseModel):
    """Something that came in and wants an answer or an action."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, frozen=True)

    id: NoteId
    kind: Literal["task"] = "task"
    zone: AnyZone = Zone.GENERAL
    source: str = ""
    sender: str = Field(default="", alias="from")
    sender_name: str = ""
    reply_to: str = ""
    to: list[str] = Field(default_factory=list)
    cc: list[str] = Field(default_factory=list)
    subject: str = ""
    received: MaybeMoment = None
    message_id: str = ""
    references: list[str] = Field(default_factory=list)
    thread: str = ""
    priority: str = ""
    status: str = ""
    feedback: str = ""
    supersedes: str = ""
    body: str = Field(default="", exclude=True)

    def note(self) -> bytes:
        """Write the task as a note: properties, and the original text inside a fence."""
        properties = _as_properties(self.model_dump(by_alias=True))
        return render_note(properties, self.body.encode())


class Card(BaseModel):
    """A request for approval: what executes is its action as it stands when approved."""

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
    original: str = Field(default="", exclude=True)

    def note(self) -> bytes:
        """Write the card as a note; every value appears once, untrusted text inside a fence."""
        fields = {"action": self.action.NAME, **self.action.model_dump(exclude={"body"})}
        properties = _as_properties(self.model_dump() | fields)
        head = "".join(f"> [!warning] {line}\n" for line in self.warnings)
        text = f"{head}\n{DRAFT_HEADING}\n{self.action.body}\n\n{DRAFT_END}\n"
        if self.original:
            text += f"{ORIGINAL_HEADING}\n{fence(self.original)}"
        return render_note(properties, text.lstrip("\n").encode("utf-8"))


def _as_properties(fields: Mapping[str, Any]) -> dict[str, Value | None]:
    # Empty texts and lists say nothing, so they are not written.
    out: dict[str, Value | None] = {}
    for key, value in fields.items():
        if isinstance(value, datetime):
            out[key] = stamp(value)
        elif value not in (None, "", []):
            out[key] = value if isinstance(value, list) else str(value)
    return out


def read_task(data: bytes, path: str) -> Task:
    """Read the task at a vault-relative path.

    A note without properties is a request in plain words: its zone is that of its folder,
    `general` where the folder names none; its id is the file's stem.

    Raises:
        NoteError: the note is broken, or its properties are not those of a task.
    """
    note = parse_note(data, path)
    place = place_of(path)
    fields: dict[str, Value] = {k: v for k, v in note.properties.items() if v not in ("", [])}
    fields.setdefault("id", place.stem)
    if fields.setdefault("kind", "task") != "task":
        raise NoteError(
            f"this is a note of kind {note.get('kind')!r}, not a task",
            remedy="Move it to the folder where such notes belong",
            where=path,
        )
    if place.folder is Folder.NEEDS_ACTION and place.group:
        fields.setdefault("zone", place.group)
    return _validated(Task, {**fields, "body": note.text}, path)


def read_card(data: bytes, path: str) -> Card:
    """Read the approval card at a vault-relative path, as it stands.

    Raises:
        NoteError: no card, an unknown action, a missing draft or a field out of its limits.
    """
    note = parse_note(data, path)
    if note.get("kind") != "approval":
        raise NoteError(
            "this is not an approval card (its kind is not `approval`)",
            remedy="Only cards that Nightdesk wrote can be approved",
            where=path,
        )
    fields: dict[str, Value] = {k: v for k, v in note.properties.items() if v not in ("", [])}
    name = note.get("action")
    model = ACTIONS.get(name)
    if model is None:
        raise NoteError(
            f"the action {name!r} is not known",
            remedy=f"Known actions: {', '.join(sorted(ACTIONS))}",
            where=path,
        )
    warnings, draft, original = _split_body(note.text, path)
    action = _validated(model, {**fields, "body": draft}, path)
    return _validated(
        Card, {**fields, "action": action, "warnings": warnings, "original": original}, path
    )


def _split_body(text: str, path: str) -> tuple[tuple[str, ...], str, str]:
    lines = text.replace("\r\n", "\n").split("\n")
    try:
        start = lines.index(DRAFT_HEADING)
        end = lines.index(DRAFT_END, start)
    except ValueError as e:
        raise NoteError(
            f"the text to send is not between `{DRAFT_HEADING}` and `{DRAFT_END}`",
            remedy="Put both lines back, each on a line of its own",
            where=path,
        ) from e
    found = (_WARNING.fullmatch(line) for line in lines[:start])
    warnings = tuple(match.group(1) for match in found if match)
    rest = "\n".join(lines[end + 1 :])
    return warnings, "\n".join(lines[start + 1 : end]), unfence(rest)


def unfence(text: str) -> str:
    """The text inside the first code fence, or "" where there is none."""
    match = re.search(r"^(`{3,})[^\n`]*\n(.*?)^\1`*[ \t]*$", text, re.DOTALL | re.MULTILINE)
    return match.group(2).rstrip("\n") if match else ""


def section(text: str, heading: str) -> str:
    """The text under a heading line, up to the next top heading; "" where there is none."""
    lines = text.replace("\r\n", "\n").split("\n")
    if heading not in lines:
        return ""
    found: list[str] = []
    for line in lines[lines.index(heading) + 1 :]:
        if line.startswith("# ") or line == DRAFT_END:
            break
        found.append(line)
    return "\n".join(found).strip()


def _validated(model: type[_M], fields: Mapping[str, object], path: str) -> _M:
    try:
        return model.model_validate(fields)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise NoteError(
            f"the property `{key}` does not fit: {first['msg']}",
            remedy="Correct it and save the note",
            where=path,
        ) from e

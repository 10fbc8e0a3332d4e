"""Fields of documents: their types, and the way between a note's properties and a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from nightdesk.errors import NoteError
from nightdesk.policy import Zone
from nightdesk.vault.actions import split_addresses
from nightdesk.vault.layout import fault_in_name
from nightdesk.vault.notes import Note, Value

MAX_ID_BYTES = 200

_M = TypeVar("_M", bound=BaseModel)


def fault_in_id(text: str) -> str | None:
    """Say what is wrong with an id, or None; it becomes the name of files with suffixes."""
    fault = fault_in_name(text)
    if fault is None and len(text.encode()) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES} bytes"
    return fault


def _note_id(text: str) -> str:
    if fault := fault_in_id(text):
        raise ValueError(f"{text!r} {fault}")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as e:
        raise ValueError("is no moment that a calendar holds") from e
    return moment.replace(microsecond=0)


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _zone(value: object) -> object:
    return value.strip().casefold() if isinstance(value, str) else value


def _addresses(value: object) -> object:
    # A list of one is written as a plain text where the property's type is Text.
    return split_addresses(value) if isinstance(value, str) else value


def _words(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


NoteId = Annotated[str, AfterValidator(_note_id)]
Moment = Annotated[datetime, AfterValidator(_in_utc)]
MaybeMoment = Annotated[Moment | None, BeforeValidator(_empty_is_none)]
AnyZone = Annotated[Zone, BeforeValidator(_zone)]
Addresses = Annotated[list[str], BeforeValidator(_addresses)]
Words = Annotated[list[str], BeforeValidator(_words)]


def stamp(moment: datetime) -> str:
    """Write a moment as notes hold it: ISO 8601, UTC, whole seconds, `Z`."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def as_properties(fields: Mapping[str, Any]) -> dict[str, Value | None]:
    """A model's fields as properties; empty texts and lists say nothing and are left out."""
    out: dict[str, Value | None] = {}
    for key, value in fields.items():
        if isinstance(value, datetime):
            out[key] = stamp(value)
        elif value not in (None, "", []):
            out[key] = value if isinstance(value, list) else str(value)
    return out


def known_fields(note: Note, known: set[str], path: str) -> dict[str, Value]:
    """The properties that say something, known ones under their own name however typed.

    A person who adds `CC` or `In-Reply-To` in Obsidian means `cc` and `in_reply_to`.
    """
    found: dict[str, Value] = {}
    for key, value in note.properties.items():
        plain = re.sub(r"[\s-]+", "_", key.strip().casefold())
        name = plain if plain in known else key
        if name in found and name in known:
            raise NoteError(
                f"the property {name!r} stands twice, once as {key!r}",
                remedy="Keep one of the two",
                where=path,
            )
        if value not in ("", []):
            found[name] = value
    return found


def validated(model: type[_M], fields: Mapping[str, object], path: str) -> _M:
    """Make a model of a note's fields.

    Raises:
        NoteError: names the first property that does not fit, in the person's terms.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            what = f"the property `{key}` is missing"
        elif key == "body":
            what = message
        else:
            what = f"the property `{key}` does not fit: {message}" if key else message
        raise NoteError(what, remedy="Correct it and save the note", where=path) from e

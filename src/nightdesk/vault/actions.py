"""Actions that can be approved: one model each, with canonical JSON and its digest.

Adding an action is adding a model here, a line in `ACTIONS`, and a tool that carries it out.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from nightdesk.vault.attached import Attached
from nightdesk.vault.body import DRAFT_END, is_draft_end
from nightdesk.vault.layout import Folder, fault_in_name

MAX_BODY_CHARACTERS = 100_000
MAX_BODY_BYTES = 128 * 1024
"""A draft's size in UTF-8; with its properties and the original it must fit into one note."""

# Printable ASCII without < and >: what a header can hold unencoded (RFC 5322 section 3.6.4).
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_NAMED = re.compile(r"[^<>]*<([^<>]*)>")
# A dot-atom, non-ASCII letters included (RFC 6531); hand-written because the standard library's
# parser refuses those, and takes comments and quoted parts that other programs read differently.
_LOCAL = r"(?!\.)(?![^@]*\.\.)[^\s<>,;:()\"\[\]@\\]{1,64}(?<!\.)"
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_ADDRESS = re.compile(rf"{_LOCAL}@{_LABEL}(?:\.{_LABEL}){{0,20}}")
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[bqBQ]\?[^?]*\?=")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_INVISIBLE = _CONTROL | {"Cf"}


def _holds(text: str, categories: frozenset[str]) -> bool:
    return any(unicodedata.category(c) in categories for c in text)


def check_address(text: str) -> str:
    """Reduce "Ada <ada@example.com>" to "ada@example.com" and check it (RFC 5322 addr-spec).

    Quoted local parts, comments and address literals are refused: nobody uses them, and
    programs do not agree on what they mean.

    Raises:
        ValueError: it is no single address.
    """
    if _holds(text, _INVISIBLE):
        raise ValueError(f"{text!r} holds a control or invisible character")
    bare = text.strip()
    if "<" in bare:
        named = _NAMED.fullmatch(bare)
        bare = named[1].strip() if named else ""
    bare = bare.removeprefix("mailto:")
    if not _ADDRESS.fullmatch(bare) or len(bare.encode()) > 254:
        raise ValueError(f"{text!r} is not an e-mail address")
    return bare


def _one_line(text: str) -> str:
    # A mail library decodes encoded words, and a line break in one becomes a header of its own
    # (CVE-2024-6923), so what counts is the text after decoding.
    for _ in range(4):
        if _holds(text, _CONTROL):
            raise ValueError("holds a line break or control character")
        if not _ENCODED_WORD.search(text):
            return text.strip()
        try:
            text = str(make_header(decode_header(text)))
        except (HeaderParseError, LookupError, UnicodeError, ValueError) as e:
            raise ValueError("holds an encoded word that cannot be decoded") from e
    raise ValueError("holds encoded words within encoded words")


def _message_id(text: str) -> str:
    text = text.strip()
    if text and not _MESSAGE_ID.fullmatch(text):
        raise ValueError(f"{text!r} is not a message id like <x@y>")
    return text


def _attachment(text: str) -> str:
    path = text.strip().removeprefix("[[").removesuffix("]]")
    parts = path.split("/")
    if parts[0] != Folder.ATTACHMENTS or len(parts) < 2:
        raise ValueError(f"{text!r} does not lie in {Folder.ATTACHMENTS}/")
    for part in parts:
        if part.startswith(".") or (fault := fault_in_name(part)):
            raise ValueError(f"{text!r} {'holds a hidden name' if part[:1] == '.' else fault}")
    return path


EmailAddress = Annotated[str, AfterValidator(check_address)]
HeaderText = Annotated[str, AfterValidator(_one_line), Field(max_length=900)]
MessageId = Annotated[str, AfterValidator(_message_id)]
AttachmentPath = Annotated[str, AfterValidator(_attachment)]


class Action(BaseModel):
    """What a card asks to be done: flat fields plus the text between the draft markers.

    Attributes:
        NAME: the action's name on the card, for example "email.send".
        TOOL: the MCP tool that carries it out, as "server/tool".
        REFUSED: properties that nobody obeys, but that a person would write in order to be
            obeyed; unknown properties are ignored, these are refused.
    """

    NAME: ClassVar[str]
    TOOL: ClassVar[str]
    REFUSED: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=False)

    body: str = Field(max_length=MAX_BODY_CHARACTERS)

    @field_validator("body")
    @classmethod
    def _plain_body(cls, body: str) -> str:
        text = body.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        if not text.strip():
            raise ValueError("the draft is empty")
        if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in text):
            raise ValueError("the draft holds a control character")
        if any(is_draft_end(line) for line in text.split("\n")):
            raise ValueError(f"the draft holds the line {DRAFT_END!r}, which would end it there")
        if len(text.encode("utf-8")) > MAX_BODY_BYTES:
            raise ValueError(f"the draft is longer than {MAX_BODY_BYTES // 1024} KiB")
        return text

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_dropped(cls, values: Any) -> Any:
        for name in sorted(cls.REFUSED):
            if isinstance(values, dict) and values.get(name):
                raise ValueError(f"`{name}` is not supported on this card; remove it")
        return values

    def files(self) -> tuple[str, ...]:
        """The vault-relative paths of the files that go with it."""
        return ()

    def arguments(self, files: Sequence[Attached] = ()) -> dict[str, Any]:
        """What its tool is called with.

        Args:
            files: its files as they were approved, in the order of `files()`.
        """
        return self.model_dump(mode="json")

    def canonical(self, files: Sequence[Attached] = ()) -> str:
        """The one JSON text that stands for this action: sorted keys, no spaces, NFC kept as is.

        Args:
            files: its files as they were approved: their bytes are part of what was.
        """
        fields = {"action": self.NAME, **self.model_dump(mode="json")}
        if files:
            fields["files"] = [file.model_dump() for file in files]
        return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def digest(self, files: Sequence[Attached] = ()) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.canonical(files).encode("utf-8")).hexdigest()

    @abstractmethod
    def summary(self) -> str:
        """One line for lists and the dashboard."""


class EmailSend(Action):
    """Send one e-mail (RFC 5322) through SMTP."""

    NAME: ClassVar[str] = "email.send"
    TOOL: ClassVar[str] = "email/send_email"
    REFUSED: ClassVar[frozenset[str]] = frozenset({"bcc", "from", "reply_to", "sender"})

    to: list[EmailAddress] = Field(min_length=1, max_length=50)
    cc: list[EmailAddress] = Field(default_factory=list, max_length=50)
    subject: HeaderText = ""
    in_reply_to: MessageId = ""
    references: list[MessageId] = Field(default_factory=list, max_length=100)
    attachments: list[AttachmentPath] = Field(default_factory=list, max_length=20)

    @field_validator("to", "cc", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        return [one for item in _as_list(value) for one in split_addresses(item)]

    @field_validator("references", mode="before")
    @classmethod
    def _ids(cls, value: object) -> object:
        return [one for item in _as_list(value) for one in re.split(r"[,\s]+", item) if one]

    @field_validator("attachments", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        return [item for item in _as_list(value) if item.strip()]

    def files(self) -> tuple[str, ...]:
        return tuple(self.attachments)

    def arguments(self, files: Sequence[Attached] = ()) -> dict[str, Any]:
        return super().arguments() | {"attachments": [file.model_dump() for file in files]}

    def summary(self) -> str:
        return f"e-mail to {', '.join(self.to)}: {self.subject or '(no subject)'}"


def files_in(canonical: str) -> tuple[Attached, ...]:
    """The files that an action's canonical JSON names, as they were approved."""
    files = json.loads(canonical).get("files", []) if canonical else []
    return tuple(Attached.model_validate(file) for file in files)


def _as_list(value: object) -> list[str]:
    # Obsidian writes a list of one as a plain text when the property's type is Text, and an
    # empty entry for a line that the person has not filled in.
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("must be a list of texts")
    return list(items)


def split_addresses(text: str) -> list[str]:
    """Split "\\"Doe, Jane\\" <jane@example.com>; max@example.com" at commas and semicolons."""
    parts = re.findall(r'(?:"[^"]*"|[^,;\n"])+', text)
    return [part.strip() for part in parts if part.strip()]


ACTIONS: dict[str, type[Action]] = {model.NAME: model for model in (EmailSend,)}
"""Every action that a card may ask for."""

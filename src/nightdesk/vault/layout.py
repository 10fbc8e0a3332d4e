"""The folders of the vault, the names of files, and what a path means (docs/design.md, section 2).

Paths are vault-relative POSIX strings ("Needs_Action/email/x.md") everywhere in Nightdesk.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath

from nightdesk.policy import Zone


class Folder(StrEnum):
    """The top folders that mean something."""

    INBOX = "Inbox"
    NEEDS_ACTION = "Needs_Action"
    IN_PROGRESS = "In_Progress"
    PLANS = "Plans"
    PENDING = "Pending_Approval"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    DONE = "Done"
    UPDATES = "Updates"
    LOGS = "Logs"
    BRIEFINGS = "Briefings"
    ATTACHMENTS = "Attachments"


STATE_FOLDERS: frozenset[str] = frozenset(
    {
        Folder.NEEDS_ACTION,
        Folder.IN_PROGRESS,
        Folder.PENDING,
        Folder.APPROVED,
        Folder.REJECTED,
        Folder.DONE,
    }
)
"""Where the folder is the state: one id lives in one of them, once."""

DASHBOARD = "Dashboard.md"
HANDBOOK = "Handbook.md"
STOP_FILE = "STOP.md"

MAX_NOTE_BYTES = 256 * 1024
MAX_NAME_BYTES = 120

_CONFLICT = re.compile(r"\.conflict-[0-9a-f]{8}$")
_RESERVED_CHARACTERS = frozenset('<>:"/\\|?*')
_RESERVED_NAMES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"}
)
# What NFKD does not take apart.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a path means: the top folder, the second part (zone, agent or month), the name."""

    path: str
    folder: Folder | None
    group: str
    name: str

    @property
    def stem(self) -> str:
        """The file name without `.md`; for an agent's notes this is the id."""
        return self.name.removesuffix(".md")

    @property
    def is_state(self) -> bool:
        """Whether the path lies in a folder that is a state."""
        return self.folder in STATE_FOLDERS

    @property
    def is_note(self) -> bool:
        """Whether scanners read it: a Markdown file that is no conflict copy and not hidden."""
        return (
            self.name.endswith(".md")
            and not self.name.startswith(".")
            and not is_conflict_copy(self.name)
        )


def place_of(path: str) -> Place:
    """Read a vault-relative path.

    `Needs_Action/x.md` has the group "" (files directly in a state folder count too). A path
    that climbs (`..`) lies in no folder.
    """
    parts = PurePosixPath(path).parts
    try:
        folder = Folder(parts[0]) if len(parts) > 1 and ".." not in parts else None
    except ValueError:
        folder = None
    group = parts[1] if folder and len(parts) > 2 else ""
    return Place(path, folder, group, parts[-1] if parts else "")


def is_conflict_copy(name: str) -> bool:
    """Whether a file name is that of a conflict copy (`<stem>.conflict-<8 hex>.<ext>`)."""
    stem, _, _ = name.rpartition(".")
    return bool(_CONFLICT.search(stem) or _CONFLICT.search(name))


def conflict_name(path: str, data: bytes) -> str:
    """Name the copy of a losing version: both machines compute the same name for the same bytes.

    The copy of a copy is named like a copy of the note itself, so names do not grow; a name
    that would be longer than 255 bytes is shortened.
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem or _CONFLICT.search(name):
        stem, dot, extension = name, "", ""
    digest = hashlib.sha256(data).hexdigest()[:8]
    end = f".conflict-{digest}{dot}{extension}"
    stem = _shortened(_CONFLICT.sub("", stem), 255 - len(end.encode("utf-8", "surrogateescape")))
    return f"{folder}{slash}{stem}{end}"


def _shortened(text: str, size: int) -> str:
    # Cut to so many bytes of UTF-8, between characters.
    data = text.encode("utf-8", "surrogateescape")
    return text if len(data) <= size else data[: max(size, 1)].decode("utf-8", "ignore")


def fault_in_name(name: str) -> str | None:
    """Say what is wrong with one part of a path, or None when it may be used.

    People may name their notes as they like: any NFC name of at most 255 bytes without
    control, bidirectional or reserved characters passes.
    """
    fault: str | None = None
    if not name or name in {".", ".."}:
        fault = "is empty or a path trick"
    elif name != unicodedata.normalize("NFC", name):
        fault = "is not in Unicode normal form C"
    elif any(_is_dangerous(c) for c in name):
        fault = "holds a control, bidirectional or invisible character"
    elif _RESERVED_CHARACTERS & set(name):
        fault = 'holds one of < > : " / \\ | ? *'
    elif name[-1] in ". " or name[0] == " ":
        fault = "begins or ends with a space, or ends with a dot"
    elif name.split(".", maxsplit=1)[0].rstrip().casefold() in _RESERVED_NAMES:
        fault = "is reserved on Windows"
    elif len(name.encode()) > 255:
        fault = "is longer than 255 bytes"
    return fault


def _is_dangerous(character: str) -> bool:
    # Zero-width joiner and non-joiner are part of emoji and of Persian or Indic words.
    if character in "\u200c\u200d":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def slug(text: str, limit: int = 40) -> str:
    """Make a file-name part of ASCII letters, digits and hyphens; "note" when nothing is left."""
    plain = unicodedata.normalize("NFKD", text[:400].lower().translate(_LETTERS))
    plain = plain.encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) > limit:
        words = words[:limit].rpartition("-")[0] or words[:limit]
    return words.strip("-") or "note"


def task_id(day: datetime, title: str, seed: str) -> str:
    """Name a task: `<date>-<slug>-<6 hex>`.

    The same seed gives the same id, so that a message seen twice makes one task.

    Args:
        day: when it arrived; only its UTC date is used.
        title: the subject or first line.
        seed: what identifies the source for ever, for example a Message-ID.
    """
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{day.astimezone(UTC):%Y-%m-%d}-{slug(title)}-{digest}"


def card_id(task: str, action: str, number: int) -> str:
    """Name a card: `<task id>-<action>-<n>`, where `email.send` is shortened to `email`."""
    return f"{task}-{action.split('.', maxsplit=1)[0]}-{number}"


_CARD = re.compile(r"(.+)-[a-z]+-[0-9]+", re.DOTALL)
_PLAN = "-plan"


def card_task(stem: str) -> str:
    """The task that a card belongs to, by the card's id; "" where it is no card's id."""
    match = _CARD.fullmatch(stem)
    return match[1] if match else ""


def plan_id(task: str) -> str:
    """Name a task's plan."""
    return f"{task}{_PLAN}"


def plan_task(stem: str) -> str:
    """The task that a plan belongs to, by the plan's id; "" where it is no plan's id."""
    return stem.removesuffix(_PLAN) if stem.endswith(_PLAN) else ""


def zone_path(folder: Folder, zone: Zone | str, note_id: str) -> str:
    """The path of a note in a folder that is divided by zone."""
    return f"{folder}/{zone}/{note_id}.md"


def claim_path(agent: str, name: str) -> str:
    """Where a claimed task lies: the folder is the owner."""
    return f"{Folder.IN_PROGRESS}/{agent}/{name}"


def done_path(note_id: str, when: datetime) -> str:
    """Where a finished note lies: `Done/<yyyy-mm>/`, by UTC month."""
    return f"{Folder.DONE}/{when.astimezone(UTC):%Y-%m}/{note_id}.md"

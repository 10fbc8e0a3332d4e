"""Conversations: whether something newer came into a thread than what a card answers.

The draft knows one message. If another came since, or the person has answered with another
card, the card says so on top, and nothing is sent until it has been approved with that line
on it. Known is what the vault knows: task notes in the state folders, and cards that were sent.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.projection import one_line
from nightdesk.vault import scan
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.files import read_regular
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, card_task, place_of

_FOLDERS = (Folder.NEEDS_ACTION, Folder.IN_PROGRESS, Folder.DONE)
_LINE = re.compile(
    r"> \[!(?:warning|failure)\] Newer messages?: (?:(\d{1,6}), the latest )?\[\[(.+?)\]\]"
)
_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,500}>")
_SETTLED_SECONDS = 2.0
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Newer:
    """Something in a thread that a draft does not know.

    Attributes:
        id: the task, or the card that was sent.
        when: its date; what a mail claims counts only for the order of what is shown.
        words: who wrote it, for the card.
    """

    id: str
    when: datetime
    words: str


@dataclass(slots=True)
class _Listed:
    changed: int
    folders: list[str]
    names: list[str]


class Threads:
    """An index of the message ids in the vault's task notes.

    A folder is listed again when it has changed, and each note is read once: what a mail's task
    says about its thread never changes.
    """

    def __init__(self, vault: Path) -> None:
        self._vault = vault
        self._listed: dict[str, _Listed] = {}
        self._read_names: set[str] = set()
        self._named: dict[bytes, set[str]] = {}

    def newer(self, task: Task) -> list[Newer]:
        """The other messages of a task's thread that it does not refer to, oldest first.

        One that refers to the task's own message is newer whatever its date claims.
        """
        if not task.message_id:
            return []
        self._refresh()
        names: set[str] = set()
        for key in {task.message_id, task.thread} - {""}:
            names |= self._named.get(key.encode(), set())
        found = [self._task(name) for name in names if name != f"{task.id}.md"]
        newer = [
            Newer(n.id, n.received or _NEVER, f"from `{one_line(n.sender) or '?'}`")
            for n in found
            if n and _is_newer(n, task)
        ]
        return _ordered(newer)

    # --- inside ----------------------------------------------------------------------------

    def _refresh(self) -> None:
        seen: dict[str, _Listed] = {}
        open_folders = [str(folder) for folder in _FOLDERS]
        while open_folders:
            folder = open_folders.pop()
            listed = self._list(folder)
            if listed:
                seen[folder] = listed
                open_folders += listed.folders
        before, self._listed = self._listed, seen
        for folder, listed in seen.items():
            if listed is before.get(folder):
                continue
            for name in listed.names:
                if name not in self._read_names and not self._take(folder, name):
                    listed.changed = -1  # it has moved, or cannot be read now: look again

    def _list(self, folder: str) -> _Listed | None:
        try:
            changed = (self._vault / folder).stat().st_mtime_ns
            before = self._listed.get(folder)
            if before and before.changed == changed:
                return before
            entries = list(os.scandir(self._vault / folder))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if abs(time.time() - changed / 1e9) < _SETTLED_SECONDS:
            changed = -1  # within the clock's grain a second change would not show
        folders, names = [], []
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.name.endswith(".md") and not card_task(entry.name.removesuffix(".md")):
                names.append(entry.name)
        return _Listed(changed, folders, names)

    def _take(self, folder: str, name: str) -> bool:
        path = f"{folder}/{name}"
        head = b""
        if place_of(path).is_note:
            try:
                head = read_regular(self._vault / path, MAX_NOTE_BYTES)
            except OSError:
                return False
        properties = head.partition(b"\n---")[0]
        self._read_names.add(name)
        for key in set(_MESSAGE_ID.findall(properties)):
            self._named.setdefault(key, set()).add(name)
        return True

    def _task(self, name: str) -> Task | None:
        for folder, listed in self._listed.items():
            if name in listed.names:
                path = f"{folder}/{name}"
                try:
                    return read_task(scan.read(self._vault, path), path)
                except (FileNotFoundError, NoteError):
                    continue
        return None


def _is_newer(other: Task, task: Task) -> bool:
    if not other.message_id or other.message_id in {task.message_id, *task.references}:
        return False
    if task.message_id in other.references:
        return True
    same = bool(task.thread) and task.thread in {other.thread, *other.references}
    return same and (other.received or _NEVER) >= (task.received or _NEVER)


def sent_in_thread(journal: Journal, task: Task, row: Row) -> list[Newer]:
    """The cards of other tasks that went into a task's thread since a card was made."""
    keys = {task.message_id, task.thread} - {""}
    if not keys:
        return []
    found = []
    for other in journal.sent_since(row.created):
        if other.id == row.id or other.task == row.task or not other.canonical:
            continue
        said = json.loads(other.canonical)
        if keys & {said.get("in_reply_to"), *(said.get("references") or [])}:
            found.append(Newer(other.id, other.updated, "which you sent"))
    return found


def newer_line(found: Iterable[Newer]) -> str:
    """One line about what a draft does not know; "" where there is nothing."""
    ordered = _ordered(found)
    if not ordered:
        return ""
    *others, newest = ordered
    when = "" if newest.when == _NEVER else f", {newest.when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    first = f"Newer messages: {len(others) + 1}, the latest" if others else "Newer message:"
    also = "".join(f", also [[{other.id}]]" for other in others[:-3:-1])
    what = f"{first} [[{newest.id}]] {newest.words}{when}{also}"
    return f"{what}. This draft does not know it: read it first."


def shows(above: Iterable[str], found: Iterable[Newer]) -> bool:
    """Whether a line of Local's above a draft tells of everything that the draft does not know.

    The number counts beside the newest one: a mail that claims to be from tomorrow would
    otherwise stay the newest, and hide what comes after it.

    Args:
        above: the lines above `# Draft`.
    """
    ordered = _ordered(found)
    if not ordered:
        return True
    told = (match for line in above if (match := _LINE.match(line)))
    return any(m[2] == ordered[-1].id and int(m[1] or 1) >= len(ordered) for m in told)


def _ordered(found: Iterable[Newer]) -> list[Newer]:
    return sorted(found, key=lambda n: (n.when, n.id))

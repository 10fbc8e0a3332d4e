"""`Logs/<date>.md`: what was done, readable, one entry an effect; written by Local alone.

An entry is recorded in the journal's chain first, then written into the day's file, then noted as
written. So a crash anywhere leaves an entry that is written later, and what a person cannot find
in the file is known to have been there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.log_text import entry_text, read_day
from nightdesk.vault import files
from nightdesk.vault.layout import Folder
from nightdesk.vault.unchanged import replace_unchanged

MAX_LOG_BYTES = 64 * 1024 * 1024
"""A day's log is never larger; far more than a day can hold."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log, as the journal's chain holds it.

    Attributes:
        key: identifies the effect for ever, for example "<card id> #1 sent".
        card: the card's id.
        day: the UTC date, as in the file's name.
        text: its canonical text, see `log_text`.
        written: whether it is known to have stood in the day's file.
    """

    key: str
    card: str
    day: str
    text: str
    written: bool

    @property
    def path(self) -> str:
        """The file that it belongs into, vault-relative."""
        return f"{Folder.LOGS}/{self.day}.md"

    @property
    def title(self) -> str:
        """Its heading without the mark: time, action, outcome."""
        return self.text.partition("\n")[0].removeprefix("## ")

    @property
    def lines(self) -> list[str]:
        """What it says, without heading and key."""
        return [line.removeprefix("- ") for line in self.text.split("\n")[1:-1]]


def entries(journal: Journal) -> list[Entry]:
    """Every entry that was recorded, in the order in which the files hold them."""
    events = [(event["id"], event["detail"]) for event in journal.log_events()]
    written = {detail["entry"] for _, detail in events if "text" not in detail}
    return [
        Entry(detail["entry"], card, detail["day"], detail["text"], detail["entry"] in written)
        for card, detail in events
        if "text" in detail
    ]


def day_header(day: str) -> str:
    """The first line of a day's file."""
    return f"# Log of {day} (UTC)"


class AuditLog:
    """Records effects in the journal, and writes them into the vault when it can.

    Args:
        clock: the present moment, aware.
    """

    def __init__(self, journal: Journal, vault: Path, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._vault = vault
        self._clock = clock
        self._waiting: list[Entry] | None = None

    def record(self, row: Row, word: str, lines: Sequence[str]) -> None:
        """Record one effect and write it; recorded once, however often it is asked.

        Args:
            row: the action; its UTC moment of change names the day.
            word: what became of this attempt, for example "sent".
            lines: what happened, each without its list mark.
        """
        key = f"{row.id} #{row.attempt} {word}"
        if not any(e["detail"].get("entry") == key for e in self._journal.events(row.id)):
            moment = row.updated.astimezone(UTC)
            text = entry_text(f"{moment:%H:%M:%S}Z {row.action} – {word}", lines, key)
            day = f"{moment:%Y-%m-%d}"
            detail = {"entry": key, "day": day, "text": text}
            self._journal.annotate(row.id, self._clock(), detail)
            if self._waiting is not None:
                self._waiting.append(Entry(key, row.id, day, text, written=False))
        self.write()

    def write(self) -> bool:
        """Write what is recorded and does not stand in its file yet.

        A file that cannot be written is shown as something that needs a look; nothing else waits
        for it.

        Returns:
            False if something is still to be written; call it again later.
        """
        if self._waiting is None:
            self._waiting = [entry for entry in entries(self._journal) if not entry.written]
        left: list[Entry] = []
        for entry in self._waiting:
            # The order in a file is that of the journal: a day that is stuck stays stuck.
            if entry.path in {other.path for other in left} or not self._appended(entry):
                left.append(entry)
                continue
            self._journal.annotate(entry.card, self._clock(), {"entry": entry.key})
        self._waiting = left
        return not left

    def _appended(self, entry: Entry) -> bool:
        try:
            done = _append(self._vault, entry)
        except OSError as e:
            reason = (
                f"the log of {entry.day} cannot be written ({e.strerror}). It must be an ordinary "
                "file in an ordinary folder; what was done is kept in the journal until then"
            )
            self._journal.refuse(entry.path, "", reason, self._clock(), lasting=True)
            return False
        if done and any(r.path == entry.path for r in self._journal.refusals(lasting=True)):
            self._journal.clear_refusals([entry.path], self._clock())
        return done


def _append(vault: Path, entry: Entry) -> bool:
    path = vault / entry.path
    if path.parent.is_symlink():
        raise NotADirectoryError(0, "a link stands in its place", str(path.parent))
    text = f"{entry.text}\n".encode()
    for _ in range(_ATTEMPTS):
        try:
            old = files.read_regular(path, MAX_LOG_BYTES)
        except FileNotFoundError:
            try:
                files.create(path, f"{day_header(entry.day)}\n\n".encode() + text)
            except FileExistsError:
                continue
            return True
        there = read_day(old.decode("utf-8", "replace")).blocks
        if any(block.text == entry.text for block in there):
            return True
        gap = b"" if old.endswith(b"\n\n") or not old else b"\n" * (2 - old.endswith(b"\n"))
        if replace_unchanged(path, old, old + gap + text):
            return True
    return False

"""`Logs/<date>.md`: what was done, readable, one entry an effect; written by Local alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.vault import files
from nightdesk.vault.layout import Folder
from nightdesk.vault.unchanged import replace_unchanged

_ATTEMPTS = 5


def log_path(when: datetime) -> str:
    """The log of a UTC day, vault-relative."""
    return f"{Folder.LOGS}/{when.astimezone(UTC):%Y-%m-%d}.md"


def append_entry(vault: Path, when: datetime, key: str, title: str, lines: Sequence[str]) -> bool:
    """Append one entry to the day's log; an entry with the same key is not written twice.

    Args:
        when: the moment of the effect; its UTC date names the file.
        key: identifies the effect for ever, for example "<card id> #1 sent".
        title: the entry's heading, one line.
        lines: what happened, each without its list mark.

    Returns:
        False if a person kept editing the log meanwhile; try again later.
    """
    moment = when.astimezone(UTC)
    path = vault / log_path(moment)
    mark = f"- Entry: `{key}`"
    entry = [f"## {moment:%H:%M:%S}Z {title}", *(f"- {line}" for line in lines), mark, ""]
    text = "\n".join(entry)
    for _ in range(_ATTEMPTS):
        try:
            old = path.read_bytes()
        except FileNotFoundError:
            try:
                files.create(path, f"# Log of {moment:%Y-%m-%d} (UTC)\n\n{text}".encode())
            except FileExistsError:
                continue
            return True
        if mark.encode() in old.splitlines():
            return True
        gap = b"" if old.endswith(b"\n\n") or not old else b"\n" * (2 - old.endswith(b"\n"))
        if replace_unchanged(path, old, old + gap + text.encode()):
            return True
    return False

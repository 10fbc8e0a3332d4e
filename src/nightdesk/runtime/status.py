"""`status`: what the folders hold, what is held back, and whether the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from nightdesk.runtime.command import Desk, print_json
from nightdesk.sync.engine import is_running
from nightdesk.sync.held_back import read_held_back
from nightdesk.vault.layout import Folder
from nightdesk.vault.scan import notes_in
from nightdesk.vault.stopping import stop_notes

_COUNTED = (
    Folder.INBOX,
    Folder.NEEDS_ACTION,
    Folder.IN_PROGRESS,
    Folder.PENDING,
    Folder.APPROVED,
    Folder.DONE,
)


def status_of(desk: Desk) -> dict[str, Any]:
    """Count the notes, read what the last cycle held back, and probe the daemon's lock."""
    counts = {str(folder).lower(): len(notes_in(desk.vault, folder)) for folder in _COUNTED}
    return {
        "agent": desk.settings.name,
        "running": is_running(desk.state),
        "vault": str(desk.vault),
        "hub": desk.settings.hub.url,
        "stopped": bool(stop_notes(desk.vault)),
        **counts,
        "held_back": [
            {"where": held.path, "line": held.line, "what": held.reason}
            for held in read_held_back(desk.state)
        ],
    }


def show_status(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a status: one JSON object, or a line a value and a line an item of a list."""
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        name = key.replace("_", " ")
        if not isinstance(value, list):
            typer.echo(f"{name}: {value}")
            continue
        typer.echo(f"{name}: {len(value)}")
        for item in value:
            line = f", line {item['line']}" if item.get("line") else ""
            typer.echo(f"  {item['where']}{line}: {item['what']}")

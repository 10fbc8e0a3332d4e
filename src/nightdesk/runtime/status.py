"""`status`: what the folders hold, and whether the daemon runs."""

from __future__ import annotations

from typing import Any

from nightdesk.runtime.command import Desk
from nightdesk.sync.engine import is_running
from nightdesk.vault.layout import STOP_FILE, Folder
from nightdesk.vault.scan import notes_in

_COUNTED = (
    Folder.INBOX,
    Folder.NEEDS_ACTION,
    Folder.IN_PROGRESS,
    Folder.PENDING,
    Folder.APPROVED,
    Folder.DONE,
)


def status_of(desk: Desk) -> dict[str, Any]:
    """Count the notes and probe the daemon's lock."""
    counts = {str(folder).lower(): len(notes_in(desk.vault, folder)) for folder in _COUNTED}
    return {
        "agent": desk.settings.name,
        "running": is_running(desk.state),
        "vault": str(desk.vault),
        "hub": desk.settings.hub.url,
        "stopped": (desk.vault / STOP_FILE).exists(),
        **counts,
    }

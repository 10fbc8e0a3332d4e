"""What sync holds back, kept in the state folder so that `status` can tell it at any time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nightdesk.sync.entries import HeldBack
from nightdesk.vault.files import write

_FILE = "held-back.json"


class HeldBackFile:
    """The last report's list on disk; written when it changes.

    Args:
        state: the agent's state folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._last: list[HeldBack] | None = None

    def keep(self, held: Sequence[HeldBack]) -> None:
        """Remember this list; a full disk is not this file's trouble to tell."""
        now = sorted(held, key=lambda h: (h.path, h.line))
        if now == self._last:
            return
        rows = [{"path": h.path, "reason": h.reason, "line": h.line} for h in now]
        with suppress(OSError):
            write(self._state / _FILE, json.dumps(rows, ensure_ascii=False, indent=1).encode())
            self._last = now


def read_held_back(state: Path) -> list[HeldBack]:
    """What the last cycle held back; nothing where there was none."""
    try:
        rows = json.loads((state / _FILE).read_text("utf-8"))
        return [HeldBack(str(r["path"]), str(r["reason"]), int(r["line"])) for r in rows]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []

"""Merging the cloud's updates: kept outside the vault for the dashboard, then removed from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from nightdesk.errors import NoteError
from nightdesk.vault import files
from nightdesk.vault.layout import Folder
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.updates import Update, read_update

KEPT = 100


class UpdateLog:
    """The newest updates, in a small file that is written before a note is removed."""

    def __init__(self, state: Path) -> None:
        self._file = state / "updates.json"

    def newest(self, limit: int = KEPT) -> list[Update]:
        """The updates, newest first."""
        try:
            rows = json.loads(self._file.read_text("utf-8"))
        except FileNotFoundError:
            return []
        found = [
            Update(**row | {"created": datetime.fromisoformat(row["created"])}) for row in rows
        ]
        return sorted(found, key=lambda u: (u.created, u.id), reverse=True)[:limit]

    def merge(self, vault: Path) -> tuple[list[Update], list[NoteError]]:
        """Take every update out of `Updates/` (skill local-merge-updates).

        Returns:
            The updates that were new, and the notes that are none and stay where they are.
        """
        known = {update.id: update for update in self.newest()}
        new: dict[str, Update] = {}
        taken: list[Path] = []
        problems: list[NoteError] = []
        for place in notes_in(vault, Folder.UPDATES):
            try:
                update = read_update(read(vault, place.path), place.path)
            except FileNotFoundError:
                continue
            except NoteError as e:
                problems.append(e)
                continue
            new[update.id] = update
            taken.append(vault / place.path)
        if new:
            self._keep(known | new)
        for path in taken:
            path.unlink(missing_ok=True)
        return [u for key, u in new.items() if key not in known], problems

    def add(self, update: Update) -> None:
        """Keep what the laptop itself has to tell; the same id is told once."""
        known = {kept.id: kept for kept in self.newest()}
        if update.id not in known:
            self._keep(known | {update.id: update})

    def _keep(self, updates: dict[str, Update]) -> None:
        kept = sorted(updates.values(), key=lambda u: (u.created, u.id))[-KEPT:]
        rows = [asdict(u) | {"created": u.created.isoformat()} for u in kept]
        files.write(self._file, json.dumps(rows, ensure_ascii=False, indent=1).encode("utf-8"))

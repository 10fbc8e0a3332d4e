"""Which messages have been looked at already: one small table outside the vault.

It saves work and nothing depends on it: a task's id comes from its message, so a message
looked at twice still makes one task.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path


class Seen:
    """A durable set of message keys, one mailbox each."""

    def __init__(self, file: Path, mailbox: str) -> None:
        self._mailbox = mailbox
        self._database = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS seen"
            " (mailbox TEXT, key TEXT, PRIMARY KEY (mailbox, key)) WITHOUT ROWID"
        )
        self._keys = {
            key
            for (key,) in self._database.execute(
                "SELECT key FROM seen WHERE mailbox = ?", (mailbox,)
            )
        }
        self.fresh = not self._keys

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Remember keys; they are on disk when this returns."""
        new = [key for key in keys if key not in self._keys]
        if not new:
            return
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?)", [(self._mailbox, key) for key in new]
        )
        self._database.execute("COMMIT")
        self._keys.update(new)

    def forget(self, keys: Iterable[str]) -> None:
        """Forget keys; they are gone from the disk when this returns."""
        gone = [key for key in keys if key in self._keys]
        if not gone:
            return
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "DELETE FROM seen WHERE mailbox = ? AND key = ?", [(self._mailbox, k) for k in gone]
        )
        self._database.execute("COMMIT")
        self._keys.difference_update(gone)

    def close(self) -> None:
        """Close the table."""
        self._database.close()

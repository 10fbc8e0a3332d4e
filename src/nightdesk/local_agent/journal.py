"""The journal: what happened to every action, in SQLite beside the vault, never in it.

It is the truth; the folders only show it. Every change of state is one transaction together
with its event row, and every event row's hash covers the one before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from nightdesk.errors import AuditBroken, NightdeskError
from nightdesk.local_agent.states import Event, State, next_state

_SCHEMA = """
CREATE TABLE IF NOT EXISTS actions (
  id TEXT PRIMARY KEY, task TEXT NOT NULL, action TEXT NOT NULL, zone TEXT NOT NULL,
  state TEXT NOT NULL, path TEXT NOT NULL,
  proposal_sha TEXT NOT NULL, card_sha TEXT NOT NULL, card BLOB NOT NULL,
  approved_sha TEXT NOT NULL DEFAULT '', digest TEXT NOT NULL DEFAULT '',
  canonical TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0,
  message_id TEXT NOT NULL DEFAULT '',
  created TEXT NOT NULL, expires TEXT, approved_at TEXT, updated TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '', result TEXT NOT NULL DEFAULT '{}',
  projected INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS actions_by_state ON actions (state, updated);
CREATE INDEX IF NOT EXISTS actions_by_task ON actions (task);
CREATE UNIQUE INDEX IF NOT EXISTS one_key ON actions (message_id) WHERE message_id <> '';
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL,
  at TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_id ON events (id);
CREATE INDEX IF NOT EXISTS events_of_the_log ON events (seq)
  WHERE json_extract(detail, '$.entry') IS NOT NULL;
CREATE TABLE IF NOT EXISTS refusals (
  path TEXT NOT NULL, sha TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
  lasting INTEGER NOT NULL, cleared_at TEXT,
  UNIQUE (path, sha, reason)
) STRICT;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_MOMENTS = ("created", "expires", "approved_at", "updated")
_FIELDS = frozenset(
    {"path", "card_sha", "card", "approved_sha", "digest", "canonical", "attempt", "message_id"}
    | {"approved_at", "reason", "result", "projected"}
)
_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Row:
    """One action as the journal holds it.

    Attributes:
        path: where its card was last put or seen, vault-relative.
        proposal_sha: SHA-256 of the bytes that were proposed, in hex.
        card_sha: SHA-256 of the card that Local wrote, in hex; `card` are its bytes.
        approved_sha: SHA-256 of the private copy of what was approved; it is also its name.
        digest: SHA-256 of the approved action's canonical JSON (`canonical`).
        attempt: how often the one call was begun.
        message_id: the idempotency key; the same for the same action and digest.
        result: what the far side answered, and when.
        projected: whether Done/ shows a rejected or expired card already.
    """

    id: str
    task: str
    action: str
    zone: str
    state: State
    path: str
    proposal_sha: str
    card_sha: str
    created: datetime
    updated: datetime
    expires: datetime | None = None
    approved_sha: str = ""
    digest: str = ""
    canonical: str = ""
    attempt: int = 0
    message_id: str = ""
    approved_at: datetime | None = None
    reason: str = ""
    projected: bool = False
    result: dict[str, Any] = field(default_factory=dict)
    card: bytes = field(default=b"", repr=False)


class Changed(NamedTuple):
    """The few columns of an action that say what its call carries; see `Row`."""

    id: str
    task: str
    state: State
    updated: datetime
    attempt: int
    canonical: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that may not run or cannot be read, and what to do about it."""

    path: str
    sha: str
    reason: str
    at: datetime


class StaleRow(NightdeskError):
    """The row was changed by somebody else in between; look again."""


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


class Journal:
    """The journal of one laptop; safe for several threads and for readers in other processes.

    Args:
        path: the database file; its folder is the state directory and is made private (0700).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        try:
            for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as e:
            self._db.close()
            raise self._broken(e) from e

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _broken(self, error: sqlite3.Error) -> NightdeskError:
        return NightdeskError(
            f"the journal cannot be used ({error})",
            remedy="Check the disk's space and that the file may be written; nothing is sent "
            "meanwhile",
            where=str(self.path),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as e:
                raise self._broken(e) from e

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as e:
                raise self._broken(e) from e

    # --- actions ---------------------------------------------------------------------------

    def get(self, action_id: str) -> Row | None:
        """The action with this id, or None."""
        found = self._read("SELECT * FROM actions WHERE id=?", (action_id,))
        return _row(found[0]) if found else None

    def rows(self, states: Collection[State] | None = None, *, task: str = "") -> list[Row]:
        """The actions in these states (all by default), oldest first; of one task if named."""
        sql, values = "SELECT * FROM actions WHERE 1", []
        if states is not None:
            sql += f" AND state IN ({','.join('?' * len(states))})"
            values += [str(state) for state in states]
        if task:
            sql += " AND task=?"
            values.append(task)
        return [_row(r) for r in self._read(f"{sql} ORDER BY created, id", tuple(values))]

    def sent_since(self, when: datetime) -> list[Row]:
        """The actions that went out after a moment, oldest first."""
        found = self._read(
            "SELECT * FROM actions WHERE state IN (?, ?) AND updated > ? ORDER BY updated",
            (str(State.CONFIRMED), str(State.DONE), _text(when)),
        )
        return [_row(r) for r in found]

    def changed(self, after: int = 0) -> list[Changed]:
        """What was recorded in the events after this one, a row for each action named there."""
        found = self._read(
            "SELECT id, task, state, updated, attempt, canonical, result FROM actions"
            " WHERE id IN (SELECT id FROM events WHERE seq > ?)",
            (after,),
        )
        return [
            Changed(
                *(r["id"], r["task"], State(r["state"]), _moment(r["updated"]), r["attempt"]),
                *(r["canonical"], json.loads(r["result"])),
            )
            for r in found
        ]

    def newest_event(self) -> int:
        """The number of the newest event; it grows with every change."""
        return int(self._read("SELECT COALESCE(MAX(seq), 0) FROM events")[0][0])

    def add(
        self,
        event: Event,
        at: datetime,
        *,
        action_id: str,
        task: str = "",
        action: str = "",
        zone: str = "",
        path: str,
        proposal_sha: str,
        card: bytes = b"",
        expires: datetime | None = None,
        reason: str = "",
    ) -> Row | None:
        """Record a new action: RECEIVED, and at once CARDED or QUARANTINED.

        Returns:
            The new row, or None if the id is known already (nothing is changed then).
        """
        state = next_state(State.RECEIVED, event)
        card_sha = sha256(card)
        with self._writing() as db:
            done = db.execute(
                "INSERT OR IGNORE INTO actions (id, task, action, zone, state, path, proposal_sha,"
                " card_sha, card, created, expires, updated, reason)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    *(action_id, task, action, zone, state, path, proposal_sha, card_sha, card),
                    *(_text(at), _text(expires), _text(at), reason),
                ),
            )
            if done.rowcount != 1:
                return None
            _append(db, action_id, "", State.RECEIVED, at, {"path": path, "sha": proposal_sha})
            detail = {"card": card_sha} if card else {"reason": reason}
            _append(db, action_id, State.RECEIVED, state, at, detail)
        return self.get(action_id)

    def change(
        self, row: Row, event: Event, at: datetime, *, detail: str = "", **fields: object
    ) -> Row:
        """Move an action to its next state and record the event, in one transaction.

        Args:
            row: the action as last read; if its state has changed since, nothing is done.
            detail: what happened, for people.
            fields: columns to set with it.

        Raises:
            IllegalTransition: the event cannot happen in the row's state.
            StaleRow: the state was changed in between.
        """
        state = next_state(row.state, event)
        self._update(row, state, at, fields, {"event": str(event), "detail": detail})
        found = self.get(row.id)
        assert found is not None
        return found

    def note(self, row: Row, at: datetime, *, detail: str, **fields: object) -> Row:
        """Set columns without a change of state; recorded as an event all the same."""
        self._update(row, row.state, at, fields, {"detail": detail})
        found = self.get(row.id)
        assert found is not None
        return found

    def annotate(self, action_id: str, at: datetime, detail: dict[str, str]) -> None:
        """Add an event that changes nothing of the action, only the chain knows it."""
        with self._writing() as db:
            found = db.execute("SELECT state FROM actions WHERE id=?", (action_id,)).fetchone()
            state = found["state"] if found else ""
            _append(db, action_id, state, state, at, detail)

    def _update(
        self,
        row: Row,
        state: State,
        at: datetime,
        fields: dict[str, object],
        detail: dict[str, str],
    ) -> None:
        unknown = set(fields) - _FIELDS
        assert not unknown, unknown
        columns = {"state": str(state), "updated": _text(at)}
        columns |= {key: _stored(value) for key, value in fields.items()}
        sets = ", ".join(f"{key}=?" for key in columns)
        with self._writing() as db:
            done = db.execute(
                f"UPDATE actions SET {sets} WHERE id=? AND state=?",  # noqa: S608 - own names
                (*columns.values(), row.id, str(row.state)),
            )
            if done.rowcount != 1:
                raise StaleRow(
                    "the action was changed by another process",
                    remedy="Run only one `agent-local run` on this laptop",
                    where=row.id,
                )
            shown = {k: v for k, v in columns.items() if k in _FIELDS and k != "card"}
            _append(db, row.id, row.state, state, at, {**detail, **shown})

    # --- refusals and small facts ----------------------------------------------------------

    def refuse(
        self, path: str, sha: str, reason: str, at: datetime, *, lasting: bool = False
    ) -> bool:
        """Record once that a file may not run.

        Args:
            lasting: stays shown though no such file lies in the vault (a proposal from the hub).

        Returns:
            True if this reason is new for this file.
        """
        with self._writing() as db:
            known = db.execute(
                "SELECT 1 FROM refusals WHERE path=? AND sha=? AND reason=? AND cleared_at IS NULL",
                (path, sha, reason),
            ).fetchone()
            if known:
                return False
            db.execute(
                "UPDATE refusals SET cleared_at=? WHERE path=? AND cleared_at IS NULL",
                (_text(at), path),
            )
            db.execute(
                "INSERT INTO refusals (path, sha, reason, at, lasting) VALUES (?,?,?,?,?)"
                " ON CONFLICT DO UPDATE SET at=excluded.at, cleared_at=NULL",
                (path, sha, reason, _text(at), int(lasting)),
            )
        return True

    def clear_refusals(self, paths: Collection[str], at: datetime) -> None:
        """Say that what lay at these paths is settled."""
        with self._writing() as db:
            db.executemany(
                "UPDATE refusals SET cleared_at=? WHERE path=? AND cleared_at IS NULL",
                [(_text(at), path) for path in paths],
            )

    def refusals(self, *, lasting: bool | None = None) -> list[Refusal]:
        """What is refused now, newest first; with `lasting` only those of that kind."""
        sql = "SELECT * FROM refusals WHERE cleared_at IS NULL"
        if lasting is not None:
            sql += f" AND lasting={int(lasting)}"
        found = self._read(f"{sql} ORDER BY at DESC, path")
        return [Refusal(r["path"], r["sha"], r["reason"], _moment(r["at"])) for r in found]

    def meta(self, key: str) -> str:
        """A small fact about the journal itself; "" where it was never set."""
        found = self._read("SELECT value FROM meta WHERE key=?", (key,))
        return str(found[0][0]) if found else ""

    def set_meta(self, key: str, value: str) -> None:
        """Remember a small fact about the journal itself."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))

    # --- the chain -------------------------------------------------------------------------

    def events(self, action_id: str = "") -> list[dict[str, Any]]:
        """The recorded events, oldest first; of one action if named."""
        where, values = ("WHERE id=?", (action_id,)) if action_id else ("", ())
        found = self._read(f"SELECT * FROM events {where} ORDER BY seq", values)  # noqa: S608
        return [{**dict(r), "detail": json.loads(r["detail"])} for r in found]

    def head(self) -> tuple[int, str]:
        """How many events there are, and the hash of the last one."""
        found = self._read("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
        return (found[0]["seq"], found[0]["hash"]) if found else (0, _GENESIS)

    def hash_at(self, seq: int) -> str:
        """The hash of one event; "" where there is none of this number."""
        if seq == 0:
            return _GENESIS
        found = self._read("SELECT hash FROM events WHERE seq=?", (seq,))
        return str(found[0]["hash"]) if found else ""

    def log_events(self) -> list[dict[str, Any]]:
        """The events of the log in `Logs/` alone, oldest first; see `audit.AuditLog`."""
        found = self._read(
            "SELECT * FROM events WHERE json_extract(detail, '$.entry') IS NOT NULL ORDER BY seq"
        )
        return [{**dict(r), "detail": json.loads(r["detail"])} for r in found]

    def began(self) -> datetime | None:
        """When the journal's first event happened; None while it is empty."""
        found = self._read("SELECT at FROM events ORDER BY seq LIMIT 1")
        return _moment(found[0]["at"]) if found else None

    def verify_chain(self) -> int:
        """Recompute every event's hash and compare each action with its last event.

        Returns:
            The number of events.

        Raises:
            AuditBroken: names the first entry that was changed, removed or reordered.
        """
        previous, last = _GENESIS, dict[str, str]()
        found = self._read("SELECT * FROM events ORDER BY seq")
        for number, r in enumerate(found, start=1):
            expected = _hash(previous, [r[k] for k in _CHAINED])
            if r["seq"] != number or r["hash"] != expected:
                raise self._tampered(f"entry {number} is not what was written")
            previous, last[r["id"]] = expected, r["to_state"]
        states = {r["id"]: r["state"] for r in self._read("SELECT id, state FROM actions")}
        for action_id in sorted(states.keys() | last.keys()):
            if states.get(action_id) != last.get(action_id):
                raise self._tampered(f"the state of {action_id} does not follow from its entries")
        return len(found)

    def _tampered(self, what: str) -> AuditBroken:
        return AuditBroken(
            f"the journal's chain is broken: {what}",
            remedy="Somebody changed the file; compare it with a backup before you approve more",
            where=str(self.path),
        )


_CHAINED = ("seq", "id", "from_state", "to_state", "at", "detail")


def _hash(previous: str, values: list[object]) -> str:
    text = json.dumps([previous, *values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _append(
    db: sqlite3.Connection,
    action_id: str,
    from_state: str,
    to_state: str,
    at: datetime,
    detail: dict[str, Any],
) -> None:
    last = db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    seq, previous = (last["seq"] + 1, last["hash"]) if last else (1, _GENESIS)
    text = json.dumps({k: v for k, v in detail.items() if v not in ("", None)}, ensure_ascii=False)
    values: list[object] = [seq, action_id, str(from_state), str(to_state), _text(at), text]
    db.execute("INSERT INTO events VALUES (?,?,?,?,?,?,?)", (*values, _hash(previous, values)))


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _stored(value: object) -> Any:
    if isinstance(value, datetime):
        return _text(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return int(value) if isinstance(value, bool) else value


def _row(found: sqlite3.Row) -> Row:
    values: dict[str, Any] = dict(found)
    for key in _MOMENTS:
        values[key] = _moment(values[key]) if values[key] else None
    values["state"] = State(values["state"])
    values["result"] = json.loads(values["result"])
    values["projected"] = bool(values["projected"])
    return Row(**values)

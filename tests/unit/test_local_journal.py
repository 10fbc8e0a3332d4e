"""The journal: one transaction a change, a chain over the events, readers beside the writer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightdesk.errors import NightdeskError
from nightdesk.local_agent.journal import Journal, StaleRow
from nightdesk.local_agent.states import Event, IllegalTransition, State

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "state" / "journal.sqlite") as journal:
        yield journal


def _carded(journal: Journal, name: str = "a") -> None:
    journal.add(
        Event.CARD, NOW, action_id=name, task="t", action="email.send", zone="email",
        path=f"Pending_Approval/email/{name}.md", proposal_sha="p", card=b"card",
    )  # fmt: skip


def test_a_new_action_is_carded_with_its_history(journal: Journal) -> None:
    _carded(journal)
    row = journal.get("a")
    assert row is not None
    assert (row.state, row.card, row.created) == (State.CARDED, b"card", NOW)
    assert [(e["from_state"], e["to_state"]) for e in journal.events("a")] == [
        ("", "RECEIVED"),
        ("RECEIVED", "CARDED"),
    ]


def test_a_known_id_is_never_added_again(journal: Journal) -> None:
    _carded(journal)
    again = journal.add(Event.CARD, NOW, action_id="a", path="x", proposal_sha="q", card=b"other")
    assert again is None
    assert journal.get("a").card == b"card"  # type: ignore[union-attr]
    assert len(journal.events()) == 2


def test_of_two_who_change_the_same_row_one_wins(journal: Journal) -> None:
    _carded(journal)
    row = journal.get("a")
    assert row is not None
    assert journal.change(row, Event.APPROVE, NOW, digest="d").state is State.APPROVED
    with pytest.raises(StaleRow):
        journal.change(row, Event.REJECT, NOW)
    assert len(journal.events("a")) == 3


def test_an_illegal_change_leaves_nothing(journal: Journal) -> None:
    _carded(journal)
    row = journal.get("a")
    assert row is not None
    with pytest.raises(IllegalTransition):
        journal.change(row, Event.CONFIRM, NOW)
    assert len(journal.events("a")) == 2


def test_one_message_id_belongs_to_one_action(journal: Journal) -> None:
    _carded(journal, "a")
    _carded(journal, "b")
    for name in "ab":
        row = journal.get(name)
        assert row is not None
        row = journal.change(journal.change(row, Event.APPROVE, NOW), Event.CLAIM, NOW)
        if name == "a":
            journal.change(row, Event.INTEND, NOW, message_id="<x@y>")
        else:
            with pytest.raises(NightdeskError, match="UNIQUE"):
                journal.change(row, Event.INTEND, NOW, message_id="<x@y>")
    assert journal.get("b").state is State.CLAIMED  # type: ignore[union-attr]


def test_it_is_durable_and_private(journal: Journal) -> None:
    assert journal.path.stat().st_mode & 0o077 == 0
    assert journal.path.parent.stat().st_mode & 0o077 == 0
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE events SET detail='{}' WHERE seq=2",
        "UPDATE events SET at='2026-01-01T00:00:00.000+00:00' WHERE seq=1",
        "DELETE FROM events WHERE seq=2",
        "DELETE FROM events WHERE seq=(SELECT max(seq) FROM events)",
        "UPDATE events SET seq=-seq; UPDATE events SET seq=seq+5",
        "UPDATE actions SET state='APPROVED' WHERE id='b'",
        "DELETE FROM actions WHERE id='b'",
    ],
)
def test_any_change_removal_or_reorder_is_found(journal: Journal, tampering: str) -> None:
    _carded(journal, "a")
    _carded(journal, "b")
    assert journal.verify_chain() == 4
    other = sqlite3.connect(journal.path)
    other.executescript(tampering)
    other.close()
    with pytest.raises(NightdeskError, match="chain is broken"):
        journal.verify_chain()


def test_a_refusal_is_recorded_once_and_gone_when_settled(journal: Journal) -> None:
    assert journal.refuse("Approved/x.md", "s", "unknown", NOW)
    assert not journal.refuse("Approved/x.md", "s", "unknown", NOW)
    assert journal.refuse("Approved/x.md", "s", "another reason", NOW)
    assert [r.reason for r in journal.refusals()] == ["another reason"]
    journal.clear_refusals(["Approved/x.md"], NOW)
    assert journal.refusals() == []
    assert journal.refuse("Approved/x.md", "s", "unknown", NOW)


def test_another_process_reads_while_a_write_is_under_way(journal: Journal) -> None:
    _carded(journal)
    code = (
        "import sys; from pathlib import Path; from nightdesk.local_agent.journal import Journal\n"
        "with Journal(Path(sys.argv[1])) as j: print([r.id for r in j.rows()], j.verify_chain())"
    )
    with journal._writing() as db:
        db.execute("UPDATE actions SET reason='half' WHERE id='a'")
        read = subprocess.run(
            [sys.executable, "-c", code, str(journal.path)],
            capture_output=True, text=True, check=True, timeout=9,
        )  # fmt: skip
    assert read.stdout.strip() == "['a'] 2"


def test_a_file_that_is_no_journal_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("this is not a database, " * 100)
    with pytest.raises(NightdeskError, match=r"journal\.sqlite: the journal cannot be used"):
        Journal(tmp_path / "journal.sqlite")

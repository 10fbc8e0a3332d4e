"""Updates: written once by the cloud, merged by the laptop, then gone from the vault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightdesk.local_agent.updates import KEPT, UpdateLog
from nightdesk.vault.scan import notes_in
from nightdesk.vault.updates import Update, read_update, write_update

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.requirement("SKILL.cloud-write-update", "FR-005")
def test_an_update_is_written_once_and_reads_back(tmp_path: Path) -> None:
    """The same event told again changes nothing."""
    update = Update("u-1", "cloud", NOON, "Drafted [[x]] — “ok”", True, "x")
    write_update(tmp_path, update)
    write_update(tmp_path, Update("u-1", "cloud", NOON, "something else"))
    path = "Updates/u-1.md"
    assert read_update((tmp_path / path).read_bytes(), path) == update


@pytest.mark.requirement("SKILL.local-merge-updates")
def test_merging_keeps_the_news_and_empties_the_folder(tmp_path: Path) -> None:
    """Newest first; what a crash left behind is merged again without doubling."""
    log = UpdateLog(tmp_path)
    for number in range(3):
        write_update(
            tmp_path, Update(f"u-{number}", "cloud", NOON + timedelta(minutes=number), f"n{number}")
        )
    new, problems = log.merge(tmp_path)
    assert (len(new), problems) == (3, [])
    assert notes_in(tmp_path, "Updates") == []
    write_update(tmp_path, Update("u-1", "cloud", NOON + timedelta(minutes=1), "n1"))
    assert log.merge(tmp_path)[0] == []
    assert [u.summary for u in log.newest()] == ["n2", "n1", "n0"]


def test_a_persons_note_in_updates_stays_and_is_reported(tmp_path: Path) -> None:
    """Nothing that is no update is ever removed."""
    note = tmp_path / "Updates" / "mine.md"
    note.parent.mkdir()
    note.write_text("my own note")
    _, problems = UpdateLog(tmp_path).merge(tmp_path)
    assert [p.where for p in problems] == ["Updates/mine.md"]
    assert note.read_text() == "my own note"


def test_the_log_stays_small(tmp_path: Path) -> None:
    """Months of updates do not grow the file."""
    log = UpdateLog(tmp_path)
    for number in range(KEPT + 20):
        write_update(tmp_path, Update(f"u-{number:04}", "cloud", NOON, f"n{number}"))
    log.merge(tmp_path)
    assert len(log.newest()) == KEPT

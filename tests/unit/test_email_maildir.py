"""The Maildir is read, found and searched, and never changed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightdesk.connectors.email.maildir import MaildirMailbox
from nightdesk.connectors.email.search import parse_query
from nightdesk.errors import ConfigError, UsageError


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for name in ("cur", "new", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    return tmp_path / "mail"


def deliver(maildir: Path, name: str, head: str, body: str = "Hello", day: int = 1) -> Path:
    path = maildir / name
    path.write_bytes(f"{head}\r\nDate: {day:02} Nov 2026 10:00:00 +0000\r\n\r\n{body}".encode())
    at = datetime(2026, 11, day, 10, tzinfo=UTC).timestamp()
    os.utime(path, (at, at))
    return path


def test_check_names_the_remedy(maildir: Path, tmp_path: Path) -> None:
    MaildirMailbox(maildir).check()
    with pytest.raises(ConfigError, match="not there") as e:
        MaildirMailbox(tmp_path / "nowhere").check()
    assert str(tmp_path / "nowhere") in str(e.value)
    assert e.value.remedy
    (maildir / "tmp").rmdir()
    with pytest.raises(ConfigError, match="no folder tmp"):
        MaildirMailbox(maildir).check()


def test_entries_of_new_and_cur_oldest_first(maildir: Path) -> None:
    deliver(maildir, "new/2.host", "From: a@example.com", day=2)
    deliver(maildir, "cur/1.host,U=7:2,RS", "From: a@example.com", day=1)
    (maildir / "new" / ".hidden").write_text("x")
    (maildir / "new" / "folder").mkdir()
    (maildir / "new" / "link").symlink_to("/etc/passwd")
    got = MaildirMailbox(maildir).entries()
    assert [(e.key, e.flags) for e in got] == [("1.host", "RS"), ("2.host", "")]
    assert got[0].received == datetime(2026, 11, 1, 10, tzinfo=UTC)


def test_a_key_survives_flags_moves_and_uids(maildir: Path) -> None:
    path = deliver(maildir, "new/1.host", "From: a@example.com")
    box = MaildirMailbox(maildir)
    entry = box.entries()[0]
    path.rename(maildir / "cur" / "1.host,U=3:2,S")
    assert box.entries()[0].key == entry.key
    assert box.read(entry).endswith(b"Hello")
    (maildir / "cur" / "1.host,U=3:2,S").unlink()
    with pytest.raises(FileNotFoundError):
        box.read(entry)


def test_reading_changes_nothing(maildir: Path) -> None:
    deliver(maildir, "new/1.host", "From: a@example.com\r\nSubject: x")
    box = MaildirMailbox(maildir)
    before = sorted((p, p.stat().st_mtime_ns) for p in maildir.rglob("*"))
    box.check()
    box.read(box.entries()[0])
    box.search("x")
    assert sorted((p, p.stat().st_mtime_ns) for p in maildir.rglob("*")) == before


@pytest.fixture
def filled(maildir: Path) -> MaildirMailbox:
    for day in range(1, 8):
        deliver(
            maildir, f"cur/{day}.host:2,S",
            f"From: Ada Love <ada@example.com>\r\nTo: me@example.com\r\nSubject: Invoice {day}\r\n"
            f"Message-ID: <{day}@example.com>",
            f"The füll text of day {day}" + ("\nurgent" if day == 3 else ""), day,
        )  # fmt: skip
    deliver(maildir, "new/9.host", "From: bob@example.com\r\nSubject: Lunch", "today?", 9)
    return MaildirMailbox(maildir)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", "97654321"),
        ("from:bob", "9"),
        ("FROM:ADA since:2026-11-06", "76"),
        ("before:2026-11-02", "1"),
        ("URGENT", "3"),
        ("füll urgent invoice", "3"),
        ('from:"ada love" "day 5"', "5"),
        ("subject:lunch", "9"),
        ("to:me subject:invoice since:2026-11-02 before:2026-11-04", "32"),
        ("nothing-like-it", ""),
    ],
)
def test_queries(filled: MaildirMailbox, query: str, keys: str) -> None:
    page = filled.search(query)
    assert "".join(hit.key[0] for hit in page.hits) == keys
    assert page.total == len(keys)
    assert page.next_offset is None


def test_pages(filled: MaildirMailbox) -> None:
    first = filled.search("from:ada", limit=3)
    assert [h.subject for h in first.hits] == ["Invoice 7", "Invoice 6", "Invoice 5"]
    assert (first.total, first.next_offset) == (7, 3)
    assert first.hits[0].sender == "Ada Love <ada@example.com>"
    assert first.hits[0].message_id == "<7@example.com>"
    assert first.hits[0].snippet == "The füll text of day 7"
    last = filled.search("from:ada", limit=3, offset=6)
    assert [h.subject for h in last.hits] == ["Invoice 1"]
    assert last.next_offset is None


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (101, 0), (1, -1)])
def test_a_wrong_page_is_refused(filled: MaildirMailbox, limit: int, offset: int) -> None:
    with pytest.raises(UsageError):
        filled.search("", limit, offset)


def test_a_wrong_date_is_refused() -> None:
    with pytest.raises(UsageError, match="since:yesterday is not a date"):
        parse_query("since:yesterday")


def test_a_mail_that_vanishes_during_a_search_is_no_hit(maildir: Path) -> None:
    path = deliver(maildir, "new/1.host", "From: a@example.com")
    box = MaildirMailbox(maildir)
    entries = box.entries()
    path.unlink()
    box.entries = lambda: entries  # type: ignore[method-assign] - listed, then deleted
    assert box.search("").total == 0

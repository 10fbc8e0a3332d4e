"""Looking for a sent mail in a Maildir, and the tool that does it over MCP."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

import pytest

from nightdesk.connectors.email.sent import SentMaildir, message_id_of
from nightdesk.errors import ConfigError
from ordinary import as_ordinary_user

KEY = "<nd.0123@example.org>"


@pytest.fixture
def box(tmp_path: Path) -> mailbox.Maildir:
    return mailbox.Maildir(str(tmp_path / "Sent"))


def test_a_sent_mail_is_found_in_new_and_in_cur(box: mailbox.Maildir, tmp_path: Path) -> None:
    sent = SentMaildir(tmp_path / "Sent")
    assert not sent.find(KEY).found
    box.add(f"From: a@b\nMessage-ID: {KEY}\n\nHi\n")
    sight = sent.find(KEY)
    assert (sight.found, sight.looked) == (True, 1)
    [file] = (tmp_path / "Sent/new").iterdir()
    file.rename(tmp_path / "Sent/cur" / f"{file.name}:2,S")
    assert sent.find(KEY).found
    assert SentMaildir(tmp_path / "Sent").find(KEY).found


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (f"Message-Id: {KEY}\r\nX: y\r\n\r\n", KEY),
        (f"X: y\nMESSAGE-ID:\n {KEY}\n\n", KEY),
        (f"X: y\n\nMessage-ID: {KEY}\n", ""),
        (f"X-Message-ID: {KEY}\n\n", ""),
        (f"In-Reply-To: {KEY}\nReferences: a\n {KEY}\n\n", ""),
        (f"Message-ID: {KEY}x\n\n", KEY),
        ("", ""),
        ("Message-ID: none\n\n", ""),
    ],
)
def test_only_the_header_counts(raw: str, expected: str) -> None:
    assert message_id_of(raw.encode()) == expected


def test_a_missing_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sent mails is not there") as caught:
        SentMaildir(tmp_path / "nowhere").find(KEY)
    assert "sent_maildir" in caught.value.remedy


def test_one_unreadable_mail_makes_an_absence_worthless(
    box: mailbox.Maildir, tmp_path: Path
) -> None:
    box.add("Message-ID: <other@example.org>\n\n")
    [file] = (tmp_path / "Sent/new").iterdir()
    os.chmod(file, 0)
    os.chown(file, 1, 1) if os.geteuid() == 0 else None
    with pytest.raises(ConfigError, match="cannot be read"):
        as_ordinary_user(lambda: SentMaildir(tmp_path / "Sent").find(KEY))

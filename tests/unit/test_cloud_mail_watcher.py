"""The mail watcher: one mail, one task, whatever crashes; old and own mail is left alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightdesk.cloud_agent.mail_watcher import MailWatcher
from nightdesk.config import EmailSettings
from nightdesk.errors import ConfigError
from nightdesk.policy import Role
from nightdesk.sync.secrets import Guard
from nightdesk.vault.documents import read_task
from nightdesk.vault.layout import task_id
from nightdesk.vault.notes import parse_note
from nightdesk.vault.scan import notes_in
from nightdesk.vault.tokens import Redacted, redact


class Desk:
    """A Maildir, a vault, and watchers that are closed at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.vault = root / "vault"
        self.vault.mkdir()
        for part in ("cur", "new", "tmp"):
            (root / "mail" / part).mkdir(parents=True)
        self.open: list[MailWatcher] = []

    def watcher(
        self, redact: Callable[[str], Redacted] = redact, **settings: object
    ) -> MailWatcher:
        values = {"address": "me@example.org", "maildir": self.root / "mail", **settings}
        made = MailWatcher(
            EmailSettings.model_validate(values), self.vault, self.root,
            lambda: datetime.now(UTC), redact,
        )  # fmt: skip
        self.open.append(made)
        return made

    def deliver(self, name: str, text: str, *, age: float = 0) -> Path:
        file = self.root / "mail" / "new" / name
        file.write_bytes(text.replace("\n", "\r\n").encode())
        then = time.time() - age
        os.utime(file, (then, then))
        return file


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for watcher in made.open:
        watcher.close()


MAIL = "From: Ada <ada@example.com>\nTo: me@example.org\nSubject: Hi\nMessage-ID: <1@e>\n\nWhen?\n"


def test_a_mail_becomes_one_task_with_its_text_fenced(desk: Desk) -> None:
    """Sender, subject and ids are properties; the text never renders."""
    desk.deliver("1.a", MAIL.replace("When?", "![[x]] ```` <b>When?</b>"))
    [path] = desk.watcher().poll()
    task = read_task((desk.vault / path).read_bytes(), path)
    assert path == f"Needs_Action/email/{task.id}.md"
    assert (task.sender, task.sender_name, task.subject) == ("ada@example.com", "Ada", "Hi")
    assert task.message_id == "<1@e>"
    assert "`````text" in task.body


@pytest.mark.requirement("FR-007")
def test_tokens_in_a_mail_are_redacted_and_the_mail_is_not_lost(desk: Desk) -> None:
    """In the text, the subject, a name, a file name and an id; the task counts them and says so."""
    token, password = "ghp_" + "a1B2" * 9, "hunter2hunter2"
    text = (
        f"From: {token} <ada@example.com>\nTo: me@example.org, {token}@example.net\n"
        f"Subject: key {token}\nMessage-ID: <{token}@e>\nReferences: <1@e> <{token}@f>\n"
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
        f"--b\nContent-Type: text/plain\n\nUse {token}.\n{password}\nBye\n"
        f"--b\nContent-Type: application/pdf; name={token}.pdf\n\nx\n--b--\n"
    )
    guard = Guard({"imap_password": password}, role=Role.CLOUD)
    desk.deliver("1.a", text)
    watcher = desk.watcher(redact=guard.redact)
    [path] = watcher.poll()
    note = (desk.vault / path).read_bytes()
    assert guard.check(path, note) is None, "it must be able to leave"
    assert b"a1B2" not in note
    assert password.encode() not in note
    task = read_task(note, path)
    assert task.subject == "key [redacted: GitHub token]"
    assert "Use [redacted: GitHub token].\n[redacted: secret of this desk]\nBye" in task.body
    assert "GitHub token, 1 × secret of this desk (the original is in the mailbox)" in task.body
    assert task.sender == "ada@example.com"
    assert task.to == ["me@example.org"]
    assert task.message_id.endswith("@nightdesk.invalid>")
    (desk.root / "seen.sqlite").unlink()
    assert desk.watcher(redact=guard.redact).poll() == [], "the made id is the same each time"


def test_a_crash_after_the_task_was_written_makes_no_second_one(desk: Desk) -> None:
    """The memory of seen mail is lost, the task has moved on: still one task."""
    desk.deliver("1.a", MAIL)
    [path] = desk.watcher().poll()
    (desk.vault / "Done/2026-11").mkdir(parents=True)
    (desk.vault / path).rename(desk.vault / "Done/2026-11" / Path(path).name)
    (desk.root / "seen.sqlite").unlink()
    assert desk.watcher().poll() == []


def test_a_mail_is_looked_at_once(desk: Desk) -> None:
    """A task that the person deleted does not come back."""
    desk.deliver("1.a", MAIL)
    [path] = desk.watcher().poll()
    (desk.vault / path).unlink()
    assert desk.watcher().poll() == []


def test_old_mail_is_left_alone_on_the_first_look_only(desk: Desk) -> None:
    """Ten years of mail make no tasks; what is delivered late, later, does."""
    desk.deliver("1.old", MAIL, age=3 * 86400)
    watcher = desk.watcher()
    assert watcher.poll() == []
    desk.deliver("2.late", MAIL.replace("<1@e>", "<2@e>"), age=3 * 86400)
    assert len(watcher.poll()) == 1


def test_own_mail_makes_no_task_and_automatic_mail_leaves_a_trace(desk: Desk) -> None:
    """A newsletter is filed in Done/ with the reason; nobody is asked to answer it."""
    desk.deliver("1.own", MAIL.replace("ada@example.com", "ME@example.org"))
    desk.deliver("2.list", MAIL.replace("<1@e>", "<2@e>\nList-Id: <news.example.com>"))
    [path] = desk.watcher().poll()
    assert path.startswith("Done/")
    assert "no answer needed" in parse_note((desk.vault / path).read_bytes()).get("status")
    assert notes_in(desk.vault, "Needs_Action") == []


def test_a_huge_mail_makes_a_task_that_can_be_read(desk: Desk) -> None:
    """Megabytes of text and of headers stay below a note's limit."""
    many = ", ".join(f"a{n}@example.com" for n in range(3000))
    text = "ä" * 3_000_000
    desk.deliver("1.big", f"{MAIL.replace('To: me@example.org', f'To: {many}')}{text}\n")
    [path] = desk.watcher().poll()
    data = (desk.vault / path).read_bytes()
    assert len(data) < 250_000
    assert "cut" in read_task(data, path).body


def test_many_waiting_mails_are_taken_in_batches(desk: Desk) -> None:
    """A pass is bounded, and says that more is left."""
    for number in range(250):
        desk.deliver(f"{number}.x", MAIL.replace("<1@e>", f"<{number}@e>"))
    watcher = desk.watcher()
    assert len(watcher.poll()) == 200
    assert watcher.more
    assert len(watcher.poll()) == 50
    assert not watcher.more


def test_a_folder_that_is_no_maildir_is_named(desk: Desk) -> None:
    """A missing mailbox is a clear error, not an empty one."""
    with pytest.raises(ConfigError) as e:
        desk.watcher(maildir=desk.root / "nowhere").poll()
    assert "nowhere" in str(e.value)
    assert e.value.remedy


def test_two_mails_whose_ids_collide_make_two_tasks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six hex digits are few: the second mail takes another id and is not taken for the first."""

    def short(day: datetime, title: str, seed: str) -> str:
        return task_id(day, title, seed.rpartition("#")[2] if "#" in seed else "same")

    monkeypatch.setattr("nightdesk.cloud_agent.mail_watcher.task_id", short)
    desk.deliver("1.a", MAIL)
    desk.deliver("2.b", MAIL.replace("<1@e>", "<2@e>"))
    watcher = desk.watcher()
    assert len(watcher.poll()) == 2
    (desk.root / "seen.sqlite").unlink()
    assert desk.watcher().poll() == []

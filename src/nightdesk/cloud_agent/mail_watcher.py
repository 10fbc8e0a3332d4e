"""The mail watcher: each message that wants an answer becomes one task.

The task's id is made from the message, so that a crash between writing the task and
remembering the message ends with one task, not two.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from nightdesk.config import EmailSettings
from nightdesk.connectors.email.inbound import SYNTHETIC_DOMAIN, InboundMail, parse_mail
from nightdesk.connectors.email.maildir import MaildirEntry, MaildirMailbox
from nightdesk.errors import NoteError
from nightdesk.policy import Zone
from nightdesk.vault.documents import Task, read_task
from nightdesk.vault.files import create
from nightdesk.vault.layout import STATE_FOLDERS, Folder, done_path, task_id, zone_path
from nightdesk.vault.notes import fence
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.tokens import Redacted, redact

from .seen import Seen

log = structlog.get_logger()

_MAX_TEXT_BYTES = 120_000
"""So that a task, and the card that quotes it, stay well below a note's 256 KiB."""

_BATCH = 200
"""Messages a pass, so that a mailbox with 10,000 waiting mails never blocks the desk."""


class MailWatcher:
    """Looks at one Maildir and writes tasks into the vault.

    Args:
        settings: the mailbox and whose it is.
        state: where the seen messages are remembered.
        clock: the present moment, UTC.
        redact: takes tokens and passwords out of what a mail says, so that the note can leave.
    """

    def __init__(
        self,
        settings: EmailSettings,
        vault: Path,
        state: Path,
        clock: Callable[[], datetime],
        redact: Callable[[str], Redacted] = redact,
    ) -> None:
        assert settings.maildir is not None
        self._settings = settings
        self._vault = vault
        self._clock = clock
        self._mailbox = MaildirMailbox(settings.maildir)
        self._seen = Seen(state / "seen.sqlite", f"maildir:{settings.maildir}")
        self._redact = redact
        self._own = {a.casefold() for a in (settings.address, *settings.aliases) if a}
        self.more = False

    def poll(self) -> list[str]:
        """Look once.

        Returns:
            The vault-relative paths of the notes that were written. `more` tells whether
            messages are left for the next look.

        Raises:
            ConfigError: the folder is no Maildir (any more).
        """
        self._mailbox.check()
        new = [e for e in self._mailbox.entries() if e.key not in self._seen]
        if self._seen.fresh:
            new = self._leave_old_mail(new)
        self.more = len(new) > _BATCH
        if not new:
            return []
        known = {
            place.stem: place.path
            for folder in STATE_FOLDERS
            for place in notes_in(self._vault, folder)
        }
        written: list[str] = []
        done: list[str] = []
        for entry in new[:_BATCH]:
            try:
                raw = self._mailbox.read(entry)
            except FileNotFoundError:
                continue  # deleted or moved on while we looked
            except OSError as e:
                log.error("a mail cannot be read", file=str(entry.path), why=e.strerror)
                continue
            if path := self._write(parse_mail(raw, entry.key, entry.received), known):
                written.append(path)
            done.append(entry.key)
        self._seen.add(done)
        return written

    def _leave_old_mail(self, entries: list[MaildirEntry]) -> list[MaildirEntry]:
        since = self._clock() - timedelta(hours=self._settings.first_look_back_hours)
        old = [e for e in entries if e.received < since]
        # The marker makes the first look happen once, also for an empty mailbox.
        self._seen.add([":first-look", *(e.key for e in old)])
        self._seen.fresh = False
        if old:
            log.info("older mail is left alone", count=len(old), before=since.isoformat())
        return [e for e in entries if e.received >= since]

    def _write(self, mail: InboundMail, known: dict[str, str]) -> str | None:
        if mail.sender.casefold() in self._own:
            return None
        mail, found = without_secrets(mail, self._redact)
        if found:
            log.info("secrets in a mail are redacted", mail=mail.message_id, found=dict(found))
        task = task_from_mail(mail, redacted=found)
        for seed in range(2, 100):
            if task.id not in known:
                break
            if self._message_id_at(known[task.id]) in {mail.message_id, None}:
                return None  # this very mail, seen before
            # Six hex digits of two mails can be the same: the second takes another seed.
            task = task_from_mail(mail, seed=seed, redacted=found)
        path = zone_path(Folder.NEEDS_ACTION, Zone.EMAIL, task.id)
        if mail.automatic:
            task = task.model_copy(update={"status": f"no answer needed: {mail.automatic}"})
            path = done_path(task.id, self._clock())
        create(self._vault / path, task.note())
        known[task.id] = path
        log.info("a mail became a task", task=task.id, automatic=mail.automatic or None)
        return path

    def _message_id_at(self, path: str) -> str | None:
        """The Message-ID that a task's note names; None where it cannot be read."""
        try:
            return read_task(read(self._vault, path), path).message_id
        except (FileNotFoundError, NoteError):
            return None

    def close(self) -> None:
        """Close the memory of seen messages."""
        self._seen.close()


def without_secrets(
    mail: InboundMail, redact: Callable[[str], Redacted] = redact
) -> tuple[InboundMail, Counter[str]]:
    """A message without tokens and passwords, and how many of which kind it held.

    A note that holds one would never leave the cloud, and the mail would be lost; the original
    stays in the mailbox. An id or an address that holds one cannot be shortened: the id becomes
    one of ours, the address is left out.
    """
    counts: Counter[str] = Counter()

    def clean(text: str) -> str:
        kept, found = redact(text)
        counts.update(found)
        return kept

    def whole(text: str) -> str:
        return text if clean(text) == text else ""

    def known_by(text: str) -> str:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return text if clean(text) == text else f"<{digest}@{SYNTHETIC_DOMAIN}>"

    heads = (mail.message_id, mail.sender, mail.sender_name, mail.reply_to, mail.in_reply_to)
    lists = (*mail.to, *mail.cc, *mail.references)
    files = [text for a in mail.attachments for text in (a.name, a.content_type)]
    everything = "\n".join((*heads, mail.subject, *lists, *files, mail.text))
    if redact(everything).text == everything:
        return mail, counts  # the usual case, in one go
    cleaned = replace(
        mail,
        message_id=known_by(mail.message_id),
        sender=whole(mail.sender),
        sender_name=clean(mail.sender_name),
        reply_to=whole(mail.reply_to),
        to=tuple(filter(None, map(whole, mail.to))),
        cc=tuple(filter(None, map(whole, mail.cc))),
        subject=clean(mail.subject),
        in_reply_to=known_by(mail.in_reply_to) if mail.in_reply_to else "",
        references=tuple(map(known_by, mail.references)),
        text=clean(mail.text),
        attachments=tuple(
            replace(a, name=clean(a.name), content_type=clean(a.content_type))
            for a in mail.attachments
        ),
    )
    return cleaned, counts


def task_from_mail(
    mail: InboundMail, *, seed: int = 1, redacted: Mapping[str, int] | None = None
) -> Task:
    """Make the task of a message; its text stands in a fence, so it never renders.

    Args:
        mail: without secrets.
        seed: another number gives another id for the same message.
        redacted: what was taken out of it, by kind; the task says so.
    """
    sender = f"{mail.sender_name} <{mail.sender}>".strip() if mail.sender else "(none)"
    head = [f"From: {sender}"]
    head.append(f"Subject: {mail.subject[:500]}")
    head.append(f"Date: {mail.received.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    head += [
        f"Attachment: {a.name} ({a.content_type}, {a.size} bytes)" for a in mail.attachments[:50]
    ]
    if mail.removed_invisible:
        head.append(f"Removed: {mail.removed_invisible} invisible characters")
    if redacted:
        found = ", ".join(f"{number} × {kind}" for kind, number in sorted(redacted.items()))
        head.append(f"Redacted: {found} (the original is in the mailbox)")
    return Task(
        id=task_id(
            mail.received,
            mail.subject,
            mail.message_id if seed == 1 else f"{mail.message_id}#{seed}",
        ),
        zone=Zone.EMAIL,
        source="maildir",
        sender=mail.sender,
        sender_name=mail.sender_name,
        reply_to=mail.reply_to,
        to=list(mail.to[:50]),
        cc=list(mail.cc[:50]),
        subject=mail.subject[:500],
        received=mail.received,
        message_id=mail.message_id,
        references=list(mail.references[-30:]),
        thread=mail.thread,
        body=f"# Mail\n{fence(chr(10).join(head) + chr(10) * 2 + _cut(mail.text))}",
    )


def _cut(text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= _MAX_TEXT_BYTES:
        return data.decode("utf-8")
    kept = data[:_MAX_TEXT_BYTES].decode("utf-8", "ignore")
    return f"{kept}\n[the text is cut here; the whole mail is in the mailbox]"

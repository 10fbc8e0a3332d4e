"""A Maildir, read only: what mbsync or a local mail server delivers. No flag is ever changed."""

from __future__ import annotations

import os
import re
import stat
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.connectors.email.inbound import InboundMail, parse_mail
from nightdesk.connectors.email.search import parse_query
from nightdesk.errors import ConfigError, UsageError

MAX_MAIL_BYTES = 64 * 1024 * 1024
MAX_PAGE = 100
_SEARCHED_BYTES = 256 * 1024
_SNIPPET = 200
_REMEMBERED = 2_000
_UID = re.compile(r",U=\d+")


@dataclass(frozen=True, slots=True)
class MaildirEntry:
    """One message file.

    Attributes:
        key: its unique name without flags and without the UID that mbsync adds later.
        flags: letters after `:2,`, for example "S" for seen.
        received: the file's time of change, UTC.
    """

    key: str
    path: Path
    flags: str
    received: datetime


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message that fits; `snippet` is the beginning of its text on one line."""

    key: str
    message_id: str
    sender: str
    subject: str
    received: datetime
    snippet: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Hits, newest first; `next_offset` is None on the last page."""

    total: int
    hits: tuple[SearchHit, ...]
    next_offset: int | None


class MaildirMailbox:
    """A Maildir (https://cr.yp.to/proto/maildir.html) that somebody else writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mails: OrderedDict[str, InboundMail] = OrderedDict()

    def check(self) -> None:
        """Make sure that this is a Maildir that can be read.

        Raises:
            ConfigError: it is missing, no Maildir, or may not be read.
        """
        where = str(self.path)
        if not self.path.is_dir():
            raise ConfigError(
                "the Maildir is not there",
                remedy="Correct `email.maildir`, or let your mail fetcher deliver once to make it",
                where=where,
            )
        missing = [name for name in ("cur", "new", "tmp") if not (self.path / name).is_dir()]
        if missing:
            raise ConfigError(
                f"this is no Maildir: it has no folder {', '.join(missing)}",
                remedy="Name the folder that holds cur, new and tmp (for mbsync, the INBOX itself)",
                where=where,
            )
        for name in ("cur", "new"):
            if not os.access(self.path / name, os.R_OK | os.X_OK):
                raise ConfigError(
                    f"the folder {name} may not be read",
                    remedy="Give the agent's user read access to the Maildir",
                    where=where,
                )

    def entries(self) -> list[MaildirEntry]:
        """The messages in `new` and `cur`, oldest first."""
        found: dict[str, MaildirEntry] = {}
        # new before cur: a message that moves meanwhile is seen in one of them or in both.
        for folder in ("new", "cur"):
            for entry in self._scan(folder):
                found[entry.key] = entry
        return sorted(found.values(), key=lambda entry: (entry.received, entry.key))

    def _scan(self, folder: str) -> Iterator[MaildirEntry]:
        with os.scandir(self.path / folder) as files:
            for file in files:
                if file.name.startswith("."):
                    continue
                try:
                    status = file.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISREG(status.st_mode):
                    continue
                unique, _, flags = file.name.partition(":2,")
                yield MaildirEntry(
                    key=_UID.sub("", unique),
                    path=Path(file.path),
                    flags=flags,
                    received=datetime.fromtimestamp(status.st_mtime, UTC),
                )

    def read(self, entry: MaildirEntry, limit: int = MAX_MAIL_BYTES) -> bytes:
        """Read a message, also if its file has been renamed since it was listed.

        Args:
            limit: at most so many bytes, from the beginning.

        Raises:
            FileNotFoundError: it has been deleted or moved to another folder.
            OSError: it may not be read.
        """
        try:
            return _read(entry.path, limit)
        except FileNotFoundError:
            for now in self.entries():
                if now.key == entry.key:
                    return _read(now.path, limit)
            raise

    def search(self, query: str, limit: int = 20, offset: int = 0) -> SearchPage:
        """Look through the mailbox; the syntax is that of `search.SYNTAX`.

        Of each message the first 256 KiB are looked at.

        Args:
            limit: hits a page, 1 to 100.
            offset: how many of the newest hits to pass over.

        Raises:
            UsageError: the query, the limit or the offset does not fit.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise UsageError(f"limit {limit} does not fit", remedy=f"Ask for 1 to {MAX_PAGE}")
        if offset < 0:
            raise UsageError(f"offset {offset} does not fit", remedy="Begin with 0")
        wanted = parse_query(query)
        mails = (self._mail(entry) for entry in self.entries())
        fitting = [_hit(mail) for mail in mails if mail and wanted.fits(mail)]
        fitting.sort(key=lambda hit: (hit.received, hit.key), reverse=True)
        page = tuple(fitting[offset : offset + limit])
        more = offset + limit < len(fitting)
        return SearchPage(len(fitting), page, offset + limit if more else None)

    def _mail(self, entry: MaildirEntry) -> InboundMail | None:
        # A delivered message never changes, so what was parsed for one query serves the next.
        if entry.key in self._mails:
            self._mails.move_to_end(entry.key)
            return self._mails[entry.key]
        try:
            mail = parse_mail(self.read(entry, _SEARCHED_BYTES), entry.key, entry.received)
        except OSError:  # gone meanwhile, or not ours to read: it is no hit
            return None
        self._mails[entry.key] = replace(mail, text=mail.text[:20_000])
        while len(self._mails) > _REMEMBERED:
            self._mails.popitem(last=False)
        return mail


def _hit(mail: InboundMail) -> SearchHit:
    sender = f"{mail.sender_name} <{mail.sender}>" if mail.sender_name else mail.sender
    snippet = " ".join(mail.text[: _SNIPPET * 3].split())[:_SNIPPET]
    return SearchHit(mail.key, mail.message_id, sender, mail.subject, mail.received, snippet)


def _read(path: Path, limit: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(limit)

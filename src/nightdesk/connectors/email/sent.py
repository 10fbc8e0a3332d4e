"""Looking for a sent mail by its Message-ID, in a Maildir that somebody else fills. Read only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nightdesk.connectors.email.maildir import MaildirEntry, MaildirMailbox
from nightdesk.errors import ConfigError

_HEADER_BYTES = 64 * 1024
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[^<>\s]+>)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class SentSight:
    """What one look among the sent mails saw.

    Attributes:
        where: the place that was looked through.
        looked: how many mails there are.
    """

    found: bool
    where: str
    looked: int


class SentMail(Protocol):
    """A place where the mails of an account appear after they were sent."""

    def find(self, message_id: str) -> SentSight:
        """Look once for a mail.

        Args:
            message_id: with its brackets.

        Raises:
            NightdeskError: the place cannot be read, so that nothing is known.
        """
        ...


class SentMaildir:
    """The Sent folder as a Maildir, such as mbsync fills from an account.

    Args:
        path: the folder with cur, new and tmp.
    """

    def __init__(self, path: Path) -> None:
        self._box = MaildirMailbox(path)
        self._path = path
        self._known: dict[str, str] = {}

    def find(self, message_id: str) -> SentSight:
        """See `SentMail.find`. A message is read once; what it is called never changes.

        Raises:
            ConfigError: the Maildir is missing or no Maildir, or a message in it cannot be
                read, so that an absence proves nothing.
        """
        try:
            self._box.check()
        except ConfigError as e:
            raise ConfigError(
                e.what.replace("the Maildir", "the Maildir of sent mails"),
                remedy="Correct `sent_maildir` in [email], or let your mail fetcher make it",
                where=e.where,
            ) from e
        try:
            entries = self._box.entries()
            found = any(self._id(entry) == message_id for entry in reversed(entries))
        except OSError as e:
            raise ConfigError(
                f"the sent mails cannot be read ({e.strerror})",
                remedy="Give agent-local's user read access to the Maildir",
                where=str(self._path),
            ) from e
        return SentSight(found, str(self._path), len(entries))

    def _id(self, entry: MaildirEntry) -> str:
        if entry.key not in self._known:
            try:
                self._known[entry.key] = message_id_of(self._box.read(entry, _HEADER_BYTES))
            except FileNotFoundError:  # moved away meanwhile; it is listed again where it is
                return ""
        return self._known[entry.key]


def message_id_of(data: bytes) -> str:
    """The Message-ID, with its brackets, in the header of a message; "" where there is none."""
    end = _HEADER_END.search(data)
    match = _MESSAGE_ID.search(data[: end.start()] if end else data)
    return match[1].decode("latin-1") if match else ""

"""The demo's mail server: real SMTP on loopback that delivers into one Maildir an address."""

from __future__ import annotations

import email
import email.policy
import mailbox
import socket
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nightdesk.errors import ConfigError


class MailServer:
    """An embedded SMTP server.

    Args:
        root: the folder for the Maildirs.

    Raises:
        ConfigError: on entering, where the library for it is not installed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.port = 0
        self._controller: Any = None

    def maildir(self, address: str) -> Path:
        """The Maildir of an address; made when first asked for."""
        path = self._root / address
        self._root.mkdir(parents=True, exist_ok=True)
        mailbox.Maildir(str(path)).close()
        return path

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Deliver to every recipient; called by the server in its own thread."""
        for recipient in envelope.rcpt_tos:
            box = mailbox.Maildir(str(self.maildir(recipient)))
            box.add(envelope.original_content)
            box.close()
        self._file_sent(envelope)
        return "250 delivered"

    def sent(self, address: str) -> Path:
        """The Maildir with what an address has sent; made when first asked for."""
        path = self.maildir(address) / ".Sent"
        mailbox.Maildir(str(path)).close()
        return path

    def _file_sent(self, envelope: Any) -> None:
        # As Gmail and Exchange do: the server itself files what an account of its own has sent.
        if (self._root / envelope.mail_from).is_dir():
            box = mailbox.Maildir(str(self.sent(envelope.mail_from)))
            box.add(envelope.original_content)
            box.close()

    def __enter__(self) -> Self:
        try:
            from aiosmtpd.controller import Controller
        except ImportError as e:
            raise ConfigError(
                "the demo's mail server is not installed",
                remedy="Run: pip install 'nightdesk[demo]'",
            ) from e
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._controller.stop()


def read_mailbox(path: Path) -> list[EmailMessage]:
    """Every message in a Maildir, parsed, in the order of arrival."""
    files = [f for part in ("new", "cur") for f in (path / part).glob("*") if f.is_file()]
    files.sort(key=lambda f: f.stat().st_mtime_ns)
    return [email.message_from_bytes(f.read_bytes(), policy=email.policy.default) for f in files]

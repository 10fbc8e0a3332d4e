"""What the e-mail tools need to know, read from the settings once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nightdesk.config import Settings, credential


@dataclass(frozen=True, slots=True)
class EmailContext:
    """Where the e-mail tools work.

    Attributes:
        agent: the agent's name, written on the cards that it makes.
        smtp: "host:port" of the submission server; "" where nothing can be sent.
        smtp_password: the password, or what fetches it when it is needed. The draft tools
            never ask.
        state: the agent's state directory, with the receipts.
    """

    vault: Path
    state: Path
    agent: str
    address: str
    name: str = ""
    aliases: tuple[str, ...] = ()
    maildir: Path | None = None
    sent_maildir: Path | None = None
    smtp: str = ""
    smtp_user: str = ""
    smtp_password: Callable[[], str | None] | str = field(default="", repr=False)
    timeout: float = 30.0

    def password(self) -> str:
        """The password of the submission server; "" where there is none."""
        if callable(self.smtp_password):
            return self.smtp_password() or ""
        return self.smtp_password


def context_for(settings: Settings, state: Path) -> EmailContext:
    """Take from the settings what the e-mail tools need."""
    email = settings.email
    return EmailContext(
        vault=settings.vault,
        state=state,
        agent=settings.name,
        address=email.address,
        name=email.name,
        aliases=tuple(email.aliases),
        maildir=email.maildir,
        sent_maildir=email.sent_maildir,
        smtp=email.smtp,
        smtp_user=email.smtp_user,
        smtp_password=lambda: credential("smtp_password"),
        timeout=email.smtp_timeout_seconds,
    )

"""Submitting a message over SMTP (RFC 5321, 6409): one attempt, and an honest account of it."""

from __future__ import annotations

import ipaddress
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from nightdesk.errors import ConfigError, NotSent, OutcomeUnknown

_BARE_BREAK = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[^\s<>\x00-\x1f\x7f]+")
_SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s/@:\[\]]+))(?::(\d{1,5}))?")
_EHLO_NAME = "[127.0.0.1]"  # an address literal: no DNS lookup, and no machine name given away
_IMPLICIT_TLS = 465


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A submission server.

    Attributes:
        user: "" for no login.
        timeout: seconds for each step of the conversation.
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 30.0

    @classmethod
    def parse(
        cls, text: str, *, user: str = "", password: str = "", timeout: float = 30.0
    ) -> SmtpServer:
        """Read "host:port" ("[::1]:25" for IPv6); without a port it is 587.

        Raises:
            ConfigError: it is empty, or the port is no port.
        """
        match = _SERVER.fullmatch(text.strip())
        port = int(match.group(3) or 587) if match else 0
        if not match or not 0 < port < 65536:
            raise ConfigError(
                f"{text!r} is no mail server",
                remedy='Write `email.smtp` as "mail.example.com:587"',
            )
        return cls(match.group(1) or match.group(2), port, user, password, timeout)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this very machine, by name or number, not by what DNS says."""
        if self.host.casefold() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def where(self) -> str:
        """How errors name it: "host:port"."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Submission:
    """What the server took: for whom, for whom not and why, and its last answer."""

    accepted: tuple[str, ...]
    refused: dict[str, str]
    reply: str


class Refused(NotSent):
    """The server said no, for every recipient; nothing has left.

    Args:
        refused: recipient -> the server's answer.
    """

    def __init__(self, what: str, *, remedy: str, where: str, refused: dict[str, str]) -> None:
        super().__init__(what, remedy=remedy, where=where)
        self.refused = refused


class SubmissionUnknown(OutcomeUnknown):
    """The connection was lost after the message began to be handed over.

    Args:
        asked: recipients that may have got it.
        refused: recipients that the server had refused before.
    """

    def __init__(
        self, what: str, *, where: str, asked: tuple[str, ...], refused: dict[str, str]
    ) -> None:
        super().__init__(
            what,
            remedy="Look into your Sent folder or ask the recipient before you send it again",
            where=where,
        )
        self.asked = asked
        self.refused = refused


def submit(
    server: SmtpServer, sender: str, recipients: Sequence[str], message_bytes: bytes
) -> Submission:
    """Hand a message over, once. It is never tried again here.

    Args:
        sender: bare address for the envelope; `recipients` likewise, at least one.
        message_bytes: the whole message with CRLF line ends.

    Raises:
        NotSent: certain that nothing left: no connection, no TLS, no login, refused
            (`Refused`: by the server's answer).
        OutcomeUnknown: the connection was lost, or nothing came back in time, after the
            message began to be written (`SubmissionUnknown`).
    """
    if not recipients:
        raise NotSent("the message has no recipient", remedy="Put one into `to`")
    for address in (sender, *recipients):
        if not _ADDRESS.fullmatch(address):
            raise NotSent(f"{address!r} is not an e-mail address", remedy="Correct it")
    if _BARE_BREAK.search(message_bytes):
        # A server that takes a bare line feed for a line end could be made to see two mails.
        raise NotSent("the message holds a bare line break", remedy="Report this as a bug")
    with _session(server) as smtp:
        accepted, refused = _envelope(server, smtp, sender, recipients, message_bytes)
        return _content(server, smtp, accepted, refused, message_bytes)


def check_login(server: SmtpServer) -> None:
    """Connect, start TLS, log in and quit: what `doctor` asks.

    Raises:
        NotSent: what did not work, with its remedy.
    """
    with _session(server):
        pass


@contextmanager
def _session(server: SmtpServer) -> Iterator[smtplib.SMTP]:
    smtp = _connect(server)
    try:
        _greet(server, smtp)
        yield smtp
        # The message is accepted or not by now; a failing goodbye changes nothing.
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
    finally:
        smtp.close()


def _connect(server: SmtpServer) -> smtplib.SMTP:
    try:
        if server.port == _IMPLICIT_TLS:
            return smtplib.SMTP_SSL(
                server.host,
                server.port,
                local_hostname=_EHLO_NAME,
                timeout=server.timeout,
                context=ssl.create_default_context(),
            )
        return smtplib.SMTP(
            server.host, server.port, local_hostname=_EHLO_NAME, timeout=server.timeout
        )
    except socket.gaierror as e:
        raise _not_sent(server, "its name is not known", "Check `email.smtp` and the net") from e
    except ssl.SSLError as e:
        raise _no_tls(server, e) from e
    except TimeoutError as e:
        raise _not_sent(server, "it did not answer in time", "Check the net, try later") from e
    except (OSError, smtplib.SMTPException, ValueError) as e:
        what = f"it cannot be reached ({_short(e)})"
        raise _not_sent(server, what, "Check `email.smtp` and the net") from e


def _greet(server: SmtpServer, smtp: smtplib.SMTP) -> None:
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.port != _IMPLICIT_TLS and not server.is_loopback:
            _start_tls(server, smtp)
        if server.user:
            smtp.login(server.user, server.password)
    except ssl.SSLError as e:
        raise _no_tls(server, e) from e
    except smtplib.SMTPAuthenticationError as e:
        what = f"the login as {server.user} was refused ({_answer(e.smtp_code, e.smtp_error)})"
        raise _not_sent(server, what, "Set the credential `smtp_password` anew") from e
    except smtplib.SMTPNotSupportedError as e:
        what = "it offers no login that Nightdesk knows"
        raise _not_sent(server, what, "Clear `email.smtp_user`, or use its port 465 or 587") from e
    except UnicodeError as e:
        what = "the login name or password holds characters that SMTP does not know"
        raise _not_sent(server, what, "Use an app password of plain letters") from e
    except (OSError, smtplib.SMTPException) as e:
        what = f"the conversation broke off before the message ({_short(e)})"
        raise _not_sent(server, what, "Check `email.smtp`, try later") from e


def _start_tls(server: SmtpServer, smtp: smtplib.SMTP) -> None:
    if not smtp.has_extn("starttls"):
        raise _not_sent(
            server,
            "it offers no encryption, and mail never goes unencrypted over a net",
            "Use the port for submission, 465 or 587",
        )
    smtp.starttls(context=ssl.create_default_context())
    smtp.ehlo()


def _envelope(
    server: SmtpServer,
    smtp: smtplib.SMTP,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
) -> tuple[tuple[str, ...], dict[str, str]]:
    options = _mail_options(server, smtp, (sender, *recipients), message)
    try:
        code, text = smtp.mail(sender, options)
        if code != 250:
            answer = _answer(code, text)
            raise _refusal(server, f"the sender was refused ({answer})", recipients, answer)
        refused: dict[str, str] = {}
        for recipient in recipients:
            code, text = smtp.rcpt(recipient)
            if code not in {250, 251}:
                refused[recipient] = _answer(code, text)
    except (OSError, smtplib.SMTPException) as e:
        what = f"the conversation broke off before the message ({_short(e)})"
        raise _not_sent(server, what, "Try later") from e
    accepted = tuple(recipient for recipient in recipients if recipient not in refused)
    if not accepted:
        reasons = "; ".join(f"{who}: {why}" for who, why in refused.items())
        raise Refused(
            f"every recipient was refused ({reasons})",
            remedy="Correct the addresses and approve again",
            where=server.where,
            refused=refused,
        )
    return accepted, refused


def _mail_options(
    server: SmtpServer, smtp: smtplib.SMTP, addresses: Sequence[str], message: bytes
) -> list[str]:
    head = message.partition(b"\r\n\r\n")[0]
    options: list[str] = []
    if not head.isascii() or not all(address.isascii() for address in addresses):
        if not smtp.has_extn("smtputf8"):
            raise _not_sent(
                server,
                "it cannot write to addresses beyond ASCII (no SMTPUTF8)",
                "Write the domain in its xn-- form",
            )
        options.append("SMTPUTF8")
    if not message.isascii():
        if not smtp.has_extn("8bitmime"):
            raise _not_sent(server, "it takes 7-bit messages only", "Report this as a bug")
        options.append("BODY=8BITMIME")
    if smtp.has_extn("size"):
        limit = smtp.esmtp_features.get("size", "")
        if limit.isdigit() and 0 < int(limit) < len(message):
            what = f"the message has {len(message):,} bytes, it takes {int(limit):,}"
            raise _not_sent(server, what, "Leave out an attachment")
        options.append(f"SIZE={len(message)}")
    return options


def _content(
    server: SmtpServer,
    smtp: smtplib.SMTP,
    accepted: tuple[str, ...],
    refused: dict[str, str],
    message: bytes,
) -> Submission:
    try:
        smtp.putcmd("DATA")
        code, text = smtp.getreply()
    except (OSError, smtplib.SMTPException) as e:
        what = f"the conversation broke off before the message ({_short(e)})"
        raise _not_sent(server, what, "Try later") from e
    if code != 354:
        answer = _answer(code, text)
        raise _refusal(server, f"it took no message ({answer})", accepted, answer, refused)
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    try:
        # From here on nobody can know, until the server has answered.
        smtp.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        code, text = smtp.getreply()
    except (OSError, smtplib.SMTPException) as e:
        what = f"the connection was lost while the message was handed over ({_short(e)})"
        raise SubmissionUnknown(what, where=server.where, asked=accepted, refused=refused) from e
    answer = _answer(code, text)
    if 200 <= code < 300:
        return Submission(accepted, refused, answer)
    if 400 <= code < 600:
        raise _refusal(server, f"the message was refused ({answer})", accepted, answer, refused)
    what = f"the server's answer to the message makes no sense ({answer})"
    raise SubmissionUnknown(what, where=server.where, asked=accepted, refused=refused)


def _not_sent(server: SmtpServer, what: str, remedy: str) -> NotSent:
    return NotSent(what, remedy=remedy, where=server.where)


def _no_tls(server: SmtpServer, error: ssl.SSLError) -> NotSent:
    reason = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
    what = f"no safe connection ({reason})"
    return _not_sent(server, what, "Check the server's name and certificate in `email.smtp`")


def _refusal(
    server: SmtpServer,
    what: str,
    asked: Sequence[str],
    answer: str,
    before: dict[str, str] | None = None,
) -> Refused:
    later = answer.startswith("4")
    return Refused(
        what,
        remedy="Approve it again later" if later else "Correct what the server names",
        where=server.where,
        refused={**(before or {}), **dict.fromkeys(asked, answer)},
    )


def _answer(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", words)
    return f"{code} {' '.join(plain.split())}"[:300]


def _short(error: BaseException) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(error) or type(error).__name__)[:200]

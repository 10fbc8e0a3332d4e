"""Submission to real SMTP servers: what is certain, what is not, and what leaves."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from nightdesk.connectors.email import smtp as smtp_module
from nightdesk.connectors.email.smtp import (
    Refused,
    SmtpServer,
    SubmissionUnknown,
    check_login,
    submit,
)
from nightdesk.errors import ConfigError, NotSent, OutcomeUnknown

ME, ADA, BOB = "me@example.com", "ada@example.com", "bob@example.com"
MESSAGE = b"From: me@example.com\r\nTo: ada@example.com\r\nSubject: Hi\r\n\r\nHello\r\n.\r\n..x\r\n"


class Inbox:
    """Takes mail and remembers it; single answers can be set."""

    def __init__(self) -> None:
        self.got: list[tuple[str, list[str], bytes]] = []
        self.answers: dict[str, str] = {}
        self.drop_after_dot = False

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        if self.drop_after_dot:
            server.transport.abort()
            await asyncio.sleep(0)
        return self.answers.get("DATA", "250 queued as 42")


def free_port() -> int:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def running(inbox: Inbox, **options: Any) -> Iterator[SmtpServer]:
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield SmtpServer("127.0.0.1", controller.port, timeout=5)
    finally:
        controller.stop()


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[SmtpServer]:
    """A server whose whole conversation is one function."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield SmtpServer("127.0.0.1", listener.getsockname()[1], timeout=0.5)
    finally:
        listener.close()
        thread.join(5)


def test_a_mail_arrives_once_and_unchanged() -> None:
    inbox = Inbox()
    with running(inbox) as server:
        done = submit(server, ME, [ADA, BOB], MESSAGE)
    assert done.accepted == (ADA, BOB)
    assert done.refused == {}
    assert done.reply == "250 queued as 42"
    assert inbox.got == [(ME, [ADA, BOB], MESSAGE)]


def test_some_recipients_refused() -> None:
    inbox = Inbox()
    inbox.answers[BOB] = "550 no such user"
    with running(inbox) as server:
        done = submit(server, ME, [ADA, BOB], MESSAGE)
    assert done.accepted == (ADA,)
    assert done.refused == {BOB: "550 no such user"}


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        ({ADA: "550 no such user", BOB: "451 later"}, 0),
        ({"MAIL": "550 not you"}, 0),
        ({"DATA": "451 4.3.0 later"}, 1),
        ({"DATA": "550 5.7.1 spam"}, 1),
    ],
)
def test_refused_by_the_server_is_certain(answers: dict[str, str], sent: int) -> None:
    inbox = Inbox()
    inbox.answers = answers
    with running(inbox) as server, pytest.raises(Refused) as e:
        submit(server, ME, [ADA, BOB], MESSAGE)
    assert set(e.value.refused) == {ADA, BOB}
    assert next(iter(answers.values())) in str(e.value)
    assert len(inbox.got) == sent  # never asked twice


def test_a_connection_lost_after_the_dot_is_unknown() -> None:
    inbox = Inbox()
    inbox.drop_after_dot = True
    inbox.answers[BOB] = "550 no such user"
    with running(inbox) as server, pytest.raises(SubmissionUnknown) as e:
        submit(server, ME, [ADA, BOB], MESSAGE)
    assert len(inbox.got) == 1
    assert e.value.asked == (ADA,)
    assert e.value.refused == {BOB: "550 no such user"}


def _until(connection: socket.socket, end: bytes) -> None:
    seen = b""
    while not seen.endswith(end):
        data = connection.recv(65536)
        if not data:
            return
        seen += data


def _to_data(connection: socket.socket) -> None:
    connection.sendall(b"220 hi\r\n")
    for answer in (b"250 me\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        _until(connection, b"\r\n")
        connection.sendall(answer)


def test_no_answer_after_the_dot_is_unknown() -> None:
    def talk(connection: socket.socket) -> None:
        _to_data(connection)
        _until(connection, b"\r\n.\r\n")
        connection.recv(1)  # until the client gives up

    with talking(talk) as server, pytest.raises(OutcomeUnknown, match="timed out"):
        submit(server, ME, [ADA], MESSAGE)


def test_a_senseless_answer_after_the_dot_is_unknown() -> None:
    def talk(connection: socket.socket) -> None:
        _to_data(connection)
        _until(connection, b"\r\n.\r\n")
        connection.sendall(b"what?\r\n")
        connection.recv(1)

    with talking(talk) as server, pytest.raises(OutcomeUnknown, match="makes no sense"):
        submit(server, ME, [ADA], MESSAGE)


def test_lost_while_the_content_is_written_is_unknown() -> None:
    def talk(connection: socket.socket) -> None:
        _to_data(connection)
        connection.recv(10)

    with talking(talk) as server, pytest.raises(OutcomeUnknown):
        submit(server, ME, [ADA], MESSAGE + b"x" * 60 * 100_000)


@pytest.mark.parametrize("stage", range(5))
def test_lost_before_the_content_is_certain(stage: int) -> None:
    def talk(connection: socket.socket) -> None:
        answers = [b"220 hi\r\n", b"250 me\r\n", b"250 ok\r\n", b"250 ok\r\n"]
        for at, answer in enumerate(answers[:stage]):
            if at:
                _until(connection, b"\r\n")
            connection.sendall(answer)
        if stage:
            _until(connection, b"\r\n")

    with talking(talk) as server, pytest.raises(NotSent):
        submit(server, ME, [ADA], MESSAGE)


def test_a_black_hole_is_certain_before_the_greeting() -> None:
    def silent(connection: socket.socket) -> None:
        connection.recv(1)

    with talking(silent) as server, pytest.raises(NotSent, match="timed out"):
        submit(server, ME, [ADA], MESSAGE)


def test_nobody_listens() -> None:
    with pytest.raises(NotSent, match="cannot be reached"):
        submit(SmtpServer("127.0.0.1", free_port(), timeout=2), ME, [ADA], MESSAGE)


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(NotSent, match="name is not known"):
        submit(SmtpServer("smtp.example.invalid", 587), ME, [ADA], MESSAGE)


@pytest.mark.parametrize("message", [b"a: b\r\n\r\nx\n.\nMAIL FROM:<x>", b"a: b\r\n\r\nx\r.\r\n"])
def test_smuggling_by_bare_breaks_is_refused(message: bytes) -> None:
    inbox = Inbox()
    with running(inbox) as server, pytest.raises(NotSent, match="bare line break"):
        submit(server, ME, [ADA], message)
    assert inbox.got == []


@pytest.mark.parametrize("bad", ["", "a b@c", "a@b>\r\nRCPT TO:<eve@example.com", "<a@b>"])
def test_a_crooked_address_is_refused(bad: str) -> None:
    with pytest.raises(NotSent, match="not an e-mail address"):
        submit(SmtpServer("127.0.0.1", 1), ME, [bad], MESSAGE)


def test_beyond_ascii_needs_smtputf8() -> None:
    raw = "From: me@example.com\r\nTo: a@exämple.com\r\n\r\nx\r\n".encode()
    inbox = Inbox()
    with running(inbox, enable_SMTPUTF8=True) as server:
        submit(server, ME, ["a@exämple.com"], raw)
    assert inbox.got[0][1] == ["a@exämple.com"]
    with (
        running(Inbox(), enable_SMTPUTF8=False) as server,
        pytest.raises(NotSent, match="SMTPUTF8"),
    ):
        submit(server, ME, ["a@exämple.com"], raw)


def test_a_mail_over_the_servers_size_is_certain() -> None:
    inbox = Inbox()
    with running(inbox, data_size_limit=100) as server, pytest.raises(NotSent, match="bytes"):
        submit(server, ME, [ADA], MESSAGE + b"x\r\n" * 100)
    assert inbox.got == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail.example.com:465", ("mail.example.com", 465)),
        ("mail.example.com", ("mail.example.com", 587)),
        ("[::1]:25", ("::1", 25)),
        ("[::1]", ("::1", 587)),
    ],
)
def test_server_names(text: str, expected: tuple[str, int]) -> None:
    server = SmtpServer.parse(text)
    assert (server.host, server.port) == expected


@pytest.mark.parametrize("text", ["", ":25", "host:", "host:0", "host:99999", "a b:25", "::1:25"])
def test_crooked_server_names(text: str) -> None:
    with pytest.raises(ConfigError):
        SmtpServer.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("localhost.example.com", False)],
)
def test_loopback_is_a_name_or_number(host: str, loopback: bool) -> None:
    assert SmtpServer(host, 25).is_loopback is loopback


# TLS: the server runs on loopback under a name that is not loopback's.

HOST = "smtp.example.test"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x",
         "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".example.test") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


class _Login:
    def __call__(
        self, server: SMTP, session: Any, envelope: Any, kind: str, data: Any
    ) -> AuthResult:
        right = (data.login, data.password) == (b"me", b"right")
        return AuthResult(success=right, handled=False)


@pytest.mark.usefixtures("named")
def test_starttls_with_login(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    inbox = Inbox()
    with running(
        inbox, tls_context=server_context(certificate), require_starttls=True,
        authenticator=_Login(), auth_required=True,
    ) as plain:  # fmt: skip
        server = SmtpServer(HOST, plain.port, "me", "right", 5)
        check_login(server)
        assert submit(server, ME, [ADA], MESSAGE).accepted == (ADA,)
        with pytest.raises(NotSent, match="login as me was refused"):
            check_login(SmtpServer(HOST, plain.port, "me", "wrong", 5))
        with pytest.raises(NotSent, match="characters that SMTP does not know"):
            check_login(SmtpServer(HOST, plain.port, "me", "wröng\ud800", 5))
        with pytest.raises(NotSent, match="no safe connection"):
            submit(SmtpServer("other.example.test", plain.port, timeout=5), ME, [ADA], MESSAGE)
    assert len(inbox.got) == 1


@pytest.mark.usefixtures("named")
def test_an_unknown_certificate_is_refused(certificate: tuple[Path, Path]) -> None:
    inbox = Inbox()
    with (
        running(inbox, tls_context=server_context(certificate)) as plain,
        pytest.raises(NotSent, match="no safe connection"),
    ):
        submit(SmtpServer(HOST, plain.port, timeout=5), ME, [ADA], MESSAGE)
    assert inbox.got == []


@pytest.mark.usefixtures("named")
def test_plain_text_never_crosses_a_net() -> None:
    inbox = Inbox()
    with running(inbox) as plain, pytest.raises(NotSent, match="offers no encryption"):
        submit(SmtpServer(HOST, plain.port, timeout=5), ME, [ADA], MESSAGE)
    assert inbox.got == []


@pytest.mark.usefixtures("named")
def test_tls_from_the_start(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    inbox = Inbox()
    port = free_port()
    monkeypatch.setattr(smtp_module, "_IMPLICIT_TLS", port)  # 465 needs root
    controller = Controller(
        inbox, hostname="127.0.0.1", port=port, ssl_context=server_context(certificate),
        server_hostname=HOST,
    )  # fmt: skip

    def greet() -> None:  # aiosmtpd's own probe uses the server's context, which cannot connect
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            context = ssl.create_default_context(cafile=certificate[0])
            with context.wrap_socket(plain, server_hostname=HOST) as safe:
                safe.recv(100)

    monkeypatch.setattr(controller, "_trigger_server", greet)
    controller.start()
    try:
        assert submit(SmtpServer(HOST, port, timeout=5), ME, [ADA], MESSAGE).accepted == (ADA,)
    finally:
        controller.stop()
    assert len(inbox.got) == 1

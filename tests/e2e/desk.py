"""A whole desk for a test: a hub, two vaults, both commands as processes, real mail on loopback."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import psutil

from nightdesk.local_agent.demo_mail import MailServer, read_mailbox
from nightdesk.sync.outside import HubCommit, history
from nightdesk.vault.layout import Folder
from nightdesk.vault.scan import notes_in

ME = "robin@nightdesk.example"
ADA = "ada@example.com"
T = TypeVar("T")


def wait(look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    """Look again and again until something is there."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)


def fill_gap(card: Path) -> None:
    """Write an answer where the outline left a gap in the draft."""
    head, heading, draft = card.read_text("utf-8").partition("# Draft")
    card.write_text(head + heading + draft.replace("[…]", "Yes, it is on its way."), "utf-8")


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs; a dead one that nobody has waited for yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Desk:
    """Everything of one test, below one folder."""

    def __init__(self, root: Path, mail: MailServer) -> None:
        self.root = root
        self.mail = mail
        self.hub = root / "hub.git"
        self.smtp_port = 0
        """Where the laptop submits; 0: to the mail server that everybody uses."""
        self.looks_for_sent = True
        self.environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "PYTEST"))
        }

    def vault(self, side: str) -> Path:
        return self.root / side / "vault"

    def config(self, side: str) -> Path:
        return self.root / side / f"{side}.toml"

    def state(self, side: str) -> Path:
        return self.root / side / f"{side}.toml.state"

    def command(self, side: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of one side to its end and check its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", f"nightdesk.{side}_agent.cli", *words],
            capture_output=True, text=True, timeout=60, env=self.environment, check=False,
        )  # fmt: skip
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def on(self, side: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Like `command`, with this side's configuration."""
        return self.command(side, *words, "--config", str(self.config(side)), code=code)

    def json(self, side: str, *words: str) -> Any:
        return json.loads(self.on(side, *words, "--json").stdout)

    def set_up(self, **approval: float) -> None:
        """Run both `init`s, unattended, as a script would, and let each side know the other."""
        keys: dict[str, Path] = {}
        sent = ["--sent-maildir", str(self.mail.sent(ME))] if self.looks_for_sent else []
        for side, extra in (
            ("local", ["--smtp", f"127.0.0.1:{self.smtp_port or self.mail.port}", *sent]),
            ("cloud", ["--email", f"maildir:{self.mail.maildir(ME)}"]),
        ):
            if side == "cloud":
                extra += ["--trust-local", str(keys["local"])]
            said = self.command(
                side, "init", "--non-interactive", "--config", str(self.config(side)),
                "--vault", str(self.vault(side)), "--hub", str(self.hub),
                "--address", ME, "--user", "Robin", *extra,
            ).stdout  # fmt: skip
            keys[side] = self.root / f"{side}.pub"
            keys[side].write_text(next(x for x in said.splitlines() if x.startswith("ssh-")))
            values = {"quiet_seconds": 0.2, "hold_seconds": 0.2} | approval
            with self.config(side).open("a") as file:
                file.write("\n[approval]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()))
        self.on("local", "init", "--trust-cloud", str(keys["cloud"]))

    def start(self, side: str) -> subprocess.Popen[bytes]:
        """Start the daemon of one side."""
        with (self.root / side / "log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", f"nightdesk.{side}_agent.cli"),
                    *("run", "--verbose", "--config", str(self.config(side))),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment, start_new_session=True,
            )  # fmt: skip

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a daemon at once, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @contextmanager
    def running(
        self, side: str, *, expect_exit: int | None = 0
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon of one side; stopped by SIGTERM at the end, within five seconds."""
        process = self.start(side)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                code = process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill(process)
                raise AssertionError(f"{side} did not stop within 5 s") from None
        if expect_exit is not None:
            assert code == expect_exit, f"exit code {code}\n{self.log(side)[-3000:]}"

    def approve(self, card_id: str) -> None:
        """The person fills the outline's gap and approves, as the card asks."""
        [path] = [p for p in self.notes("local", Folder.PENDING) if p.endswith(f"/{card_id}.md")]
        fill_gap(self.vault("local") / path)
        self.on("local", "approve", card_id)

    def log(self, side: str) -> str:
        return (self.root / side / "log").read_text("utf-8", "replace")

    def notes(self, side: str, folder: Folder | str) -> list[str]:
        return [place.path for place in notes_in(self.vault(side), folder)]

    def send(self, **fields: str) -> EmailMessage:
        """Ada writes a mail over SMTP; returns what she sent."""
        message = EmailMessage()
        message["From"] = fields.get("sender", f"Ada Lovelace <{ADA}>")
        message["To"] = fields.get("to", ME)
        message["Subject"] = fields.get("subject", "Invoice question")
        message["Message-ID"] = fields.get("message_id", f"<{time.time_ns()}@example.com>")
        message.set_content(fields.get("text", "Did you send the invoice?\n"))
        with smtplib.SMTP("127.0.0.1", self.mail.port, timeout=10) as client:
            client.send_message(message)
        return message

    def deliver(self, raw: bytes, name: str) -> None:
        """Put raw bytes into the mailbox as a local mail server would."""
        box = self.mail.maildir(ME)
        (box / "tmp" / name).write_bytes(raw)
        (box / "tmp" / name).rename(box / "new" / name)

    def inbox_of(self, address: str) -> list[EmailMessage]:
        return read_mailbox(self.mail.maildir(address))

    def history(self) -> list[HubCommit]:
        return history(self.hub)

    def dashboard(self) -> str:
        return (self.vault("local") / "Dashboard.md").read_text("utf-8")

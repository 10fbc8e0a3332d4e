"""The receiving side as a process of its own, with its own record of what it took.

A real SMTP server. What it does with a mail stands in the first word of the recipient's name:

    plain.…         takes it
    refused-once.…  says 550 to the first mail, takes the next
    cut.…           takes it and hangs up without an answer
    lost-once.…     hangs up on the first mail without taking it, takes the next
    slow.…          takes it, but thinks for `SLOW_SECONDS` about the recipient before

Run as a script: `python farside.py RECORD`; it prints its port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SLOW_SECONDS = 3.0


@dataclass(frozen=True)
class Effect:
    """One mail that was taken: as it came over the wire."""

    to: str
    subject: str
    body: str
    message_id: str
    sha: str


class FarSide:
    """The server's process and what it has recorded."""

    def __init__(self, folder: Path) -> None:
        self._record = folder / "taken"
        self._record.touch()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._record)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()

    def was_asked(self, to: str) -> bool:
        """Whether the slow server has heard of this recipient."""
        asked = self._record.with_name("asked")
        return asked.exists() and to in asked.read_text("utf-8")

    def taken(self, to: str = "") -> list[Effect]:
        """The mails that were taken, oldest first; for one recipient if named."""
        lines = self._record.read_text("utf-8").splitlines()
        effects = [Effect(**json.loads(line)) for line in lines]
        return [effect for effect in effects if not to or effect.to == to]


class _Handler:
    def __init__(self, record: Path) -> None:
        self._record = record
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        if address.startswith("slow."):
            self._note("asked", {"to": address})
            await asyncio.sleep(SLOW_SECONDS)
        return "250 fine"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        [to] = envelope.rcpt_tos
        manner = to.partition(".")[0]
        first = to not in self._seen
        self._seen.add(to)
        if manner == "refused-once" and first:
            return "550 5.7.1 not this time"
        if manner == "lost-once" and first:
            server.transport.close()
            return "421 gone"
        self._take(to, envelope.original_content)
        if manner == "cut":
            server.transport.close()
        return "250 taken"

    def _take(self, to: str, raw: bytes) -> None:
        message: Any = email.message_from_bytes(raw, policy=email.policy.default)
        line = {
            "to": to,
            "subject": message["Subject"],
            "body": message.get_content().replace("\r\n", "\n"),
            "message_id": message["Message-ID"],
            "sha": hashlib.sha256(raw).hexdigest(),
        }
        self._note("taken", line)

    def _note(self, what: str, line: dict[str, Any]) -> None:
        path = self._record.with_name(what)
        with self._lock, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    """Serve until the input ends."""
    import socket

    from aiosmtpd.controller import Controller

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(_Handler(Path(sys.argv[1])), hostname="127.0.0.1", port=port)
    controller.start()
    print(port, flush=True)
    sys.stdin.read()
    controller.stop()


if __name__ == "__main__":
    main()

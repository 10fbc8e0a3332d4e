"""Approved -> sent, with the real daemon, beside bare smtplib to the same server.

One laptop, its hub on the same disk, no quiet period and no hold. A card is moved to `Approved/`
as a person's file manager does it; the clock stops when the server on loopback has the message.
Between two cards the same message goes to the same server by smtplib alone, so that both see the
same machine: that is what the wire itself costs.

`python benchmarks/execute.py [CARDS]` prints a table (docs/numbers.md).
"""

from __future__ import annotations

import smtplib
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))

from desk import ADA, ME, Desk, wait

from nightdesk.local_agent.demo_mail import MailServer
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card
from nightdesk.vault.files import create
from nightdesk.vault.layout import Folder, card_id, task_id, zone_path

HANDBOOK = f"# Handbook\n\n## People\n\n- Ada, {ADA}\n\n## Limits\n\n- Sends a day: 100000\n"
BODY = "Hi Ada,\n\nwe paid yesterday.\n\nRobin\n"


class TimedServer(MailServer):
    """Notes the moment at which each message was there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.came = threading.Event()
        self.at = 0.0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take the time, then deliver as ever."""
        self.at = time.perf_counter()
        self.came.set()
        return await super().handle_DATA(server, session, envelope)


def make_card(vault: Path, number: int) -> str:
    """Lay a proposal into the vault; the running agent makes it a card."""
    now = datetime.now(UTC)
    task = task_id(now, f"Question {number}", f"{number}")
    card = Card(
        id=card_id(task, "email.send", 1),
        task=task,
        zone=Zone.EMAIL,
        created_by="local",
        created=now,
        action=EmailSend(to=[ADA], subject=f"Re: Question {number}", body=BODY),
    )
    path = zone_path(Folder.PENDING, Zone.EMAIL, card.id)
    create(vault / path, card.note())
    wait(lambda: "\nexpires:" in (vault / path).read_text("utf-8"), "the card")
    return path


def by_nightdesk(vault: Path, mail: TimedServer, path: str) -> float:
    """Approve one card; seconds until the server has its message."""
    mail.came.clear()
    target = vault / path.replace(str(Folder.PENDING), str(Folder.APPROVED), 1)
    target.parent.mkdir(exist_ok=True)
    start = time.perf_counter()
    (vault / path).rename(target)
    assert mail.came.wait(30), "nothing was sent within 30 s"
    return mail.at - start


def by_smtplib(mail: TimedServer, number: int) -> float:
    """Send the same by hand; seconds until the server has it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ME, ADA, f"Re: Question {number}"
    message.set_content(BODY)
    mail.came.clear()
    start = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", mail.port, timeout=10) as client:
        client.send_message(message)
    return mail.at - start


def percentiles(values: list[float]) -> tuple[float, float]:
    """The median, and the value that 99 of 100 do not exceed (of few values: the highest)."""
    ranked = sorted(values)
    return statistics.median(ranked), ranked[min(len(ranked) - 1, -(-len(ranked) * 99 // 100) - 1)]


def main(cards: int) -> None:
    """Send the cards one after the other and print both latencies."""
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder, TimedServer(Path(folder) / "mail") as mail:
        desk = Desk(Path(folder), mail)
        mail.maildir(ME)
        desk.set_up(quiet_seconds=0, hold_seconds=0)
        vault = desk.vault("local")
        (vault / "Handbook.md").write_text(HANDBOOK, "utf-8")
        with desk.running("local"):
            wait(lambda: '"started"' in desk.log("local"), "start")
            for number in range(cards):
                path = make_card(vault, number)
                time.sleep(0.5)  # the agent has come to rest, as at a person's pace
                bare.append(by_smtplib(mail, number))
                ours.append(by_nightdesk(vault, mail, path))
                wait(lambda: not desk.notes("local", Folder.APPROVED), "Done/")
        answers = len(desk.inbox_of(ADA))
        assert answers == 2 * cards, f"{answers} messages for {2 * cards} sendings"
    print(f"{'approved -> sent, SMTP on loopback (s)':<42}{'p50':>8}{'p99':>8}{'n':>6}")
    for what, values in (("nightdesk, real daemon", ours), ("bare smtplib, same server", bare)):
        p50, p99 = percentiles(values)
        print(f"{what:<42}{p50:>8.3f}{p99:>8.3f}{len(values):>6}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)

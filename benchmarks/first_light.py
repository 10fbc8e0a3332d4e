"""How fast the whole desk is on this machine: mail to card, approval to sent.

Real processes, real git, real SMTP on loopback, no model, no quiet period and no hold.
`python benchmarks/first_light.py [MAILS]` prints a table (docs/numbers.md).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))

from desk import ADA, Desk, fill_gap, wait

from nightdesk.local_agent.demo_mail import MailServer
from nightdesk.vault.layout import Folder, place_of


def main(mails: int) -> None:
    """Send mails one after the other through the desk and print both latencies."""
    drafted: list[float] = []
    sent: list[float] = []
    with tempfile.TemporaryDirectory() as folder, MailServer(Path(folder) / "mail") as mail:
        desk = Desk(Path(folder), mail)
        desk.set_up(quiet_seconds=0, hold_seconds=0)
        vault = desk.vault("local")
        with desk.running("cloud"), desk.running("local"):
            wait(lambda: '"started"' in desk.log("local"), "start")
            time.sleep(2)
            for number in range(mails):
                desk.send(subject=f"Question {number}")
                start = time.perf_counter()
                [card] = wait(lambda: desk.notes("local", Folder.PENDING), "the card")
                drafted.append(time.perf_counter() - start)
                time.sleep(0.5)
                fill_gap(vault / card)
                time.sleep(0.3)
                (vault / card).rename(vault / "Approved" / place_of(card).name)
                start = time.perf_counter()
                wait(lambda n=number: len(desk.inbox_of(ADA)) == n + 1, "the answer")
                sent.append(time.perf_counter() - start)
                wait(lambda: not desk.notes("local", Folder.APPROVED), "Done/")
    print(f"{'what':<42}{'p50':>8}{'p99':>8}{'n':>6}")
    for what, values in (
        ("mail arrives -> card on the laptop (s)", drafted),
        ("approved -> executed (s)", sent),
    ):
        ranked = sorted(values)
        p50, p99 = ranked[len(ranked) // 2], ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
        print(f"{what:<42}{p50:>8.3f}{p99:>8.3f}{len(ranked):>6}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)

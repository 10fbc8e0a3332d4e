"""The real daemon on a vault whose disk is full, read-only or gone: it says so and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import ADA, Desk, wait

from nightdesk.local_agent.demo_mail import MailServer
from nightdesk.vault.layout import Folder
from small_disk import SmallDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """The laptop's vault lies on a disk of its own."""
    with SmallDisk(tmp_path / "local" / "vault", size="12m") as small:
        yield small


@pytest.fixture
def desk(disk: SmallDisk, tmp_path: Path) -> Iterator[Desk]:
    with MailServer(tmp_path / "mail") as mail:
        made = Desk(tmp_path, mail)
        made.set_up()
        config = made.config("local")
        config.write_text(config.read_text().replace("[hub]\n", "[hub]\npoll_seconds = 1.0\n"))
        yield made


def test_the_daemon_outlives_a_disk_in_trouble(desk: Desk, disk: SmallDisk) -> None:
    """Full, read-only and unmounted, one after the other, in one life of one process."""
    with desk.running("local") as daemon:
        wait(lambda: "Health" in desk.dashboard(), "the first pass")
        for number, trouble in enumerate(("full", "read_only", "away")):
            desk.send(subject=f"Question {number}")
            with disk.trouble(trouble):
                said = len(desk.log("local"))
                desk.on("cloud", "run", "--once")
                wait(lambda said=said: "needs a person" in desk.log("local")[said:], trouble)
                word = desk.log("local")[said:]
                assert str(disk.folder) in word
                assert "Traceback" not in word
            wait(
                lambda number=number: len(desk.notes("local", Folder.PENDING)) == number + 1,
                f"the card that came while the disk was {trouble}",
                60,
            )
            wait(lambda: "up to date" in desk.dashboard() or "last change" in desk.dashboard(), "")
        assert daemon.poll() is None
        # Nothing was lost on the way: an approval still goes out.
        for card in desk.json("local", "pending"):
            desk.approve(card["id"])
        wait(lambda: len(desk.inbox_of(ADA)) == 3, "the three answers")

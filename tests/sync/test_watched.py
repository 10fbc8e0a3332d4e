"""Looking only where the watcher points: the same result as looking everywhere.

The number of random histories is NIGHTDESK_WATCHED_SEEDS (2).
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from twovaults import Desk, Side

from nightdesk.sync.engine import CycleReport
from nightdesk.sync.secrets import Guard
from nightdesk.vault.layout import conflict_name
from nightdesk.vault.watch import Signal, Watch

NOTHING: frozenset[str] = frozenset()
SECRET = "s3cr3t-0f-the-laptop"
FOLDERS = (
    "Notes", "Notes/deep/er", "Notes/other", "Done/2026-11", "Needs_Action/email",
    "In_Progress/cloud", "Approved", "banking", "Private", "Attachments",
)  # fmt: skip
SEEDS = int(os.environ.get("NIGHTDESK_WATCHED_SEEDS", "2"))


def watch(side: Side, stack: ExitStack) -> None:
    """Give a side's engine a real watcher."""
    engine = side.open()
    watcher = stack.enter_context(Watch([side.vault], Signal(), follow=side.vault))
    engine.watched(watcher.take)


class Person:
    """Does the same to two vaults, by dice; times are set so that both are the same."""

    def __init__(self, seed: int, sides: list[Side]) -> None:
        self.dice = random.Random(seed)
        self.sides = sides
        self.clock = int(time.time()) - 50_000

    def both(self, deed: Callable[[Side], None]) -> None:
        for side in self.sides:
            deed(side)

    def write(self, path: str, data: str) -> None:
        self.clock += 1

        def deed(side: Side) -> None:
            file = side.vault / path
            if file.is_dir() or any(p.is_file() for p in file.parents):
                return
            side.write(path, data)
            os.utime(file, (self.clock, self.clock))

        self.both(deed)

    def act(self) -> None:
        paths = sorted(p for p in self.sides[0].files() if p not in {"Handbook.md", ".gitignore"})
        some = self.dice.choice(paths or ["Notes/a.md"])
        name = self.dice.choice("abcd")
        path = f"{self.dice.choice(FOLDERS)}/{name}.md"
        number = self.dice.randrange(1000)
        head = f'---\nid: "{name}"\n---\n' if self.dice.random() < 0.5 else ""
        match self.dice.randrange(12):
            case 0 | 1 | 2:
                self.write(path, f"{head}text {number:03}\n")
            case 3 | 4:  # an edit of the same size
                old = self.sides[0].files().get(some, b"").decode(errors="replace")
                self.write(some, old[:-4] + f"{number:03}\n" if len(old) > 4 else "x")
            case 5 | 6:
                self.both(lambda side: None if (side.vault / path).exists() else rename(
                    side.vault / some, side.vault / path))  # fmt: skip
            case 7:
                self.both(lambda side: (side.vault / some).unlink(missing_ok=True))
            case 8:  # a folder moves, perhaps to where none looks
                target = self.dice.choice(["Notes/moved", "Done/2025-01", ".hidden", "Private/x"])
                source = self.dice.choice(["Notes/deep", "Notes/moved", "Notes/other", ".hidden"])
                self.both(lambda side: rename(side.vault / source, side.vault / target))
            case 9:
                self.both(lambda side: shutil.rmtree(side.vault / "Notes/moved", True))
            case 10:
                kind = self.dice.choice(["link", "secret", "ignore", "payments"])
                self.special(kind, number)
            case 11:  # a file where a folder was, or the other way round
                self.both(lambda side: shutil.rmtree(side.vault / "Notes/deep", True))
                self.write("Notes/deep", f"a file {number}\n")

    def special(self, kind: str, number: int) -> None:
        if kind == "link":
            self.both(lambda side: relink(side.vault / "Notes/link.md"))
        elif kind == "secret":
            self.write("Notes/a.md", f"{SECRET} {number}\n")
        elif kind == "payments":
            self.write("Done/2026-11/c.md", f'---\nid: "c"\nzone: payments\n---\n{number}\n')
        elif self.sides[0].role == "local":
            self.write(".gitignore", f".env*\n*.session\nPrivate/\nb.md{number % 2 or ''}\n")


def rename(source: Path, target: Path) -> None:
    if source.exists() and not target.exists() and source not in target.parents:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def relink(path: Path) -> None:
    if path.parent.is_dir():
        if path.exists() or path.is_symlink():
            path.unlink()
        path.symlink_to("a.md")


def told(report: CycleReport) -> tuple[object, ...]:
    return (
        set(report.pulled), set(report.pushed), set(report.conflicts), report.held_back,
        set(report.refused), report.changed,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_with_and_without_a_watcher_the_same_comes_out(tmp_path: Path, seed: int) -> None:
    with ExitStack() as stack:
        desks = []
        for name in ("watched", "walked"):
            (tmp_path / name).mkdir()
            desk = Desk(tmp_path / name)
            stack.callback(desk.close)
            desk.local.options["guard"] = Guard({"x": SECRET})
            desks.append(desk)
        watched, walked = desks
        for side in (watched.local, watched.cloud):
            watch(side, stack)
        people = [
            Person(seed, [watched.local, walked.local]),
            Person(seed + 1000, [watched.cloud, walked.cloud]),
        ]
        for _ in range(6):
            for person in people:
                for _ in range(person.dice.randrange(4)):
                    person.act()
                with_watch, without = person.sides
                assert told(with_watch.sync()) == told(without.sync(full=True))
                assert with_watch.files() == without.files()
                assert watched.git("rev-parse", "main^{tree}") == walked.git(
                    "rev-parse", "main^{tree}"
                )


def test_what_no_event_told_of_is_found_by_the_next_full_scan(desk: Desk) -> None:
    desk.settle()
    desk.local.engine.watched(lambda: NOTHING)
    desk.local.sync()
    desk.local.write("Notes/lost.md", "no event\n")
    assert desk.local.sync().pushed == ()
    assert desk.local.sync(full=True).pushed == ("Notes/lost.md",)


@pytest.mark.second_device
def test_an_edit_that_no_event_told_of_is_not_overwritten(desk: Desk) -> None:
    desk.local.write("Updates/n.md", "one\n")
    desk.local.write("Updates/gone.md", "one\n")
    desk.settle()
    desk.local.engine.watched(lambda: NOTHING)
    desk.local.sync()
    desk.local.write("Updates/n.md", "the laptop's, unseen\n")
    desk.local.age("Updates/n.md", 500)
    desk.local.write("Updates/gone.md", "the laptop's, unseen\n")
    desk.cloud.write("Updates/n.md", "the cloud's\n")
    (desk.cloud.vault / "Updates/gone.md").unlink()
    desk.cloud.sync()
    desk.local.sync()
    files = desk.local.files()
    both = {b"the cloud's\n", b"the laptop's, unseen\n"}
    copy = conflict_name("Updates/n.md", b"the laptop's, unseen\n")
    assert {files["Updates/n.md"], files[copy]} == both
    assert files["Updates/gone.md"] == b"the laptop's, unseen\n"
    assert desk.local.sync(full=True).pushed == ()


@pytest.mark.second_device
def test_what_sync_itself_writes_needs_no_event(desk: Desk) -> None:
    desk.cloud.write("Updates/n.md", "one\n")
    desk.cloud.write("Updates/gone.md", "one\n")
    desk.local.write("Needs_Action/general/t.md", '---\nid: "t"\n---\n')
    desk.settle()
    desk.local.engine.watched(lambda: NOTHING)
    desk.local.sync()
    desk.cloud.write("Updates/n.md", "two\n")
    desk.cloud.write("Updates/new.md", "new\n")
    (desk.cloud.vault / "Updates/gone.md").unlink()
    desk.cloud.sync()
    assert len(desk.local.sync().pulled) == 3
    assert desk.local.engine.claim(["Needs_Action/general/t.md"])
    assert not desk.local.sync().changed
    assert not desk.local.sync(full=True).changed
    desk.settle()
    assert desk.local.files() == desk.cloud.files()


def test_a_late_event_is_in_time_for_the_next_cycle(desk: Desk) -> None:
    desk.settle()
    late: list[frozenset[str]] = [NOTHING, frozenset({"Notes/late.md"})]
    desk.local.engine.watched(lambda: late.pop(0) if len(late) > 0 else NOTHING)
    desk.local.sync()
    desk.local.write("Notes/late.md", "late\n")
    assert desk.local.sync().pushed == ("Notes/late.md",)


def test_paths_that_were_told_before_a_failed_scan_are_not_forgotten(desk: Desk) -> None:
    desk.settle()
    words = [NOTHING, frozenset({"Notes/n.md"})]
    desk.local.engine.watched(lambda: words.pop(0) if words else NOTHING)
    desk.local.sync()
    desk.local.write("Notes/n.md", "n\n")
    git = desk.local.vault / ".git"
    git.rename(desk.root / "unmounted")
    with pytest.raises(Exception, match="cannot be read"):
        desk.local.sync()
    (desk.root / "unmounted").rename(git)
    assert desk.local.sync().pushed == ("Notes/n.md",)


def test_an_emptied_vault_is_no_deletion_for_the_watched_either(desk: Desk) -> None:
    desk.local.write("Notes/n.md", "n\n")
    desk.settle()
    with ExitStack() as stack:
        watch(desk.local, stack)
        desk.local.sync()
        for entry in desk.local.vault.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        with pytest.raises(Exception, match="empty"):
            desk.local.sync()
    assert "Notes/n.md" in desk.hub_files()


def test_the_disk_and_the_hub_share_their_maps_so_that_comparing_is_free(desk: Desk) -> None:
    desk.local.write("Notes/n.md", "n\n")
    desk.cloud.write("Updates/u.md", "u\n")
    desk.settle()
    for change in (NOTHING, frozenset({"Notes/n.md"})):
        desk.local.engine.watched(lambda told=change: told)  # type: ignore[misc]
        desk.local.write("Notes/n.md", f"{change}\n")
        desk.cloud.write("Updates/u.md", f"{change}\n")
        desk.settle()
        desk.local.sync()
        engine = desk.local.engine
        cycle = engine._cycle
        assert cycle.scanner._entries is cycle._commits.at(cycle.base).vault

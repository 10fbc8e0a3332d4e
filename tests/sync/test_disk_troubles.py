"""Disks that are full, read-only, gone or unreadable: told, nothing lost, and over by itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from twovaults import Desk, Side

from nightdesk.errors import HubRefused, NightdeskError, VaultUnavailable
from nightdesk.sync import limits
from ordinary import as_ordinary_user
from small_disk import SmallDisk

TEXT = "a line of a note\n" * 200
OURS, THEIRS = "Plans/ours.md", "Plans/theirs.md"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AGAIN_SECONDS", 0.0)


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of its own for one folder of the desk that is made next."""
    with SmallDisk(tmp_path / request.param) as small:
        yield small


@pytest.fixture
def desk(disk: SmallDisk, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    made.local.write("Notes/old.md", "old\n")
    made.settle()
    yield made
    made.close()


def side_of(desk: Desk, name: str) -> tuple[Side, Side]:
    """The side whose disk is in trouble, and the other one."""
    both = (desk.local, desk.cloud)
    return both if name.startswith("local") else (both[1], both[0])


def told(call: Callable[[], object], kind: type[NightdeskError], where: Path) -> None:
    """The call fails with a word that a person can act on."""
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert str(where) in error.where, error.where
    assert error.what
    assert error.remedy


def leftovers(repository: Path) -> list[str]:
    names = ("tmp_*", "fast_import_crash_*", "incoming-*")
    return [str(p) for name in names for p in repository.rglob(name)]


def in_step(desk: Desk, *paths: str) -> None:
    desk.settle()
    files = desk.local.files()
    assert files == desk.cloud.files()
    assert all(files[path] == TEXT.encode() for path in paths)
    assert set(paths) <= desk.hub_files()
    assert not [path for path in files if ".nightdesk-" in path or "conflict" in path]
    assert desk.git("fsck", "--strict", "--no-dangling") == ""


@pytest.mark.parametrize(
    "disk", ["local-vault", "local-state", "cloud-vault", "cloud-state"], indirect=True
)
def test_18_a_vault_or_state_folder_in_trouble(desk: Desk, disk: SmallDisk) -> None:
    troubled, other = side_of(desk, disk.folder.name)
    for trouble in ("full", "read_only", "away"):
        ours, theirs = OURS.replace("ours", f"{trouble}-o"), THEIRS.replace("theirs", trouble)
        troubled.write(ours, TEXT)
        other.write(theirs, TEXT)
        other.sync()
        before = troubled.files()
        tip = desk.git("rev-parse", "main")
        with disk.trouble(trouble):
            if disk.folder == troubled.state:
                # A cycle that has nothing to write there may even be a whole one.
                with suppress(VaultUnavailable):
                    troubled.sync()
            else:
                for _ in range(2):
                    told(troubled.sync, VaultUnavailable, disk.folder)
                assert desk.git("rev-parse", "main") == tip, "nothing is told to the hub"
        assert before.items() <= troubled.files().items()
        assert leftovers(troubled.vault / ".git") == []
        in_step(desk, ours, theirs)


@pytest.mark.parametrize("disk", ["local-vault", "local-state"], indirect=True)
def test_a_daemon_that_starts_on_a_disk_in_trouble(desk: Desk, disk: SmallDisk) -> None:
    desk.local.write(OURS, TEXT)
    desk.cloud.write(THEIRS, TEXT)
    desk.cloud.sync()
    for trouble in ("full", "read_only"):
        desk.local.close()
        with disk.trouble(trouble):
            told(desk.local.sync, VaultUnavailable, disk.folder)
            desk.local.close()
    in_step(desk, OURS, THEIRS)


@pytest.mark.parametrize("disk", ["local-vault"], indirect=True)
def test_a_vault_that_is_not_mounted_yet_is_not_made_anew(desk: Desk, disk: SmallDisk) -> None:
    desk.local.close()
    with disk.away():
        with pytest.raises(NightdeskError, match="not connected") as caught:
            desk.local.sync()
        assert "mount" in caught.value.remedy
        assert os.listdir(disk.folder) == []
    desk.local.engine = None
    in_step(desk)


@pytest.mark.parametrize("disk", ["local-vault"], indirect=True)
def test_a_disk_that_runs_full_half_way(desk: Desk, disk: SmallDisk) -> None:
    """Some notes fit, some do not: none is half there, and the rest comes later."""
    paths = [f"Plans/p{n:02}.md" for n in range(40)]
    for number, path in enumerate(paths):
        desk.cloud.write(path, TEXT + f"{number}\n" * 900)
    desk.cloud.sync()
    came: set[int] = set()
    for leave in (0, 100_000):
        with disk.full(leave=leave):
            told(desk.local.sync, VaultUnavailable, disk.folder)
            here = desk.local.files()
            came.add(sum(path in here for path in paths))
            wrong = [p for p in paths if p in here and here[p] != desk.cloud.read(p)]
            assert wrong == [], "half a note"
    assert 0 < max(came) < len(paths), came
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert leftovers(desk.local.vault / ".git") == []


@pytest.mark.parametrize("disk", ["local-vault"], indirect=True)
def test_remains_of_failed_attempts_do_not_fill_the_disk(desk: Desk, disk: SmallDisk) -> None:
    desk.local.write("Attachments/big.pdf", os.urandom(1 << 20))
    with disk.full(leave=300_000):
        before = os.statvfs(disk.folder).f_bfree
        for _ in range(4):
            told(desk.local.sync, VaultUnavailable, disk.folder)
        assert os.statvfs(disk.folder).f_bfree >= before - 8
    desk.settle()
    assert "Attachments/big.pdf" in desk.cloud.files()


@pytest.mark.parametrize("disk", ["hub.git"], indirect=True)
def test_18_a_hub_that_cannot_store(desk: Desk, disk: SmallDisk) -> None:
    task = "Needs_Action/general/t.md"
    desk.local.write(task, '---\nid: "t"\n---\nx\n')
    desk.settle()
    for trouble in ("full", "read_only"):
        ours, theirs = OURS.replace("ours", f"{trouble}-o"), THEIRS.replace("theirs", trouble)
        desk.local.write(ours, TEXT)
        desk.cloud.write(theirs, TEXT)
        with disk.trouble(trouble):
            for side in (desk.local, desk.cloud, desk.local):
                told(side.sync, HubRefused, disk.folder)
            told(lambda: desk.local.engine.beat({}), HubRefused, disk.folder)
            told(lambda: desk.cloud.engine.claim([task]), HubRefused, disk.folder)
        in_step(desk, ours, theirs)
    assert desk.cloud.engine.claim([task])


@pytest.mark.parametrize("disk", ["unused"], indirect=True)
def test_a_hub_whose_branch_cannot_be_written_is_no_lost_race(disk: SmallDisk, desk: Desk) -> None:
    """Otherwise every cycle would try a dozen times and say that the hub is busy."""
    desk.local.write(OURS, TEXT)
    with SmallDisk(desk.hub / "refs").read_only():
        told(desk.local.sync, HubRefused, desk.hub)
    in_step(desk, OURS)


@pytest.mark.parametrize("disk", ["hub.git"], indirect=True)
def test_a_hub_that_is_not_mounted(desk: Desk, disk: SmallDisk) -> None:
    desk.local.write(OURS, TEXT)
    with disk.away():
        assert str(disk.folder) in desk.local.sync().offline
        assert os.listdir(disk.folder) == []
    in_step(desk, OURS)


@pytest.mark.parametrize("disk", ["unused"], indirect=True)
def test_a_hubs_quota_is_told_and_tried_again_only_after_a_while(
    disk: SmallDisk, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.git("config", "receive.maxInputSize", "20k")
    monkeypatch.setattr(limits, "AGAIN_SECONDS", 3600.0)
    desk.local.write("Attachments/big.pdf", os.urandom(60_000))
    told(desk.local.sync, HubRefused, desk.hub)
    with pytest.raises(HubRefused, match="exceeds maximum allowed size") as caught:
        desk.local.sync()
    assert "quota" in caught.value.remedy
    desk.git("config", "--unset", "receive.maxInputSize")
    with pytest.raises(HubRefused):
        desk.local.sync()  # not asked again yet
    desk.local.write(OURS, TEXT)
    in_step(desk, OURS)  # another push is another question
    assert "Attachments/big.pdf" in desk.cloud.files()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o755)


def test_23_an_unreadable_file_or_folder_is_not_taken_for_a_removal(plain: Desk) -> None:
    plain.local.write("Notes/a.md", "a")
    plain.local.write("Deep/b.md", "b")
    plain.local.write("Deep/c.md", "c")
    plain.settle()
    (plain.local.vault / "Notes/a.md").chmod(0)
    (plain.local.vault / "Deep").chmod(0)
    plain.local.write(OURS, TEXT)
    report = as_ordinary_user(lambda: plain.local.sync(full=True))
    reasons = {held.path: held.reason for held in report.held_back}
    assert reasons.keys() == {"Notes/a.md", "Deep"}
    assert all("Permission denied" in reason for reason in reasons.values()), reasons
    assert {"Notes/a.md", "Deep/b.md", "Deep/c.md", OURS} <= plain.hub_files()
    plain.cloud.sync()
    assert plain.cloud.read("Deep/b.md") == b"b"
    (plain.local.vault / "Deep").chmod(0o755)
    (plain.local.vault / "Notes/a.md").chmod(0o644)
    report = as_ordinary_user(lambda: plain.local.sync(full=True))
    assert report.held_back == ()
    in_step(plain, OURS)


@pytest.mark.parametrize("locked", ["local-vault/.git/objects", "local-state"])
def test_a_repository_or_state_folder_that_is_not_ours(plain: Desk, locked: str) -> None:
    plain.settle()
    plain.local.write(OURS, TEXT)
    folder = plain.root / locked
    modes = {Path(at): Path(at).stat().st_mode for at, _, _ in os.walk(folder)}
    for at in modes:
        at.chmod(0o555)
    try:
        as_ordinary_user(plain.local.sync)
        assert locked.endswith("-state"), "a cycle may have nothing to write there"
    except VaultUnavailable as e:
        assert re.search("denied|permission", e.what)  # noqa: PT017 - either is right
        assert e.remedy  # noqa: PT017
    for at, mode in modes.items():
        at.chmod(mode)
    in_step(plain, OURS)

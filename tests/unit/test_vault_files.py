"""Files: complete or not at all, nothing overwritten, nothing lost, nothing left behind."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from nightdesk.vault import files


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.startswith(files.TEMPORARY_PREFIX)]


@pytest.fixture(params=["renameat2", "portable"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with the kernel's call, and as where there is none (macOS, musl, some mounts)."""
    if request.param == "portable":
        monkeypatch.setattr(files, "_libc_rename", lambda: None)
    return str(request.param)


# --- create -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_create_makes_folders_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "Grüße 😀.md"
    files.create(path, b"one")
    with pytest.raises(FileExistsError):
        files.create(path, b"two")
    assert path.read_bytes() == b"one"
    # One name: a file with two is not taken as an approval.
    assert path.stat().st_nlink == 1
    assert leftovers(tmp_path) == []


@pytest.mark.usefixtures("both_ways")
def test_create_does_not_follow_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "x.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "x.md", b"data")
    assert not (tmp_path / "elsewhere").exists()
    assert leftovers(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_not_taken_for_the_note(tmp_path: Path) -> None:
    (tmp_path / "Updates").write_text("mine")
    with pytest.raises(NotADirectoryError):
        files.create(tmp_path / "Updates" / "x.md", b"data")
    with pytest.raises(NotADirectoryError):
        files.create(tmp_path / "Updates" / "deep" / "x.md", b"data")
    (tmp_path / "y.md").write_text("y")
    with pytest.raises(NotADirectoryError):
        files.move(tmp_path / "y.md", tmp_path / "Updates" / "y.md")
    assert (tmp_path / "y.md").exists()


def test_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        files.create(tmp_path / "note.md", b"")
        files.create(tmp_path / "key", b"", mode=0o600)
        assert (tmp_path / "note.md").stat().st_mode & 0o777 == 0o644
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
        (tmp_path / "note.md").chmod(0o666)
        files.exchange(tmp_path / "note.md", b"new")
        assert (tmp_path / "note.md").stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)


@pytest.mark.usefixtures("both_ways")
def test_racing_creators_have_one_winner(tmp_path: Path) -> None:
    won: list[int] = []
    start = threading.Barrier(4)

    def race(me: int) -> None:
        start.wait()
        for n in range(50):
            try:
                files.create(tmp_path / f"{n}.md", str(me).encode())
            except FileExistsError:
                continue
            won.append(n)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(50))


# --- exchange -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_exchange_gives_back_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(b"a person's words")
    assert files.exchange(path, b"new") == b"a person's words"
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []


@pytest.mark.usefixtures("both_ways")
def test_exchange_brings_nothing_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.exchange(tmp_path / "moved.md", b"new")
    with pytest.raises(FileNotFoundError):
        files.exchange(tmp_path / "no folder" / "x.md", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("both_ways")
def test_exchange_touches_neither_links_nor_folders(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"outside")
    link = tmp_path / "link.md"
    link.symlink_to(target)
    folder = tmp_path / "folder.md"
    folder.mkdir()
    os.mkfifo(tmp_path / "fifo.md")
    for path in (link, folder, tmp_path / "fifo.md"):
        with pytest.raises(OSError) as caught:
            files.exchange(path, b"new")
        assert caught.value.errno in {errno.ELOOP, errno.EINVAL}
    assert target.read_bytes() == b"outside"
    assert link.is_symlink()
    assert folder.is_dir()
    assert leftovers(tmp_path) == []


def test_what_became_a_link_in_between_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(b"old")
    (tmp_path / "outside").write_bytes(b"outside")
    real = files._renameat2

    def late(source: Path, target: Path, flags: int) -> None:
        if not path.is_symlink() and flags == 2:
            path.unlink()
            path.symlink_to(tmp_path / "outside")
        real(source, target, flags)

    monkeypatch.setattr(files, "_renameat2", late)
    with pytest.raises(OSError, match="symbolic"):
        files.exchange(path, b"new")
    assert path.is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"outside"
    assert leftovers(tmp_path) == []


@pytest.mark.usefixtures("both_ways")
def test_an_observer_never_sees_a_missing_or_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # for the disk, not for observers
    path = tmp_path / "x.md"
    versions = [bytes([65 + n]) * 50_000 for n in range(2)]
    path.write_bytes(versions[0])
    stop = threading.Event()
    faults: list[str] = []
    looks = 0

    def observe() -> None:
        nonlocal looks
        while not stop.is_set():
            try:
                seen = path.read_bytes()
            except FileNotFoundError:
                faults.append("missing")
                continue
            looks += 1
            if seen not in versions:
                faults.append(f"partial: {len(seen)} bytes")

    observer = threading.Thread(target=observe)
    observer.start()
    try:
        for n in range(2_000):
            assert files.exchange(path, versions[(n + 1) % 2]) == versions[n % 2]
    finally:
        stop.set()
        observer.join()
    assert faults == []
    assert looks > 100


def test_nothing_is_left_behind_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for attempt in (
        lambda: files.create(tmp_path / "new.md", b"data"),
        lambda: files.exchange(path, b"data"),
        lambda: files.write(path, b"data"),
    ):
        with pytest.raises(OSError, match="No space"):
            attempt()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.md"]


# --- write, move ------------------------------------------------------------------------------


@pytest.mark.usefixtures("both_ways")
def test_write_creates_replaces_and_leaves_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "x.json"
    with pytest.raises(FileNotFoundError):
        files.write(path, b"one")
    assert not path.parent.exists(), "a vault that vanished is not made anew"
    path.parent.mkdir()
    files.write(path, b"one")
    files.write(path, b"two")
    assert path.read_bytes() == b"two"
    before = path.stat()
    files.write(path, b"two")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert leftovers(tmp_path) == []


@pytest.mark.usefixtures("both_ways")
def test_move_does_not_overwrite(tmp_path: Path) -> None:
    source, target = tmp_path / "a.md", tmp_path / "deep" / "er" / "a.md"
    source.write_bytes(b"mine")
    assert files.move(source, target)
    assert (source.exists(), target.read_bytes()) == (False, b"mine")
    assert not files.move(source, tmp_path / "b.md")
    source.write_bytes(b"other")
    assert not files.move(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"other", b"mine")
    assert not files.move(target, target)
    assert target.read_bytes() == b"mine"


@pytest.mark.usefixtures("both_ways")
def test_one_file_moved_by_many_threads_arrives_once(tmp_path: Path) -> None:
    start = threading.Barrier(4)
    won: list[tuple[int, int]] = []
    for n in range(40):
        (tmp_path / f"{n}.md").write_text(str(n))

    def race(me: int) -> None:
        start.wait()
        for n in range(40):
            moved = files.move(tmp_path / f"{n}.md", tmp_path / str(me) / f"{n}.md")
            won.extend([(n, me)] if moved else [])

    threads = [threading.Thread(target=race, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, _ in won) == list(range(40))
    arrived = {(int(p.stem), int(p.parent.name)) for p in tmp_path.glob("?/*.md")}
    assert arrived == set(won)


# --- reading --------------------------------------------------------------------------------


def test_read_regular_refuses_what_is_no_ordinary_file(tmp_path: Path) -> None:
    note = tmp_path / "x.md"
    note.write_bytes(b"12345")
    assert files.read_regular(note, 5) == b"12345"
    os.link(note, tmp_path / "second name.md")  # backups make these; whoever executes refuses
    assert files.read_regular(note, 5) == b"12345"
    (tmp_path / "link.md").symlink_to(note)
    os.mkfifo(tmp_path / "fifo.md")
    (tmp_path / "folder.md").mkdir()
    before = set(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else set()
    for name, number in (
        ("link.md", errno.ELOOP),
        ("fifo.md", errno.EINVAL),
        ("folder.md", errno.EINVAL),
        ("none.md", errno.ENOENT),
    ):
        with pytest.raises(OSError) as caught:
            files.read_regular(tmp_path / name, 5)
        assert caught.value.errno == number, name
    with pytest.raises(OSError) as caught:
        files.read_regular(note, 4)
    assert caught.value.errno == errno.EFBIG
    if before:
        assert set(os.listdir("/dev/fd")) == before
    with pytest.raises(OSError):
        files.read_regular(Path("/dev/zero"), 10)

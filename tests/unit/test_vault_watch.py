"""The watcher says "look again", soon, once for a burst, and never for hidden files."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightdesk.errors import VaultUnavailable
from nightdesk.vault import files
from nightdesk.vault.watch import Signal, Watch

SOON = 10.0  # a deadline, not a wait
NEVER = 0.4


@pytest.fixture
def wake(tmp_path: Path) -> Iterator[Signal]:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".obsidian").mkdir()
    (tmp_path / "deep" / "there.md").write_text("old")
    flag = Signal()
    with Watch([tmp_path], flag):
        yield flag


def test_changes_raise_the_flag(tmp_path: Path, wake: Signal) -> None:
    note = tmp_path / "deep" / "er" / "new.md"
    for change in (
        lambda: note.write_text("x"),
        lambda: note.write_text("y"),
        lambda: files.exchange(note, b"z"),
        lambda: files.move(note, tmp_path / "moved.md"),
        lambda: files.create(tmp_path / "made" / "by agent.md", b"x"),
        (tmp_path / "moved.md").unlink,
        (tmp_path / "folder").mkdir,
    ):
        while wake.wait(0.3, quiet=0.1):
            pass  # what the last change still has to say
        change()
        assert wake.wait(SOON, quiet=0), change


def test_a_folder_made_later_is_watched_too(tmp_path: Path, wake: Signal) -> None:
    (tmp_path / "new" / "deep").mkdir(parents=True)
    while wake.wait(0.3, quiet=0.1):
        pass
    (tmp_path / "new" / "deep" / "x.md").write_text("x")
    assert wake.wait(SOON, quiet=0)


def test_many_new_folders_do_not_kill_the_watcher(tmp_path: Path, wake: Signal) -> None:
    # Folders that appear while they are being watched are met twice by watchdog.
    for n in range(100):
        (tmp_path / f"new{n}" / "deep").mkdir(parents=True)
        if n % 3 == 0:
            (tmp_path / f"new{n}" / "deep").rmdir()
    while wake.wait(0.3, quiet=0.1):
        pass
    (tmp_path / "new98" / "deep" / "x.md").write_text("x")
    assert wake.wait(SOON, quiet=0)


def test_hidden_files_and_reading_do_not(tmp_path: Path, wake: Signal) -> None:
    (tmp_path / ".obsidian" / "workspace.json").write_text("{}")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_text("x")
    while wake.wait(0.3, quiet=0.1):
        pass  # the folder that holds a new dot-folder has changed itself
    (tmp_path / ".git" / "index").write_text("y")
    (tmp_path / ".obsidian" / "workspace.json").write_text("[]")
    (tmp_path / "deep" / "there.md").read_text()
    list(tmp_path.rglob("*"))
    assert not wake.wait(NEVER)


def test_a_watched_folder_may_lie_below_another_ones_dot_path(tmp_path: Path) -> None:
    refs = tmp_path / "vault" / ".git" / "refs"
    refs.mkdir(parents=True)
    flag = Signal()
    with Watch([tmp_path / "vault", refs], flag):
        (refs / "main").write_text("x")
        assert flag.wait(SOON, quiet=0)
    hidden = Signal()
    (tmp_path / ".config").mkdir()
    with Watch([tmp_path / ".config"], hidden):  # a dot in the way to the folder hides nothing
        (tmp_path / ".config" / "x.md").write_text("x")
        assert hidden.wait(SOON, quiet=0)


def test_two_watches_have_their_own_flags(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Signal(), Signal()
    with Watch([tmp_path / "a"], one), Watch([tmp_path / "b"], two):
        (tmp_path / "b" / "x.md").write_text("x")
        assert two.wait(SOON, quiet=0)
        assert not one.wait(NEVER)


def test_a_burst_is_one_look() -> None:
    flag = Signal()

    def raise_for_a_while() -> None:
        stop = time.monotonic() + 0.6
        while time.monotonic() < stop:
            flag.set()
            time.sleep(0.02)

    burst = threading.Thread(target=raise_for_a_while)
    burst.start()
    start = time.monotonic()
    assert flag.wait(SOON, quiet=0.3, at_most=30)
    waited = time.monotonic() - start
    burst.join()
    assert waited >= 0.6 + 0.2  # the last change plus the quiet
    assert not flag.wait(0.05)


def test_an_endless_stream_of_changes_does_not_starve_the_look() -> None:
    flag = Signal()
    stop = threading.Event()

    def stream() -> None:
        while not stop.is_set():
            flag.set()
            time.sleep(0.01)

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        start = time.monotonic()
        assert flag.wait(SOON, quiet=5, at_most=0.5)
        assert 0.4 < time.monotonic() - start < 4
    finally:
        stop.set()
        thread.join()


def test_several_raises_are_one_and_none_is_lost() -> None:
    flag = Signal()
    assert not flag.wait(0)
    assert not flag.wait(-1)
    for _ in range(1000):
        flag.set()
    assert flag.wait(0, quiet=0)
    assert not flag.wait(0)
    flag.set()
    assert flag.wait(0, quiet=0)


def test_a_signal_handler_may_raise_the_flag_at_any_moment() -> None:
    # With threading.Event the handler can wait for a lock that the interrupted wait holds.
    flag = Signal()
    before = signal.signal(signal.SIGALRM, lambda *_: flag.set())
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
    try:
        end = time.monotonic() + 1
        woken = 0
        while time.monotonic() < end:
            woken += flag.wait(0.01, quiet=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert woken > 50


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(VaultUnavailable) as caught,
        Watch([tmp_path / "unmounted"], Signal()),
    ):
        pass
    assert caught.value.where == str(tmp_path / "unmounted")
    assert caught.value.remedy


def test_too_many_watches_are_told_and_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch([tmp_path], Signal())

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(watch._observer, "start", full)
    with watch:
        assert "max_user_watches" in watch.problem

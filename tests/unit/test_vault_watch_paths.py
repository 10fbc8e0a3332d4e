"""The watcher tells which paths changed, all of them, or that it cannot tell."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers import Observer

from nightdesk.vault import files, watch
from nightdesk.vault.watch import Signal, Watch


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    folder = tmp_path / "vault"
    for name in (".git", "Notes/deep", ".obsidian"):
        (folder / name).mkdir(parents=True)
    (folder / "Notes/deep/there.md").write_text("old")
    return folder


@pytest.fixture
def watcher(vault: Path) -> Iterator[Watch]:
    with Watch([vault], Signal(), follow=vault) as made:
        assert made.take() is None, "what came before it was watched is not known"
        assert made.take() == frozenset()
        yield made


def test_what_was_done_before_the_question_is_in_the_answer(vault: Path, watcher: Watch) -> None:
    for number in range(50):  # no pause: the answer waits for its own mark in the stream
        path = vault / f"Notes/{number}.md"
        path.write_text("x")
        assert watcher.take() == {f"Notes/{number}.md"}
    files.exchange(vault / "Notes/1.md", b"new")
    assert watcher.take() == {"Notes/1.md"}
    files.move(vault / "Notes/1.md", vault / "moved.md")
    assert watcher.take() == {"Notes/1.md", "moved.md"}
    (vault / "moved.md").unlink()
    (vault / "Notes/2.md").chmod(0o600)
    assert watcher.take() == {"moved.md", "Notes/2.md"}
    assert not list((vault / ".git").iterdir())


def test_hidden_paths_are_not_told_but_the_ignore_file_is(vault: Path, watcher: Watch) -> None:
    (vault / ".obsidian/workspace.json").write_text("{}")
    (vault / ".git/index").write_text("x")
    (vault / "Notes/.x.md").write_text("x")
    (vault / ".gitignore").write_text("x")
    assert watcher.take() == {".gitignore"}


def test_folders_that_come_go_and_move(vault: Path, watcher: Watch, tmp_path: Path) -> None:
    made = vault / "made/very/deep"
    made.mkdir(parents=True)
    (made / "x.md").write_text("x")
    told = watcher.take()
    assert told is not None
    assert "made" in told
    (made / "y.md").write_text("y")  # a folder made later is watched too
    assert watcher.take() == {"made/very/deep/y.md"}
    (vault / "Notes").rename(vault / "Renamed")
    told = watcher.take()
    assert told is not None
    assert {"Notes", "Renamed"} <= told
    (vault / "Renamed/deep/there.md").write_text("new")
    assert watcher.take() == {"Renamed/deep/there.md"}
    shutil.move(vault / "Renamed", tmp_path / "outside")
    assert "Renamed" in (watcher.take() or ())
    shutil.move(tmp_path / "outside", vault / "Back")
    assert "Back" in (watcher.take() or ())
    (vault / "Back/deep/there.md").write_text("again")
    assert watcher.take() == {"Back/deep/there.md"}


def test_an_overflow_of_the_kernels_queue_is_anywhere(vault: Path, watcher: Watch) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 40_000:
        pytest.skip(f"the queue holds {limit} events here: too many to fill in a test")
    reader = watcher._observer._inotify_fd  # the one way to hold the reading thread up
    with reader._lock:
        (vault / "Notes/first.md").touch()
        for _ in range(limit // 3):
            for name in ("a", "b"):
                (vault / "Notes" / name).touch()
                (vault / "Notes" / name).unlink()
        (vault / "Notes/last.md").touch()
    while watcher.signal.wait(1.0, quiet=0.3):
        pass  # until the queue is empty, so that the mark itself comes through
    assert watcher.take() is None
    (vault / "Notes/after.md").write_text("x")
    assert "Notes/after.md" in (watcher.take() or {"Notes/after.md"})
    (vault / "Notes/deep/there.md").write_text("x")
    assert watcher.take() == {"Notes/deep/there.md"}


def test_a_watcher_that_lags_says_anywhere(
    vault: Path, watcher: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_COOKIE_SECONDS", 0.2)
    stuck = threading.Event()
    real = watcher._collect

    def slow(*arguments: object) -> None:
        stuck.wait(10)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(watcher, "_collect", slow)
    (vault / "Notes/late.md").write_text("x")
    assert watcher.take() is None
    stuck.set()
    monkeypatch.setattr(watch, "_COOKIE_SECONDS", 5)
    assert watcher.take() == {"Notes/late.md"}, "the late event comes with the next answer"


def test_a_vault_that_was_mounted_again_is_watched_again(
    vault: Path, watcher: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_COOKIE_SECONDS", 0.3)
    vault.rename(vault.with_name("gone"))
    shutil.copytree(vault.with_name("gone"), vault)
    assert [watcher.take(), watcher.take()] == [None, None]
    monkeypatch.setattr(watch, "_COOKIE_SECONDS", 5)
    watcher.take()
    (vault / "Notes/deep/there.md").write_text("new")
    assert watcher.take() == {"Notes/deep/there.md"}


def test_very_many_paths_are_anywhere(
    vault: Path, watcher: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST_PATHS", 10)
    for number in range(11):
        (vault / f"{number}.md").touch()
    assert watcher.take() is None
    assert watcher.take() == frozenset()


def test_folders_that_could_not_be_watched_are_a_problem(
    vault: Path, watcher: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """watchdog passes over them without a word; the next watch cannot be had either."""

    class Full(Observer):  # type: ignore[misc, valid-type]
        def start(self) -> None:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(watch, "Observer", Full)
    (vault / "new").mkdir()
    assert watcher.take() is None
    assert "max_user_watches" in watcher.problem
    assert watcher.take() is None


def test_a_folder_beside_that_begins_alike_is_not_followed(tmp_path: Path) -> None:
    for name in ("a", "ab"):
        (tmp_path / name).mkdir()
    with Watch([tmp_path / "a", tmp_path / "ab"], Signal(), follow=tmp_path / "a") as made:
        made.take()
        (tmp_path / "ab/x.md").touch()
        (tmp_path / "a/y.md").touch()
        assert made.take() == {"y.md"}

"""What a killed run left beside the notes: ours goes, a person's comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twovaults import Desk

from nightdesk.vault.layout import conflict_name
from nightdesk.vault.temporary import TEMPORARY_PREFIX, part_of, read_name, whole_of

OLD, NEW, TYPED = b"old\n", b"new\n", b"typed by a person\n"


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(path: Path, data: bytes, *, pid: int | None = None) -> Path:
    """A temporary file whose process is over."""
    name = path.name.replace(f"-{os.getpid()}-", f"-{dead_pid() if pid is None else pid}-", 1)
    file = path.with_name(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_our_own_bytes_go_whatever_the_moment(desk: Desk) -> None:
    note = desk.local.vault / "Notes/n.md"
    desk.local.write("Notes/n.md", OLD)
    desk.settle()
    unknown = b"never committed anywhere\n"
    files = [
        left(part_of(note), unknown[:5]),  # killed while writing
        left(whole_of(note, unknown, OLD), unknown),  # before the swap
        left(whole_of(note, unknown, b"was there"), b"was there"),  # after it
    ]
    desk.local.open()
    assert desk.local.sync().conflicts == ()
    assert not any(file.exists() for file in files)
    assert desk.local.read("Notes/n.md") == OLD


def test_a_persons_only_copy_becomes_a_conflict_copy_that_syncs(desk: Desk) -> None:
    note = desk.local.vault / "Notes/n.md"
    desk.local.write("Notes/n.md", OLD)
    desk.settle()
    file = left(whole_of(note, NEW, OLD), TYPED)
    desk.local.open()
    copy = conflict_name("Notes/n.md", TYPED)
    assert desk.local.sync().conflicts == (copy,)
    assert not file.exists()
    assert desk.local.read(copy) == TYPED
    assert copy in desk.hub_files()


def test_bytes_that_are_safe_elsewhere_are_not_doubled(desk: Desk) -> None:
    note = desk.local.vault / "Notes/n.md"
    for text in (TYPED, OLD):  # a version of the hub's history
        desk.local.write("Notes/n.md", text)
        desk.settle()
    file = left(whole_of(note, NEW, OLD), TYPED)
    desk.local.open()
    assert desk.local.sync().conflicts == ()
    assert not file.exists()


def test_an_object_that_no_ref_reaches_is_not_safe(desk: Desk) -> None:
    desk.settle()
    note = desk.local.vault / "Notes/n.md"
    subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        cwd=desk.local.vault, input=TYPED, check=True, capture_output=True,
    )  # fmt: skip
    left(whole_of(note, NEW, OLD), TYPED)
    desk.local.open()
    assert desk.local.sync().conflicts == (conflict_name("Notes/n.md", TYPED),)


def test_what_a_living_process_is_at_stays_until_it_is_over(desk: Desk) -> None:
    desk.settle()
    note = desk.local.vault / "Notes/n.md"
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        file = left(whole_of(note, NEW, OLD), TYPED, pid=process.pid)
        desk.local.open()
        desk.local.sync()
        assert file.exists()
    finally:
        process.communicate(b"\n")
    assert desk.local.sync().conflicts
    assert not file.exists()


def test_a_file_of_the_persons_that_looks_similar_stays(desk: Desk) -> None:
    desk.settle()
    mine = desk.local.vault / "Notes" / f"{TEMPORARY_PREFIX}plan.md"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(TYPED)
    desk.local.open()
    desk.local.sync()
    assert mine.read_bytes() == TYPED


def test_names_of_any_length_and_kind_come_back(tmp_path: Path) -> None:
    for name in ("n.md", "ü" * 120 + ".md", "a-b-c.tmp", "x" * 255, "no\nline.md"):
        made = whole_of(tmp_path / name, NEW, None)
        assert len(os.fsencode(made.name)) <= 255
        found = read_name(made.name)
        assert found
        assert name.startswith(found.note[:20])
        assert found.note.endswith(name[-3:])
        assert found.is_ours(NEW)
        assert not found.is_ours(OLD)

"""Inbox/: whatever is dropped becomes a task, and nothing is lost on the way."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nightdesk.local_agent.inbox import take_in
from nightdesk.vault.documents import read_task
from nightdesk.vault.scan import notes_in


def drop(vault: Path, name: str, data: bytes, *, age: float = 60) -> Path:
    file = vault / "Inbox" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    then = time.time() - age
    os.utime(file, (then, then))
    return file


def test_a_note_in_plain_words_becomes_a_general_task_untouched(tmp_path: Path) -> None:
    """Its bytes stay, its new name is an id, its zone is general."""
    file = drop(tmp_path, "Idee für Köln.md", b"Frag Ada.\r\n")
    [path], problems, _ = take_in(tmp_path)
    assert not problems
    assert not file.exists()
    assert path.startswith("Needs_Action/general/")
    assert (tmp_path / path).read_bytes() == b"Frag Ada.\r\n"
    task = read_task((tmp_path / path).read_bytes(), path)
    assert (task.zone, task.id) == ("general", Path(path).stem)


def test_the_same_name_dropped_twice_makes_two_tasks(tmp_path: Path) -> None:
    """`todo.md` may be used again and again."""
    drop(tmp_path, "todo.md", b"one", age=90)
    take_in(tmp_path)
    drop(tmp_path, "todo.md", b"one", age=60)
    take_in(tmp_path)
    assert len(notes_in(tmp_path, "Needs_Action")) == 2


def test_another_kind_of_file_moves_to_attachments_with_a_task(tmp_path: Path) -> None:
    """A PDF keeps its bytes; the task names it; a second one of that name keeps its own."""
    drop(tmp_path, "bill.pdf", b"%PDF-1")
    take_in(tmp_path)
    drop(tmp_path, "bill.pdf", b"%PDF-2", age=50)
    take_in(tmp_path)
    kept = {f.read_bytes() for f in (tmp_path / "Attachments").iterdir()}
    assert kept == {b"%PDF-1", b"%PDF-2"}
    tasks = [(tmp_path / p.path).read_text() for p in notes_in(tmp_path, "Needs_Action")]
    assert len(tasks) == 2
    assert all("bill" in text for text in tasks)


def test_a_file_that_was_just_saved_waits(tmp_path: Path) -> None:
    """A half-typed note is not taken; the loop learns when to look again."""
    file = drop(tmp_path, "new.md", b"half a sen", age=0)
    made, _, soonest = take_in(tmp_path)
    assert made == []
    assert file.exists()
    assert soonest is not None
    assert 0 < soonest <= 2


def test_an_empty_note_waits_and_a_broken_one_is_reported(tmp_path: Path) -> None:
    """Neither is lost."""
    empty = drop(tmp_path, "Untitled.md", b"")
    broken = drop(tmp_path, "broken.md", b"---\na: [\n---\nx")
    made, problems, _ = take_in(tmp_path)
    assert made == []
    assert [p.where for p in problems] == ["Inbox/broken.md"]
    assert empty.exists()
    assert broken.exists()


def test_a_zone_in_the_properties_is_followed(tmp_path: Path) -> None:
    """A dropped note may say where it belongs, and a subfolder of Inbox/ is fine."""
    drop(tmp_path, "sub/pay.md", b"---\nzone: payments\n---\nPay the rent\n")
    [path], _, _ = take_in(tmp_path)
    assert path.startswith("Needs_Action/payments/")


def test_hidden_files_and_links_are_left_alone(tmp_path: Path) -> None:
    """Only ordinary, visible files are taken."""
    drop(tmp_path, ".DS_Store", b"x")
    (tmp_path / "Inbox" / "link.md").symlink_to("/etc/hostname")
    assert take_in(tmp_path)[0] == []
    assert (tmp_path / "Inbox" / "link.md").is_symlink()

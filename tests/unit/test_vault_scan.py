"""Looking into folders: every note is found, and nothing else."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightdesk.errors import NoteError, VaultUnavailable
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.updates import Update, read_update, write_update


def put(vault: Path, path: str, text: str = "x") -> None:
    (vault / path).parent.mkdir(parents=True, exist_ok=True)
    (vault / path).write_text(text)


def test_notes_are_found_at_any_depth_in_the_order_of_their_names(tmp_path: Path) -> None:
    for path in ("b.md", "email/a.md", "email/deep/er/c.md", "Grüße 😀.md"):
        put(tmp_path, f"Needs_Action/{path}")
    found = [place.path for place in notes_in(tmp_path, Folder.NEEDS_ACTION)]
    assert found == [
        "Needs_Action/Grüße 😀.md",
        "Needs_Action/email/a.md",
        "Needs_Action/b.md",
        "Needs_Action/email/deep/er/c.md",
    ]


def test_what_is_no_note_is_not_listed(tmp_path: Path) -> None:
    put(tmp_path, "Needs_Action/note.md")
    put(tmp_path, "outside/secret.md")
    for other in (
        ".hidden.md", ".trash/x.md", "x.txt", "x.MD.tmp", "x.conflict-0a1b2c3d.md",
        ".nightdesk-abc.tmp",
    ):  # fmt: skip
        put(tmp_path, f"Needs_Action/{other}")
    (tmp_path / "Needs_Action" / "link.md").symlink_to(tmp_path / "outside/secret.md")
    (tmp_path / "Needs_Action" / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "Needs_Action" / "folder.md").mkdir()
    os.mkfifo(tmp_path / "Needs_Action" / "fifo.md")
    assert [place.name for place in notes_in(tmp_path, "Needs_Action")] == ["note.md"]


def test_a_missing_folder_holds_nothing(tmp_path: Path) -> None:
    assert notes_in(tmp_path, Folder.APPROVED) == []
    (tmp_path / "Approved").write_text("a file")
    assert notes_in(tmp_path, Folder.APPROVED) == []


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "Approved/a/x.md")
    real = os.scandir

    def closed(path: Path) -> object:
        # Permissions do not stop root, and tests may run as root.
        if path.name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(VaultUnavailable) as caught:
        notes_in(tmp_path, Folder.APPROVED)
    assert caught.value.where == "Approved/a"


def test_folders_may_be_very_deep_and_names_undecodable(tmp_path: Path) -> None:
    depth = 1200
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for name in ["Inbox", *("d" for _ in range(depth))]:
            os.mkdir(name, dir_fd=here)
            deeper = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
    finally:
        os.close(here)
    (tmp_path / "Inbox" / os.fsdecode(b"bad\xff.md")).write_text("x")
    try:
        assert [place.stem for place in notes_in(tmp_path, Folder.INBOX)] == ["bad\udcff"]
    finally:
        # Python's own rmtree, which clears old temporary folders, gives up at such a depth.
        subprocess.run(["rm", "-r", str(tmp_path / "Inbox")], check=True)


def test_read_says_why_it_cannot(tmp_path: Path) -> None:
    put(tmp_path, "Inbox/x.md", "text")
    assert read(tmp_path, "Inbox/x.md") == b"text"
    with pytest.raises(FileNotFoundError):
        read(tmp_path, "Inbox/gone.md")
    (tmp_path / "Inbox/big.md").write_bytes(b"x" * (MAX_NOTE_BYTES + 1))
    (tmp_path / "Inbox/link.md").symlink_to("x.md")
    os.mkfifo(tmp_path / "Inbox/fifo.md")
    for name, what in (("big", "256 KiB"), ("link", "is a link"), ("fifo", "ordinary")):
        with pytest.raises(NoteError) as caught:
            read(tmp_path, f"Inbox/{name}.md")
        assert what in caught.value.what
        assert (caught.value.where, bool(caught.value.remedy)) == (f"Inbox/{name}.md", True)


@pytest.mark.requirement("FR-005")
def test_an_update_is_a_note_in_updates_and_told_once(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    update = Update("t-update", "cloud", moment, "Drafted [[t-email-1]]", problem=True, task="t")
    write_update(tmp_path, update)
    write_update(tmp_path, Update("t-update", "cloud", moment, "again"))
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.md")] == [
        "Updates/t-update.md"
    ]
    assert read_update(read(tmp_path, "Updates/t-update.md"), "Updates/t-update.md") == update
    with pytest.raises(NoteError):
        read_update(b"my own note", "Updates/mine.md")

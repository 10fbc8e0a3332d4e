"""Attachments: what is sent are the bytes that the card showed and that were approved."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_laptop import APPROVED, CARD, DONE, PENDING, Laptop, task_note

from nightdesk.errors import NotSent
from nightdesk.vault.actions import EmailSend, files_in
from nightdesk.vault.attached import Attached, Attachment, attached, fetch, keep

PDF, OTHER = b"%PDF the contract", b"%PDF another contract"
PATH = "Attachments/contract.pdf"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    made = Laptop(tmp_path, hold=5)
    made.write(PATH, PDF)
    made.task()
    return made


def sent(laptop: Laptop) -> list[tuple[str, bytes]]:
    """The files of the one call, as its server would take them."""
    ((_, arguments, _),) = laptop.ledger
    files = [Attached.model_validate(file) for file in arguments["attachments"]]
    return [(file.name, fetch(laptop.state, file)) for file in files]


def approve(laptop: Laptop) -> None:
    laptop.move(PENDING, APPROVED)
    laptop.executor.pass_once()


def replace(laptop: Laptop, data: bytes) -> None:
    (laptop.vault / "new").write_bytes(data)
    os.replace(laptop.vault / "new", laptop.vault / PATH)


def test_the_card_shows_its_files_and_the_approved_bytes_are_sent(laptop: Laptop) -> None:
    laptop.write("Attachments/scans/page 1.png", b"png")
    laptop.card(attachments=[PATH, "Attachments/scans/page 1.png"])
    lines = laptop.read(PENDING).split("\n")
    shown = f"> [!info] Attachment: `{PATH}`, 17 bytes, application/pdf, sha256 `{sha(PDF)}`"
    assert shown in lines
    assert f"3 bytes, image/png, sha256 `{sha(b'png')}`" in laptop.read(PENDING)
    approve(laptop)
    replace(laptop, OTHER)  # during the hold
    (laptop.vault / "Attachments/scans/page 1.png").unlink()
    copies = laptop.state / "attachments"
    assert copies.stat().st_mode & 0o077 == 0
    assert all(copy.stat().st_mode & 0o077 == 0 for copy in copies.iterdir())

    def answer(arguments: dict[str, Any]) -> dict[str, Any]:
        assert sent(laptop) == [("contract.pdf", PDF), ("page 1.png", b"png")]
        return {"outcome": "accepted", "recipients": {"ada@example.com": {"outcome": "accepted"}}}

    laptop.answer = answer
    laptop.later(5)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1
    assert laptop.state_of() == "DONE"
    row = laptop.journal.get(CARD)
    assert row is not None
    assert row.digest == sha(row.canonical.encode())
    assert [file.sha256 for file in files_in(row.canonical)] == [sha(PDF), sha(b"png")]
    for note in (DONE, "Logs/2026-11-23.md"):
        assert f"- Attachment: `contract.pdf`, 17 bytes, sha256 `{sha(PDF)}`" in laptop.read(note)
    laptop.executor.pass_once()
    assert list(copies.iterdir()) == []


def test_the_digest_covers_name_hash_and_size() -> None:
    action = EmailSend(to=["ada@example.com"], body="b", attachments=[PATH])
    one = attached(PATH, PDF)
    assert action.digest() != action.digest([one])
    for change in ({"name": "x.pdf"}, {"sha256": sha(OTHER)}, {"size": 18}):
        assert action.digest([one]) != action.digest([one.model_copy(update=change)])
    assert action.arguments([one])["attachments"] == [one.model_dump()]
    assert files_in(action.canonical([one])) == (one,)
    assert files_in(action.canonical()) == files_in("") == ()


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("Elsewhere"))
    path.parent.symlink_to(path.parent.with_name("Elsewhere"))


def _second_name(path: Path) -> None:
    os.link(path, path.with_name("second"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other(path: Path) -> None:
    path.write_bytes(OTHER)


def _large(path: Path) -> None:
    os.truncate(path, 10 * 1024 * 1024 + 1)


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (Path.unlink, "is not there"),
    "changed": (_other, "not the file that the card showed"),
    "a link": (_link, "cannot be opened as an ordinary file"),
    "in a linked folder": (_linked_folder, "cannot be opened as an ordinary file"),
    "with a second name": (_second_name, "has a second name"),
    "a pipe": (_pipe, "is not an ordinary file"),
    "a folder": (_folder, "is not an ordinary file"),
    "too large": (_large, "is larger than 10 MiB"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_sends_the_card_back(laptop: Laptop, name: str) -> None:
    change, why = ODD[name]
    laptop.card(attachments=[PATH])
    change(laptop.vault / PATH)
    approve(laptop)
    laptop.later(10)
    laptop.executor.pass_once()
    assert laptop.ledger == []
    assert laptop.state_of() == "CARDED"
    head = laptop.read(PENDING).partition("# Draft")[0]
    assert f"> [!failure] the attachment '{PATH}'" in head
    assert why in head
    assert head.count("Attachment: ") == 1  # shown as it is now
    if name == "changed":
        assert sha(OTHER) in head
        assert sha(PDF) not in head
        approve(laptop)
        laptop.later(5)
        assert (laptop.state / "attachments" / sha(OTHER)).read_bytes() == OTHER
        laptop.executor.pass_once()
        assert [f["sha256"] for f in laptop.ledger[0][1]["attachments"]] == [sha(OTHER)]
    else:
        assert f"> [!warning] Attachment: `{PATH}` cannot be sent: " in head


def test_a_missing_file_is_told_at_review_and_shown_before_it_goes(laptop: Laptop) -> None:
    (laptop.vault / PATH).unlink()
    laptop.card(attachments=[PATH])
    assert "is not there" in laptop.read(PENDING)
    laptop.write(PATH, PDF)
    laptop.reviewer.adopt_pending()  # the next pass of the agent
    assert f"sha256 `{sha(PDF)}`" in laptop.read(PENDING)
    assert "is not there" not in laptop.read(PENDING)
    (laptop.vault / PATH).unlink()
    laptop.reviewer.adopt_pending()
    laptop.edit(PENDING, "we paid yesterday", "we paid today")  # from now on it is the person's
    laptop.write(PATH, OTHER)
    laptop.reviewer.adopt_pending()
    assert "is not there" in laptop.read(PENDING)
    approve(laptop)
    assert laptop.state_of() == "CARDED"  # never shown, so shown first
    assert f"sha256 `{sha(OTHER)}`" in laptop.read(PENDING)
    approve(laptop)
    assert laptop.state_of() == "APPROVED"


def test_a_file_that_the_person_adds_goes_as_it_is(laptop: Laptop) -> None:
    laptop.card()
    laptop.edit(PENDING, "created_by:", f'attachments: "[[{PATH}]]"\ncreated_by:')
    approve(laptop)
    laptop.later(5)
    laptop.executor.pass_once()
    assert [file["sha256"] for file in laptop.ledger[0][1]["attachments"]] == [sha(PDF)]


def test_more_than_25_mib_in_all_is_told_and_not_sent(laptop: Laptop) -> None:
    paths = [f"Attachments/{n}.bin" for n in range(3)]
    for path in paths:
        laptop.write(path, b"")
        os.truncate(laptop.vault / path, 9 * 1024 * 1024)
    laptop.card(attachments=paths)
    assert "more than 25 MiB" in laptop.read(PENDING)
    approve(laptop)
    laptop.later(5)
    laptop.executor.pass_once()
    assert laptop.ledger == []
    assert "[!failure] the attachments are 27.0 MiB in all" in laptop.read(PENDING)


@pytest.mark.parametrize("damage", ["gone", "other bytes"])
def test_a_damaged_private_copy_is_not_sent_and_heals(laptop: Laptop, damage: str) -> None:
    laptop.card(attachments=[PATH])
    approve(laptop)
    copy = laptop.state / "attachments" / sha(PDF)
    if damage == "gone":
        copy.unlink()
    else:
        copy.write_bytes(OTHER)
    laptop.later(5)
    laptop.executor.pass_once()
    assert laptop.ledger == []
    assert "private copy of the attachment" in laptop.read(PENDING)
    approve(laptop)
    laptop.later(5)
    laptop.executor.pass_once()
    assert len(laptop.ledger) == 1


def test_a_kept_copy_that_is_wrong_is_made_anew(tmp_path: Path) -> None:
    keep(tmp_path, PDF)
    (tmp_path / "attachments" / sha(PDF)).write_bytes(OTHER)
    with pytest.raises(NotSent, match="not what was approved"):
        fetch(tmp_path, attached(PATH, PDF))
    keep(tmp_path, PDF)
    assert fetch(tmp_path, attached(PATH, PDF)) == PDF


@pytest.mark.parametrize("how", ["renamed over", "written in place"])
def test_a_swap_race_never_sends_what_was_not_shown(tmp_path: Path, how: str) -> None:
    """A thread swaps the file all the time; what is sent has the hash that the card showed."""
    laptop = Laptop(tmp_path)
    shown = [bytes([65 + n]) * 60_000 for n in range(2)]
    laptop.write(PATH, shown[0])
    ended = threading.Event()
    swaps = [0]

    def swap() -> None:
        target, new = laptop.vault / PATH, laptop.vault / ".new"
        while not ended.wait(0.001):
            swaps[0] += 1
            data = shown[swaps[0] % 2]
            if how == "renamed over":
                new.write_bytes(data)
                os.replace(new, target)
            else:
                with target.open("r+b") as file:
                    file.write(data)

    thread = threading.Thread(target=swap)
    thread.start()
    taken: list[bytes] = []

    def answer(arguments: dict[str, Any]) -> dict[str, Any]:
        taken.append(sent(laptop)[0][1])
        laptop.ledger.clear()
        return {"outcome": "accepted", "recipients": {"ada@example.com": {"outcome": "accepted"}}}

    laptop.answer = answer
    went = back = 0
    try:
        for number in range(25):
            task = f"2026-11-23-race-{number:06x}"
            card = f"{task}-email-1"
            laptop.write(f"In_Progress/cloud/{task}.md", task_note(task))
            path = laptop.card(card, task, attachments=[PATH])
            head = laptop.read(path).partition("# Draft")[0]
            laptop.move(path, path.replace("Pending_Approval", "Approved"))
            laptop.executor.pass_once()
            if laptop.state_of(card) == "DONE":
                went += 1
                assert sha(taken[-1]) in head
                assert taken[-1] in shown or how == "written in place"
            else:
                back += 1
                assert laptop.state_of(card) == "CARDED"
        assert len(taken) == went
    finally:
        ended.set()
        thread.join()
    assert went
    assert back
    assert swaps[0] > 25


def test_reading_waits_for_a_still_moment(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    with Attachment(laptop.vault, PATH) as file:
        assert file.read() == PDF
        whole = Attachment._bytes
        turns = iter(range(100))

        def torn(self: Attachment) -> bytes:
            return whole(self) + (b"x" if next(turns) % 2 else b"")

        monkeypatch.setattr(Attachment, "_bytes", torn)
        with pytest.raises(NotSent, match="being written"):
            file.read()

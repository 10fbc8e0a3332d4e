"""The known pitfalls of git as a sync tool, by their numbers: what two sides do to one note.

The numbers are those of the list that `test_pitfalls_git.py` checks for completeness.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from twovaults import Desk, Side

from nightdesk.vault.layout import conflict_name, is_conflict_copy

MARKERS = (b"<<<<<<<", b">>>>>>>", b"|||||||")


def task(name: str, text: str = "do it\n", head: str = "") -> str:
    return f'---\n{head}id: "{name}"\n---\n{text}'


def same(desk: Desk) -> Mapping[str, bytes]:
    """Settle, see that both disks and the hub hold the same, and return it."""
    desk.settle()
    files = desk.local.files()
    assert files == desk.cloud.files()
    assert files.keys() == desk.hub_files()
    return files


def places(files: Mapping[str, bytes], name: str) -> list[str]:
    """Where the note of an id lies, conflict copies left out."""
    return [p for p in files if Path(p).stem == name and not is_conflict_copy(p)]


@pytest.mark.requirement("EDGE.2", "FR-006")
def test_01_both_claim_one_task_by_a_rename(desk: Desk) -> None:
    for name in ("unedited", "edited"):
        desk.local.write(f"Needs_Action/general/{name}.md", task(name))
    desk.settle()
    for side in (desk.local, desk.cloud):
        for name in ("unedited", "edited"):
            side.move(f"Needs_Action/general/{name}.md", f"In_Progress/{side.role}/{name}.md")
        head = f'claimed_by: "{side.role}"\n'
        side.write(f"In_Progress/{side.role}/edited.md", task("edited", head=head))
    desk.cloud.sync()
    desk.local.sync()
    files = same(desk)
    for name in ("unedited", "edited"):
        [owner] = places(files, name)
        assert owner.startswith("In_Progress/")


def test_02_a_folder_emptied_while_a_file_is_added_to_it(desk: Desk) -> None:
    for n in range(3):
        desk.cloud.write(f"Pending_Approval/email/c{n}.md", task(f"c{n}"))
    desk.settle()
    for n in range(3):
        desk.local.move(f"Pending_Approval/email/c{n}.md", f"Approved/c{n}.md")
    desk.cloud.write("Pending_Approval/email/new.md", task("new"))
    desk.cloud.sync()
    files = same(desk)
    assert sorted(os.listdir(desk.local.vault / "Approved")) == ["c0.md", "c1.md", "c2.md"]
    assert places(files, "new") == ["Pending_Approval/email/new.md"]


def test_03_a_note_deleted_here_another_like_it_added_and_the_first_edited_there(
    devices: Desk,
) -> None:
    template = "".join(f"- [ ] step {n} of the template\n" for n in range(30))
    devices.local.write("Notes/n1.md", template)
    devices.settle()
    (devices.local.vault / "Notes/n1.md").unlink()
    devices.local.write("Notes/n2.md", template)
    devices.cloud.write("Notes/n1.md", template + "my own line\n")
    devices.cloud.sync()
    files = same(devices)
    assert files["Notes/n1.md"] == (template + "my own line\n").encode()
    assert files["Notes/n2.md"] == template.encode(), "an edit landed in another note"


def test_04_an_edit_while_the_note_is_claimed_follows_it(desk: Desk) -> None:
    desk.local.write("Needs_Action/general/t.md", task("t"))
    desk.settle()
    assert desk.cloud.engine.claim(["Needs_Action/general/t.md"])
    desk.local.write("Needs_Action/general/t.md", task("t", "do it today\n"))
    desk.local.sync()
    files = same(desk)
    assert places(files, "t") == ["In_Progress/cloud/t.md"]
    assert b"today" in files["In_Progress/cloud/t.md"]


def test_05_an_edit_beats_a_removal(devices: Desk) -> None:
    for first, name in ((devices.local, "a"), (devices.cloud, "b")):
        paths = [f"Notes/{name}.md", f"Needs_Action/general/{name}.md"]
        for path in paths:
            devices.local.write(path, task(name, "one\n"))
        devices.settle()
        for path in paths:
            (devices.local.vault / path).unlink()
            devices.cloud.write(path, task(name, "two\n"))
        first.sync()
        files = same(devices)
        assert [files[path] for path in paths] == [task(name, "two\n").encode()] * 2


def test_06_both_add_a_note_of_one_name(devices: Desk) -> None:
    devices.local.write("Notes/n.md", "the laptop's\n")
    devices.cloud.write("Notes/n.md", "the other's\n")
    devices.local.write("Notes/same.md", "same\n")
    devices.cloud.write("Notes/same.md", "same\n")
    devices.cloud.sync()
    files = same(devices)
    notes = {path: data for path, data in files.items() if path.startswith("Notes/n")}
    assert sorted(notes.values()) == [b"the laptop's\n", b"the other's\n"]
    [copy] = [path for path in notes if path != "Notes/n.md"]
    assert copy == conflict_name("Notes/n.md", notes[copy])
    assert [path for path in files if "same" in path] == ["Notes/same.md"]


TEXTS = {
    "a line": ("one\ntwo\nthree\n", "one\nLAPTOP\nthree\n", "one\nOTHER\nthree\n"),
    "no newline at the end": ("one", "one laptop", "one other"),
    "both append": ("one\n", "one\nlaptop\n", "one\nother\n"),
    "a property": (task("x", head="a: 1\n"), task("x", head="a: 2\n"), task("x", head="a: 3\n")),
    "emptied and edited": ("one\n", "", "one\ntwo\n"),
    "line ends": ("one\ntwo\n", "one\r\ntwo\r\n", "one\nTWO\n"),
    "bytes": ("one\n", "\x00\x01laptop", "\x00\x01other"),
}


def test_07_no_marker_ever_wherever_both_edit_one_line(devices: Desk) -> None:
    quoted = "This is how git shows it:\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n"
    devices.local.write("Notes/quoted.txt", "see below\n")
    for name, (base, _, _) in TEXTS.items():
        devices.local.write(f"Notes/{name}.md", base)
    devices.settle()
    for name, (_, ours, theirs) in TEXTS.items():
        devices.local.write(f"Notes/{name}.md", ours)
        devices.cloud.write(f"Notes/{name}.md", theirs)
    devices.cloud.sync()
    files = same(devices)
    assert not [m for m in MARKERS if m in devices.hub_bytes()]
    for name, (_, ours, theirs) in TEXTS.items():
        held = {data for path, data in files.items() if path.startswith(f"Notes/{name}")}
        assert held == {ours.encode(), theirs.encode()}, name
    devices.local.write("Notes/quoted.txt", quoted)
    assert same(devices)["Notes/quoted.txt"] == quoted.encode(), "a person may write of markers"


def test_08_a_conflict_of_a_conflict_is_the_same_on_both_sides(devices: Desk) -> None:
    devices.local.write("Notes/n.md", "base\n")
    devices.settle()
    written = []
    for turn in range(2):
        notes = [path for path in devices.local.files() if path.startswith("Notes/")]
        for side in (devices.local, devices.cloud):
            for path in notes:
                text = f"{side.role} {turn} {path}\n"
                side.write(path, text)
                written.append(text.encode())
        devices.cloud.sync()
        same(devices)
    files = same(devices)
    assert set(written[-4:]) <= set(files.values())
    assert all(path.count(".conflict-") <= 1 for path in files), "names of copies grow"
    tip = devices.git("rev-parse", "main")
    same(devices)
    assert devices.git("rev-parse", "main") == tip, "it comes to rest"


def test_21_line_ends_and_other_bytes_come_back_exactly(devices: Desk) -> None:
    for side in (devices.local, devices.cloud):
        for key, value in (("core.autocrlf", "true"), ("core.eol", "crlf")):
            devices.git("config", key, value, cwd=side.vault)
    notes = {
        "Notes/crlf.md": b"one\r\ntwo\r\n" * 20,
        "Notes/mixed.md": b"one\r\ntwo\nthree\r\rfour",
        "Notes/bom.md": b"\xef\xbb\xbfone\r\n",
        "Notes/utf16.md": "zwei\r\n".encode("utf-16"),
        "Notes/zero.md": b"a\0b\r\n",
    }
    for path, data in notes.items():
        devices.local.write(path, data)
    files = same(devices)
    assert {path: files[path] for path in notes} == notes
    # Two edits that go together keep every other line end.
    lines = notes["Notes/crlf.md"]
    devices.local.write("Notes/crlf.md", b"ONE\r\n" + lines[5:])
    devices.cloud.write("Notes/crlf.md", lines[:-5] + b"TWO\r\n")
    devices.cloud.sync()
    assert same(devices)["Notes/crlf.md"] == b"ONE\r\n" + lines[5:-5] + b"TWO\r\n"


BAD_NAMES = (
    "Notes/cafe\u0301.md", "Notes/CON.md", "Notes/nul", "Notes/lpt1.txt", "Notes/dot..",
    "Notes/space ", "Notes/a:b.md", "Notes/a\\b.md", "Notes/\u202eevil.md", "Notes/q?.md",
    "Notes/tab\t.md",
)  # fmt: skip


def test_22_names_that_not_every_disk_takes(devices: Desk) -> None:
    refused = list(BAD_NAMES)
    kept = ["Notes/caf\u00e9.md", "Notes/Task.md", "Notes/task.md", "Notes/console.md"]
    for number, path in enumerate([*refused, *kept]):
        devices.local.write(path, f"{number}\n")
    report = devices.local.sync()
    assert {held.path for held in report.held_back} == set(refused)
    files = same_but(devices, refused)
    assert set(kept) <= files.keys()
    # A conflict over a name of the full length finds a shorter one for its copy.
    long = "Notes/" + "ä" * 126 + ".md"
    for side in (devices.local, devices.cloud):
        side.write(long, f"by {side.role}\n")
    devices.cloud.sync()
    files = same_but(devices, refused)
    copies = [p for p in files if is_conflict_copy(p)]
    assert len(copies) == 1
    assert len(Path(copies[0]).name.encode()) <= 255
    assert {files[long], files[copies[0]]} == {b"by local\n", b"by cloud\n"}


def same_but(desk: Desk, only_here: list[str]) -> Mapping[str, bytes]:
    desk.settle()
    files = {p: d for p, d in desk.local.files().items() if p not in only_here}
    assert files == desk.cloud.files()
    return files


def test_22_such_names_from_the_hub_reach_no_disk(desk: Desk) -> None:
    clone = desk.outsider()
    for path in BAD_NAMES:
        (clone / path).parent.mkdir(exist_ok=True)
        (clone / path).write_text("x")
    desk.git("-c", "core.protectNTFS=false", "add", "-f", ".", cwd=clone)
    desk.git("commit", "-qm", "names", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    desk.settle()
    for side in (desk.local, desk.cloud):
        assert not set(BAD_NAMES) & side.files().keys()
    assert not set(BAD_NAMES) & desk.hub_files()


SECRETS = (
    ".env", ".ENV.local", "sub/.Env", "wa.session", "WA.Session-journal", "banking/iban.md",
    "Banking/x/y.md", "token_gmail.JSON", "deploy.PEM", "id_ed25519",
)  # fmt: skip


@pytest.mark.requirement("FR-007")
def test_24_secrets_are_in_no_commit_by_no_detour(devices: Desk) -> None:
    secret = b"TOP-SECRET-VALUE"
    for path in SECRETS:
        devices.local.write(path, secret)
    devices.local.sync()
    # Renamed to such a name: the note leaves the hub, and its new bytes never come there.
    devices.local.write("Notes/list.md", "harmless\n")
    devices.local.write("Notes/more.md", "harmless too\n")
    devices.settle()
    devices.local.move("Notes/list.md", ".env.production")
    (devices.local.vault / ".env.production").write_bytes(secret)
    devices.local.move("Notes/more.md", "Notes/more.session")
    devices.settle()
    assert not {"Notes/list.md", "Notes/more.session", ".env.production"} & devices.hub_files()
    assert secret not in devices.hub_bytes()
    assert not set(SECRETS) & devices.ever_in_hub()
    assert devices.local.read(".env") == secret


@pytest.mark.requirement("FR-007")
def test_24_what_is_tracked_already_is_taken_out(desk: Desk) -> None:
    """By somebody's own git, also where a later commit took it away; what stands here stays."""
    secret = b"TOP-SECRET-VALUE"
    desk.local.write(".env", secret)
    desk.settle()
    clone = desk.outsider()
    (clone / ".env").write_bytes(b"X=1")
    (clone / "banking").mkdir()
    (clone / "banking/iban.md").write_bytes(b"X=2")
    desk.git("add", "-f", ".", cwd=clone)
    desk.git("commit", "-qm", "oops", cwd=clone)
    desk.git("rm", "-q", "banking/iban.md", cwd=clone)
    desk.git("commit", "-qm", "gone again", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    report = desk.local.sync()
    told = {refusal.path for refusal in report.refused}
    assert {".env", "banking/iban.md"} <= told, "also what a later commit took away"
    desk.settle()
    assert ".env" not in desk.hub_files()
    assert desk.local.read(".env") == secret
    assert not (desk.cloud.vault / ".env").exists()
    assert not (desk.cloud.vault / "banking").exists()
    assert secret not in desk.hub_bytes()


def test_32_the_churn_of_obsidians_own_files_is_no_change(desk: Desk) -> None:
    desk.settle()
    tip = desk.git("rev-parse", "main")
    for n in range(4):
        desk.local.write(".obsidian/workspace.json", f'{{"open": {n}}}')
        desk.local.write(".obsidian/workspace-mobile.json", f'{{"open": {n}}}')
        desk.local.write(".trash/old.md", f"{n}")
        report = desk.local.sync()
        assert not report.changed
        assert not report.held_back, "it is not worth a word either"
    assert desk.git("rev-parse", "main") == tip
    assert not desk.git("for-each-ref", "refs/nightdesk/snapshots", cwd=desk.local.vault)


def test_34_a_large_file_stays_and_holds_nothing_up(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.local.write("Attachments/film.mp4", b"")
    os.truncate(desk.local.vault / "Attachments/film.mp4", 33 << 20)
    report = desk.local.sync()
    assert [(h.path, "larger than" in h.reason) for h in report.held_back] == [
        ("Attachments/film.mp4", True)
    ]
    assert "Notes/a.md" in desk.hub_files()
    assert (desk.local.vault / "Attachments/film.mp4").stat().st_size == 33 << 20


def test_36_an_approved_text_is_not_changed_by_a_merge(devices: Desk) -> None:
    lines = [f"line {n}\n" for n in range(20)]
    devices.local.write("Pending_Approval/email/c.md", task("c", "".join(lines)))
    devices.settle()
    saw = task("c", "".join(["Dear Bob,\n", *lines[1:]]))
    devices.local.write("Pending_Approval/email/c.md", saw)
    devices.local.move("Pending_Approval/email/c.md", "Approved/c.md")
    # Far enough apart for any merge of text to call it clean.
    other = task("c", "".join([*lines[:-1], "mallory\n"]))
    devices.cloud.write("Pending_Approval/email/c.md", other)
    devices.cloud.sync()
    files = same(devices)
    assert files["Approved/c.md"] == saw.encode()
    assert places(files, "c") == ["Approved/c.md"]


@pytest.mark.requirement("US1.2")
def test_37_nothing_unapproved_lands_in_approved_by_a_fetch(desk: Desk) -> None:
    desk.cloud.write("Pending_Approval/email/c.md", task("c"))
    desk.settle()
    clone = desk.outsider()
    forge = (
        "mkdir Approved; git mv Pending_Approval/email/c.md Approved/c.md;"
        "printf x > Approved/new.md; mkdir approved; cp Approved/c.md approved/C.md;"
        "git add -A; git -c user.name=local -c user.email=local@nightdesk.invalid commit -qm move;"
        "git push -q"
    )
    subprocess.run(["sh", "-c", forge], cwd=clone, check=True, capture_output=True)
    report = desk.local.sync()
    assert {"Approved/c.md", "Approved/new.md"} <= {r.path for r in report.refused}
    desk.settle()
    for side in (desk.local, desk.cloud):
        check_no_approval(side)
    assert not [p for p in desk.hub_files() if p.casefold().startswith("approved/")]


def check_no_approval(side: Side) -> None:
    assert side.read("Pending_Approval/email/c.md") == task("c").encode()
    assert not [p for p in side.files() if p.casefold().startswith("approved/")]

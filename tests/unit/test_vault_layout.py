"""Names and paths: people name their notes as they like, and no name deceives or breaks."""

from __future__ import annotations

import os
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.policy import Zone
from nightdesk.vault.layout import (
    Folder,
    card_id,
    claim_path,
    conflict_name,
    done_path,
    fault_in_name,
    is_conflict_copy,
    place_of,
    slug,
    task_id,
    zone_path,
)

FAMILY = "👨\u200d👩\u200d👧 Familie.md"


@pytest.mark.parametrize(
    "name",
    [
        "a.md", "Rechnung Müller & Söhne (2026).md", "Straße.md", FAMILY, "❤️ ok.md", "日本.md",
        "می\u200cخواهم.md", "it's [ok] #1.md", "a.b.c.md", "no extension", "%PATH%.md", "-rf.md",
        "concert.md", "com10.md", "x" * 255, "ü" * 127, "🏠" * 63, "🫪 new.md", "~x", "$a;b&c",
    ],
)  # fmt: skip
def test_people_name_their_notes_as_they_like(name: str) -> None:
    assert fault_in_name(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "trick"), (".", "trick"), ("..", "trick"),
        (unicodedata.normalize("NFD", "Müller.md"), "normal form"),
        ("a\x00b", "control"), ("a\nb.md", "control"), ("a\x7f", "control"), ("a\x85b", "control"),
        ("invoice\u202efdp.md", "bidirectional"), ("a\u2066b", "bidirectional"), ("\u200fa", "bi"),
        ("a\u200bb.md", "invisible"), ("\ufeffa.md", "invisible"), ("a\u2028b", "invisible"),
        ("x\U000e0041y", "invisible"), ("x\ue000y", "invisible"), ("bad\udcff.md", "invisible"),
        ("a/b", "one of"), ("a\\b", "one of"), ("a:b", "one of"), ("a?", "one of"), ("a*", "one"),
        ('a"b', "one of"), ("a<b", "one of"), ("a|b", "one of"),
        ("a.md.", "dot"), ("a ", "space"), (" a", "space"),
        ("con", "Windows"), ("CON.md", "Windows"), ("nul.t.gz", "Windows"), ("Com1.md", "Windows"),
        ("LPT9", "Windows"), ("con .md", "Windows"), ("com¹.md", "Windows"), ("aux.x", "Windows"),
        ("x" * 256, "255"), ("ü" * 128, "255"), ("🏠" * 64, "255"),
    ],
)  # fmt: skip
def test_names_that_deceive_or_break_are_refused(name: str, fault: str) -> None:
    found = fault_in_name(name)
    assert found is not None
    assert fault in found


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=20))
def test_a_name_that_passes_is_one_part_of_a_path(name: str) -> None:
    if fault_in_name(name) is None:
        assert Path("folder", name).parts == ("folder", name)
        assert len(os.fsencode(name)) <= 255
        assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name)


@pytest.mark.parametrize(
    ("path", "folder", "group", "name"),
    [
        ("Needs_Action/x.md", Folder.NEEDS_ACTION, "", "x.md"),
        ("Needs_Action/email/x.md", Folder.NEEDS_ACTION, "email", "x.md"),
        ("Needs_Action/email/deep/er/x.md", Folder.NEEDS_ACTION, "email", "x.md"),
        ("In_Progress/cloud/x.md", Folder.IN_PROGRESS, "cloud", "x.md"),
        ("Done/2026-11/x.md", Folder.DONE, "2026-11", "x.md"),
        ("Dashboard.md", None, "", "Dashboard.md"),
        ("Approved", None, "", "Approved"),
        ("approved/x.md", None, "", "x.md"),
        ("Mine/x.md", None, "", "x.md"),
        ("Approved/../Needs_Action/x.md", None, "", "x.md"),
        ("../Approved/x.md", None, "", "x.md"),
        ("/Approved/x.md", None, "", "x.md"),
        ("", None, "", ""),
    ],
)
def test_what_a_path_means(path: str, folder: Folder | None, group: str, name: str) -> None:
    place = place_of(path)
    assert (place.folder, place.group, place.name) == (folder, group, name)
    assert place.stem == name.removesuffix(".md")


def test_states_and_notes() -> None:
    assert place_of("Approved/x.md").is_state
    assert not place_of("Updates/x.md").is_state
    assert not place_of("x.md").is_state
    assert place_of("Approved/x.md").is_note
    for path in ("Approved/x.txt", "Approved/.x.md", "Approved/x.conflict-0a1b2c3d.md"):
        assert not place_of(path).is_note


def test_conflict_names_are_the_same_everywhere_and_do_not_grow() -> None:
    name = conflict_name("Notes/a b.md", b"mine")
    assert name == conflict_name("Notes/a b.md", b"mine")
    assert name != conflict_name("Notes/a b.md", b"other")
    assert name.startswith("Notes/a b.conflict-")
    assert name.endswith(".md")
    assert conflict_name(name, b"mine") == name
    assert conflict_name(name, b"other") == conflict_name("Notes/a b.md", b"other")


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=90).filter(lambda n: fault_in_name(n) is None and n[0] != "."), st.binary())
def test_any_name_has_a_conflict_name_that_is_one(name: str, data: bytes) -> None:
    for path in (name, f"a.b/c/{name}"):
        copy = conflict_name(path, data)
        assert is_conflict_copy(copy.rpartition("/")[2])
        assert copy.rpartition("/")[0] == path.rpartition("/")[0]
        assert conflict_name(copy, data) == copy
        assert fault_in_name(copy.rpartition("/")[2]) is None


@pytest.mark.parametrize(
    "name",
    ["x" * 252 + ".md", "ü" * 126 + ".md", "🏠" * 63 + ".md", "y" * 255, "LICENSE", "a.tar.gz"],
)
def test_a_conflict_name_fits_into_255_bytes(name: str, tmp_path: Path) -> None:
    copy = conflict_name(f"f/{name}", b"data").removeprefix("f/")
    assert is_conflict_copy(copy)
    assert not is_conflict_copy(name)
    (tmp_path / copy).write_bytes(b"data")
    assert conflict_name(copy, b"data") == copy


def test_names_that_only_look_like_conflict_copies() -> None:
    for name in ("conflict.md", "a.conflict.md", "a.conflict-xyz.md", "a.conflict-0A1B2C3D.md"):
        assert not is_conflict_copy(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Re: Invoice question", "re-invoice-question"),
        ("Größe der Straße: Æther & Łódź", "grosse-der-strasse-aether-lodz"),
        ("  --  ", "note"), ("", "note"), ("日本語", "note"), ("😀", "note"), ("\udcff", "note"),
        ("../../etc/passwd", "etc-passwd"), ("con", "con"), ("ﬁn", "fin"), ("İzmir", "izmir"),
        ("a very long subject that goes on and on x", "a-very-long-subject-that-goes-on-and-on"),
        ("x" * 100, "x" * 40), ("﷽" * 10_000, "note"),
    ],
)  # fmt: skip
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


@settings(deadline=None)
@given(st.text(), st.text())
def test_ids_can_always_be_file_names(title: str, seed: str) -> None:
    one = task_id(datetime(2026, 11, 24, tzinfo=UTC), title, seed)
    assert fault_in_name(f"{one}.md") is None
    assert one.isascii()
    assert len(f"{card_id(one, 'email.send', 99)}.md") <= 120


def test_ids_are_stable() -> None:
    late = datetime(2026, 11, 24, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert task_id(late, "Hi there", "<a@b>") == "2026-11-23-hi-there-fd42a8"
    assert task_id(late, "Hi", "<a@b>") == task_id(late, "Hi", "<a@b>")
    assert task_id(late, "Hi", "<a@b>") != task_id(late, "Hi", "<c@d>")
    assert card_id("t", "email.send", 2) == "t-email-2"


def test_paths() -> None:
    assert zone_path(Folder.PENDING, Zone.EMAIL, "x") == "Pending_Approval/email/x.md"
    assert claim_path("cloud", "x.md") == "In_Progress/cloud/x.md"
    eve = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert done_path("x", eve) == "Done/2027-01/x.md"

"""Paths of the hub that this disk cannot take for a while."""

from __future__ import annotations

from twovaults import Desk

from ordinary import as_ordinary_user


def test_a_folder_that_may_not_be_written_keeps_nothing_else_from_arriving(desk: Desk) -> None:
    desk.local.write("Plans/old.md", "old")
    desk.settle()
    (desk.local.vault / "Plans").chmod(0o555)
    desk.cloud.write("Plans/theirs.md", "text\n")
    desk.cloud.write("Updates/u.md", "news")
    desk.cloud.sync()
    report = as_ordinary_user(desk.local.sync)
    assert desk.local.read("Updates/u.md") == b"news"
    assert [(r.path, "Permission denied" in r.reason) for r in report.refused] == [
        ("Plans/theirs.md", True)
    ]
    assert "Plans/theirs.md" in desk.hub_files(), "what cannot be written here is not removed there"
    (desk.local.vault / "Plans").chmod(0o755)
    assert as_ordinary_user(desk.local.sync).refused == ()
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert desk.local.read("Plans/theirs.md") == b"text\n"


def test_what_could_not_be_changed_here_is_no_edit_of_the_persons(devices: Desk) -> None:
    """A folder that may not be written holds old bytes; telling those would undo the hub's."""
    for name in ("changed", "removed", "moved"):
        devices.local.write(f"Notes/{name}.md", f"{name}, first\n")
    devices.settle()
    (devices.local.vault / "Notes").chmod(0o555)
    devices.cloud.write("Notes/changed.md", "second\n")
    (devices.cloud.vault / "Notes/removed.md").unlink()
    devices.cloud.move("Notes/moved.md", "Archive/moved.md")
    devices.cloud.sync()
    tip = devices.git("rev-parse", "main")
    for _ in range(3):
        as_ordinary_user(devices.local.sync)
    devices.local.close()
    report = as_ordinary_user(devices.local.sync)
    assert devices.git("rev-parse", "main") == tip, "the old bytes were told as if they were new"
    assert {r.path for r in report.refused} >= {"Notes/changed.md", "Notes/removed.md"}
    (devices.local.vault / "Notes").chmod(0o755)
    devices.settle()
    assert devices.git("rev-parse", "main") == tip
    assert devices.local.files() == devices.cloud.files()
    assert devices.local.read("Notes/changed.md") == b"second\n"
    assert not (devices.local.vault / "Notes/removed.md").exists()


def test_an_edit_of_what_could_not_be_changed_is_the_persons(devices: Desk) -> None:
    """A folder that may not be written does not keep a person from saving in place."""
    devices.local.write("Notes/n.md", "first\n")
    devices.settle()
    (devices.local.vault / "Notes").chmod(0o555)
    devices.cloud.write("Notes/n.md", "second\n")
    devices.cloud.sync()
    as_ordinary_user(devices.local.sync)
    as_ordinary_user(devices.local.sync)
    devices.local.write("Notes/n.md", "third, by hand\n")
    (devices.local.vault / "Notes").chmod(0o755)
    devices.settle()
    files = devices.local.files()
    assert files == devices.cloud.files()
    assert files["Notes/n.md"] == b"third, by hand\n"


def test_the_hubs_next_change_of_it_arrives_as_well(devices: Desk) -> None:
    devices.local.write("Notes/n.md", "first\n")
    devices.settle()
    (devices.local.vault / "Notes").chmod(0o555)
    for text in ("second\n", "third\n"):
        devices.cloud.write("Notes/n.md", text)
        devices.cloud.sync()
        as_ordinary_user(devices.local.sync)
        assert devices.local.read("Notes/n.md") == b"first\n"
    devices.local.write("Free/other.md", "goes on\n")
    as_ordinary_user(devices.local.sync)
    assert devices.git("show", "main:Notes/n.md") == "third\n"
    assert "Free/other.md" in devices.hub_files()
    (devices.local.vault / "Notes").chmod(0o755)
    devices.settle()
    assert devices.local.files() == devices.cloud.files()
    assert devices.local.read("Notes/n.md") == b"third\n"


def test_a_note_that_is_saved_again_and_again_is_merged_all_the_same(devices: Desk) -> None:
    """It is never set aside: the other side's text would be gone under the next save."""
    lines = [f"line {n}\n" for n in range(20)]
    devices.local.write("Notes/n.md", "".join(lines))
    devices.settle()
    devices.cloud.write("Notes/n.md", "".join(["OTHER\n", *lines[1:]]))
    devices.cloud.sync()
    saves = [f"typed {n}\n" for n in range(5)]

    def person(point: str) -> None:
        if point == "after_merge" and saves:
            devices.local.write("Notes/n.md", "".join([*lines[:-1], saves.pop(0)]))

    devices.local.open(crash=person)
    devices.local.sync()
    devices.settle()
    assert not saves
    files = devices.local.files()
    assert files == devices.cloud.files()
    assert files["Notes/n.md"].decode() == "".join(["OTHER\n", *lines[1:-1], "typed 4\n"])

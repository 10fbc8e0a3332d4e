"""What the state machine found, each written down as a plain test."""

from __future__ import annotations

from pathlib import Path

import pytest
from twovaults import Desk

from nightdesk.sync.process import run
from nightdesk.sync.secrets import Guard


@pytest.mark.parametrize("mode", ["120000", "100755", "160000"])
def test_a_note_that_is_made_a_link_in_the_hub_is_not_removed_here(desk: Desk, mode: str) -> None:
    """The entry can never be part of the vault; that made the note look removed."""
    paths = ["Handbook.md", "Notes/n.md", "Pending_Approval/email/c.md"]
    desk.local.write("Notes/n.md", "a note\n")
    desk.local.write("Pending_Approval/email/c.md", '---\nid: "c"\n---\na card\n')
    desk.settle()
    before = desk.local.files()
    objects = [desk.git("rev-parse", f"main:{path}").strip() for path in paths]
    if mode == "160000":
        objects = [desk.git("rev-parse", "main").strip()] * 3
    change_in_hub(desk, *(f"{mode},{o},{p}" for o, p in zip(objects, paths, strict=True)))
    report = desk.local.sync()
    assert desk.local.files() == before
    assert [refusal.path for refusal in report.refused] == paths
    desk.settle()
    assert desk.local.files() == desk.cloud.files() == before
    assert all(desk.git("ls-tree", "main", path).startswith("100644 ") for path in paths)


@pytest.mark.second_device
def test_what_found_no_room_is_written_when_there_is_room(desk: Desk) -> None:
    """A folder stood in the way, and when it was empty nobody looked again."""
    desk.settle()
    desk.local.write("Notes/n.md/bill.md", "---\nzone: payments\n---\nit stays here\n")
    desk.cloud.write("Notes/n.md", "from the cloud\n")
    desk.cloud.sync()
    report = desk.local.sync()
    assert [refusal.path for refusal in report.refused] == ["Notes/n.md"]
    desk.local.close()
    (desk.local.vault / "Notes/n.md/bill.md").unlink()
    report = desk.local.sync()
    assert desk.local.read("Notes/n.md") == b"from the cloud\n"
    assert report.refused == ()
    desk.settle()
    assert desk.cloud.read("Notes/n.md") == b"from the cloud\n"


@pytest.mark.parametrize("point", ["during_apply", "after_apply"])
def test_what_a_killed_run_wrote_does_not_come_back_when_it_is_removed(
    desk: Desk, point: str
) -> None:
    """It was on the disk and not in the base: it looked like a new note of that disk."""

    def dies(name: str) -> None:
        passed.append(name)
        if name == point and passed.count(name) == (2 if name == "during_apply" else 1):
            raise KilledError

    passed: list[str] = []
    desk.settle()
    desk.local.write("Notes/a.md", "a\n")
    desk.local.write("Notes/b.md", "b\n")
    desk.local.sync()
    desk.cloud.open(crash=dies)
    with pytest.raises(KilledError):
        desk.cloud.sync()
    assert desk.cloud.read("Notes/a.md") == b"a\n"
    (desk.local.vault / "Notes/a.md").unlink()
    desk.local.sync()
    desk.cloud.open()
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert "Notes/a.md" not in desk.local.files()
    assert "Notes/b.md" in desk.cloud.files()


def test_a_note_that_takes_a_cards_id_later_does_not_carry_the_card_away(desk: Desk) -> None:
    """A new note with a card's id was refused, but not a known one that was given the id."""
    card = '---\nid: "c"\n---\na card\n'
    desk.local.write("Pending_Approval/email/c.md", card)
    desk.local.write("In_Progress/cloud/t.md", '---\nid: "t"\n---\na task\n')
    desk.settle()
    before = desk.local.files()
    clone = desk.outsider()
    (clone / "In_Progress/cloud/t.md").write_text('---\nid: "c"\n---\nevil\n')
    desk.git("rm", "-q", "Pending_Approval/email/c.md", cwd=clone)
    desk.git("commit", "-q", "-a", "-m", "x", cwd=clone)
    desk.git("push", "-q", "origin", "HEAD:main", cwd=clone)
    report = desk.local.sync()
    assert desk.local.files() == before
    assert {refusal.path for refusal in report.refused} >= {"In_Progress/cloud/t.md"}


@pytest.mark.parametrize("point", ["after_merge", "during_apply"])
def test_a_strangers_note_comes_back_though_the_run_that_refused_it_died(
    desk: Desk, point: str
) -> None:
    """What was kept as evidence counted as told, and its note in Inbox/ was never written."""

    def dies(name: str) -> None:
        if name == point:
            raise KilledError

    desk.local.write("Notes/plan.md", "my plan\n")
    desk.settle()
    clone = desk.outsider()
    (clone / "Notes/plan.md").write_text("my plan, on the phone\n")
    desk.git("commit", "-q", "-a", "-m", "x", cwd=clone)
    desk.git("push", "-q", "origin", "HEAD:main", cwd=clone)
    desk.local.open(crash=dies)
    with pytest.raises(KilledError):
        desk.local.sync()
    desk.local.open()
    desk.settle()
    assert desk.local.read("Notes/plan.md") == b"my plan\n"
    [copy] = [path for path in desk.local.files() if path.startswith("Inbox/plan-")]
    assert b"my plan, on the phone" in desk.local.read(copy)


def test_a_refused_text_that_is_moved_on_does_not_pass_as_a_move(desk: Desk) -> None:
    """It counted as known because the commit's parent held it, and a task was gone."""
    for name in ("t1", "t2"):
        desk.local.write(f"Needs_Action/email/{name}.md", f'---\nid: "{name}"\n---\n{name}\n')
    desk.settle()
    engine = desk.cloud.engine
    assert engine is not None
    assert len(engine.claim(["Needs_Action/email/t1.md", "Needs_Action/email/t2.md"])) == 2
    desk.settle()
    before = desk.local.files()
    clone = desk.outsider()
    tasks = clone / "In_Progress/cloud"
    (tasks / "t2.md").write_bytes((tasks / "t1.md").read_bytes())
    assert desk.push_as_cloud(clone).returncode == 0
    (clone / "Done/2026-11").mkdir(parents=True)
    (tasks / "t2.md").rename(clone / "Done/2026-11/t2.md")
    assert desk.push_as_cloud(clone).returncode == 0
    report = desk.local.sync()
    assert {refusal.path for refusal in report.refused} == {
        "In_Progress/cloud/t2.md", "Done/2026-11/t2.md"
    }  # fmt: skip
    assert desk.local.files() == before
    desk.settle()
    assert desk.local.files() == desk.cloud.files() == before


def test_a_conflict_copy_in_approved_is_no_card_that_waits(desk: Desk) -> None:
    """It has no id, and every cycle ended there with a KeyError."""
    desk.settle()
    copy = "Approved/c.conflict-12345678.md"
    desk.local.write(copy, '---\nid: "c"\n---\na card, as it was\n')
    desk.local.open(withhold=lambda path: path.startswith("Approved/"))
    desk.local.sync()
    assert copy in desk.hub_files()


def test_a_slow_git_that_reads_its_input_is_waited_for(tmp_path: Path) -> None:
    """On a busy machine a call with input that took longer than a quarter second failed."""
    script = "alias.slow=!sleep 0.6; cat"
    result = run(tmp_path, ["-c", script, "slow"], environment={}, stdin=b"so it goes\n")
    assert (result.code, result.out) == (0, b"so it goes\n")


class KilledError(BaseException):
    """The process dies here."""


def change_in_hub(desk: Desk, *entries: str) -> None:
    """Commit "mode,oid,path" entries on the hub's tip, with plain git."""
    index = str(desk.root / "attack-index")
    Path(index).unlink(missing_ok=True)
    git = ["-c", "core.bare=true"]
    script = " && ".join([
        f"export GIT_INDEX_FILE={index}", "git read-tree main",
        *(f"git update-index --add --cacheinfo '{entry}'" for entry in entries),
        "git update-ref refs/heads/main $(git commit-tree $(git write-tree) -p main -m x)",
    ])  # fmt: skip
    desk.git(*git, "-c", f"alias.attack=!{script}", "attack")


def test_a_strangers_words_come_back_once_also_when_the_note_was_renamed(desk: Desk) -> None:
    """The run that wrote the note died before it had noted that, and the person was quick."""

    def dies(name: str) -> None:
        if name == "after_apply":
            raise KilledError

    desk.local.write("Notes/n.md", "mine\n")
    desk.settle()
    clone = desk.outsider()
    (clone / "Notes/n.md").write_text("the phone's\n")
    desk.git("commit", "-qam", "x", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    desk.local.open(crash=dies)
    with pytest.raises(KilledError):
        desk.local.sync()
    [note] = [path for path in desk.local.files() if path.startswith("Inbox/")]
    desk.local.move(note, "Inbox/renamed.md")
    desk.local.open()
    desk.settle()
    assert [p for p in desk.local.files() if p.startswith("Inbox/")] == ["Inbox/renamed.md"]
    assert desk.local.read("Notes/n.md") == b"mine\n"


def test_a_cloud_agent_believes_its_owner_who_agrees_with_a_stranger(desk: Desk) -> None:
    """A refused deletion, and the person has moved the note away as well: nothing to undo."""
    desk.settle()
    clone = desk.outsider()
    (clone / "Handbook.md").unlink()
    assert desk.push_as_cloud(clone).returncode == 0
    desk.cloud.sync()
    assert "Handbook.md" in desk.cloud.files(), "the owner has not said so"
    desk.local.move("Handbook.md", "Old handbook.md")
    desk.settle()
    assert "Handbook.md" not in desk.cloud.files()
    assert desk.cloud.files() == desk.local.files()
    desk.cloud.open()
    desk.settle()
    assert desk.cloud.files() == desk.local.files()


def handbook_deleted_by_a_stranger(desk: Desk) -> None:
    """The cloud has seen a stranger's deletion, and goes on seeing the handbook."""
    desk.settle()
    clone = desk.outsider()
    (clone / "Handbook.md").unlink()
    assert desk.push_as_cloud(clone).returncode == 0
    desk.cloud.sync()
    assert "Handbook.md" in desk.cloud.files()
    desk.local.move("Handbook.md", "Notes/book.md")


def test_what_a_cloud_does_not_believe_is_not_in_what_it_knows_of_its_own_commit(
    desk: Desk,
) -> None:
    """Once the cloud had pushed, it took the deleted handbook for a part of its commit."""
    handbook_deleted_by_a_stranger(desk)
    desk.cloud.write("Updates/u.md", "a report\n")
    desk.cloud.sync()
    desk.settle()
    assert desk.cloud.files() == desk.local.files()
    assert "Handbook.md" not in desk.hub_files()


@pytest.mark.parametrize("point", ["after_merge", "during_apply", "after_apply", "before_push"])
def test_a_doubt_outlives_a_run_that_died_while_it_was_settled(desk: Desk, point: str) -> None:
    """It was forgotten before the disk had followed: the note looked new, and could not go."""

    def dies(name: str) -> None:
        if name == point:
            raise KilledError

    handbook_deleted_by_a_stranger(desk)
    desk.local.sync()
    desk.cloud.write("Updates/u.md", "a report\n")
    desk.cloud.open(crash=dies)
    with pytest.raises(KilledError):
        desk.cloud.sync()
    desk.cloud.open()
    report = desk.cloud.sync()
    assert report.held_back == ()
    desk.settle()
    assert desk.cloud.files() == desk.local.files()
    assert "Handbook.md" not in desk.cloud.files()


def test_a_run_that_died_has_not_written_what_the_gate_refused(desk: Desk) -> None:
    """A refused removal counted as done, so a card that must not be told came a second time."""

    def dies(name: str) -> None:
        if name == "during_apply":
            raise KilledError

    card = '---\nid: "c"\n---\na card\n'
    guard = Guard({"canary": "a-secret-of-the-laptop"})
    desk.local.write("Approved/c.md", card)
    desk.settle()
    clone = desk.outsider()
    (clone / "Approved/c.md").unlink()
    (clone / "Updates").mkdir(exist_ok=True)
    (clone / "Updates/u.md").write_text("a report\n")
    assert desk.push_as_cloud(clone).returncode == 0
    (desk.local.vault / "Approved/c.md").unlink()
    desk.local.write("Pending_Approval/c.md", f"{card}a-secret-of-the-laptop\n")
    before = {*desk.local.files(), "Updates/u.md"}
    desk.local.open(guard=guard, crash=dies)
    with pytest.raises(KilledError):
        desk.local.sync()
    desk.local.open(guard=guard)
    report = desk.local.sync()
    assert [held.path for held in report.held_back] == ["Pending_Approval/c.md"]
    assert desk.local.files().keys() == before

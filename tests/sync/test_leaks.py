"""No secret of this machine reaches the hub, by whatever way: every object there is searched."""

from __future__ import annotations

import base64
import random
import shutil
import sqlite3
import string
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from twovaults import Desk

from nightdesk.policy import Role
from nightdesk.sync.canary import CANARY_FILE, canary
from nightdesk.sync.engine import create_root
from nightdesk.sync.held_back import read_held_back
from nightdesk.sync.secrets import Guard, Secret

RANDOM = random.Random(20261124)
PASSWORD = "Tr0ub4dor&" + "".join(RANDOM.choices(string.ascii_letters, k=8))
TOKEN = "ghp_" + "".join(RANDOM.choices(string.ascii_letters, k=36))
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "hex": lambda t: t.encode().hex(),
    "reversed": lambda t: t[::-1],
    "URL": lambda t: "".join(f"%{b:02x}" for b in t.encode()),
}


def guard(role: Role = Role.LOCAL, **options: object) -> Guard:
    return Guard({"smtp_password": PASSWORD}, role=role, **options)  # type: ignore[arg-type]


def in_hub(desk: Desk) -> list[str]:
    """In which forms a secret stands anywhere in the hub: objects, names, messages, refs."""
    data = desk.hub_bytes() + desk.git("for-each-ref").encode()
    return [
        f"{name} of {text[:4]}…"
        for text in (PASSWORD, TOKEN)
        for name, form in FORMS.items()
        if form(text).encode() in data
    ]


def test_the_search_itself_finds_them(desk: Desk) -> None:
    """With the guard taken out every form does arrive, in a file and in a name."""

    class Nothing(Guard):
        def check(self, path: str, data: bytes) -> None:
            return None

    desk.local.open(guard=Nothing())
    for text in (PASSWORD, TOKEN):
        desk.local.write(f"Notes/{text[:4]}.md", "\n".join(form(text) for form in FORMS.values()))
    desk.local.sync()
    assert len(in_hub(desk)) == 2 * len(FORMS)


@pytest.mark.requirement("FR-007")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", [PASSWORD, TOKEN], ids=["password", "token"])
def test_held_back_by_own_secret_or_by_format(desk: Desk, text: str, form: str) -> None:
    """Own secrets in every form; foreign tokens as they are. The rest of the vault syncs."""
    desk.local.open(guard=guard())
    desk.local.write("Notes/a.md", f"one\ntwo {FORMS[form](text)}\n")
    desk.local.write("Notes/b.md", "harmless\n")
    report = desk.local.sync()
    expected = text == PASSWORD or form == "plain"
    assert [(h.path, h.line) for h in report.held_back] == [("Notes/a.md", 2)] * expected
    assert "Notes/b.md" in desk.hub_files()
    assert not (expected and in_hub(desk))
    assert read_held_back(desk.local.state) == list(report.held_back)


@pytest.mark.requirement("FR-007")
def test_added_and_deleted_between_two_cycles(desk: Desk) -> None:
    """Also when cycles ran in between: there is no history that could hold it."""
    desk.local.open(guard=guard())
    desk.local.write("Notes/a.md", "start\n")
    desk.settle()
    desk.local.write("Notes/a.md", f"start\n{PASSWORD}\n{TOKEN}\n")
    desk.local.write("Notes/a.md", "start\nend\n")
    desk.local.sync()
    desk.local.write("Notes/a.md", f"start\n{PASSWORD}\n")
    desk.local.sync()
    desk.local.write("Notes/a.md", "start\nend\nmore\n")
    desk.local.sync()
    assert desk.git("show", "main:Notes/a.md") == "start\nend\nmore\n"
    assert in_hub(desk) == []
    assert read_held_back(desk.local.state) == [], "what is gone is told no longer"


@pytest.mark.requirement("FR-007")
def test_a_conflict_copy_a_moved_note_and_a_name(desk: Desk) -> None:
    """The other side edits and moves what is held back here."""
    desk.local.open(guard=guard())
    for name in "abc":
        desk.local.write(f"Notes/{name}.md", "start\n")
    desk.settle()
    desk.local.write("Notes/a.md", f"start\n{PASSWORD}\n")
    desk.cloud.write("Notes/a.md", "start\nby the cloud\n")
    desk.local.write("Notes/b.md", f"start\n{TOKEN}\n")
    desk.local.move("Notes/b.md", "Archive/b2.md")
    desk.local.write(f"Notes/{PASSWORD}.md", "harmless\n")
    desk.local.write(f"{TOKEN}/x.md", "harmless\n")
    desk.local.write(f"Notes/x {PASSWORD.encode().hex()}.md", "harmless\n")
    desk.cloud.sync()
    desk.settle()
    desk.settle()
    assert in_hub(desk) == []
    held = read_held_back(desk.local.state)
    assert len(held) == 5
    assert PASSWORD not in str(held)
    assert TOKEN not in str(held), "the report must be able to leave on the dashboard"
    assert desk.local.read("Notes/a.md") == f"start\n{PASSWORD}\n".encode()


@pytest.mark.second_device
@pytest.mark.requirement("FR-007")
def test_a_merge_that_puts_a_secret_together(desk: Desk) -> None:
    """Half of it comes from either side; the merged note stays on the disk, and stays here."""
    desk.local.open(guard=guard())
    first, second = PASSWORD[:9], PASSWORD[9:]
    desk.local.write("Notes/b.md", "x\n2\n\n\n\n6\nend\n")
    desk.settle()
    desk.local.write("Notes/b.md", f"x\n{first}\n\n\n\n6\nend\n")
    desk.cloud.write("Notes/b.md", f"x\n2\n\n\n\n{second}\nend\n")
    desk.cloud.sync()
    report = desk.local.sync()
    assert desk.local.read("Notes/b.md") == f"x\n{first}\n\n\n\n{second}\nend\n".encode()
    assert [(h.path, h.line) for h in report.held_back] == [("Notes/b.md", 2)]
    assert not report.offline
    desk.settle()
    assert desk.git("show", "main:Notes/b.md") == f"x\n2\n\n\n\n{second}\nend\n"
    assert first.encode() not in desk.hub_bytes()


@pytest.mark.requirement("FR-007")
def test_heartbeat_and_commit_message(desk: Desk) -> None:
    """An error text that quotes a credential goes out without it."""
    engine = desk.cloud.open(guard=guard(Role.CLOUD))
    engine.beat({"state": "trouble", "what": f"login with {PASSWORD} refused"})
    engine.beat({"state": "trouble", "what": f"token {TOKEN} is bad", "at": "now"})
    desk.local.sync()
    beat = desk.local.engine.heartbeat("cloud") if desk.local.engine else None
    assert beat is not None
    assert beat.status["state"] == "trouble"
    assert "withheld" in beat.status["what"]
    assert in_hub(desk) == []


@pytest.mark.requirement("FR-007")
@pytest.mark.parametrize("role", list(Role))
def test_the_first_commit(tmp_path: Path, role: Role) -> None:
    """Notes that were in the folder before `init` are looked at like any other."""
    vault, hub, state = tmp_path / "v", tmp_path / "h.git", tmp_path / "s"
    template = tmp_path / "t"
    template.mkdir()
    vault.mkdir()
    (vault / "old.md").write_text(f"x {PASSWORD}\n")
    (vault / "older.md").write_text(f"x {TOKEN}\n")
    (vault / "fine.md").write_text("fine\n")
    create_root(vault, str(hub), state, "local", template, guard=guard(role))
    tree = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "main"], cwd=hub, check=True, capture_output=True
    )
    assert tree.stdout == b"fine.md\n"


@pytest.mark.requirement("FR-007")
def test_a_copy_of_the_state_folder_stays_whole(desk: Desk) -> None:
    """The canary marks the folder; its pieces, scattered, are known by themselves."""
    planted = canary(desk.local.state)
    key = RANDOM.randbytes(32)
    (desk.local.state / "receipt.key").write_bytes(key)
    with sqlite3.connect(desk.local.state / "journal.sqlite") as journal:
        journal.execute("create table t (x)")
        journal.execute("insert into t values ('a private copy')")
    journal.close()
    desk.local.open(guard=Guard([Secret("the key of the receipts", key)], canaries=[planted]))
    for target in ("Backup", "Notes/deep/state"):
        shutil.copytree(desk.local.state, desk.local.vault / target)
    for name in ("journal.sqlite", "receipt.key", CANARY_FILE):
        shutil.copy(desk.local.state / name, desk.local.vault / f"Notes/{name}.md")
    desk.local.write("Notes/quoted.md", f"fine\nfound this: {planted.value!s}\n")
    desk.local.write("Notes/fine.md", "fine\n")
    before = desk.hub_files()
    report = desk.local.sync()
    assert desk.hub_files() - before == {"Notes/fine.md"}
    held = {h.path: h for h in report.held_back}
    assert {"Backup", "Notes/deep/state", "Notes/canary.md", "Notes/quoted.md"} < set(held)
    assert "copied private files" in held["Notes/quoted.md"].reason
    assert held["Notes/quoted.md"].line == 2
    for secret in (str(planted.value).encode(), key, b"a private copy"):
        assert secret not in desk.hub_bytes()


@pytest.mark.requirement("FR-007")
def test_the_canary_alone_and_it_is_never_released(desk: Desk) -> None:
    """Each layer with the others off: no credential is known, the path is released."""
    planted = canary(desk.local.state)
    assert canary(desk.local.state) == planted
    assert (desk.local.state / CANARY_FILE).stat().st_mode & 0o777 == 0o600
    desk.local.open(guard=Guard(canaries=[planted], release=["Notes/a.md"]))
    desk.local.write("Notes/a.md", base64.b64encode(f"xx{planted.value}".encode()))
    [held] = desk.local.sync().held_back
    assert held.path == "Notes/a.md"
    assert "release" not in held.reason


@pytest.mark.requirement("FR-007")
def test_what_is_released_goes_to_both_and_on_changing(desk: Desk) -> None:
    """The cloud, which has released nothing, takes it, keeps it in step and reports nothing."""
    desk.local.open(guard=guard())
    desk.local.write("Notes/api.md", f"{TOKEN}\n")
    [held] = desk.local.sync().held_back
    assert 'release = ["Notes/api.md"]' in held.reason
    desk.local.open(guard=guard(release=["Notes/api.md"]))
    assert desk.local.sync().held_back == ()
    cloud = desk.cloud.open(guard=Guard(role=Role.CLOUD))
    assert cloud.cycle().held_back == ()
    desk.local.write("Notes/api.md", f"{TOKEN}\nand more\n")
    desk.settle()
    assert cloud.cycle(full=True).held_back == ()
    assert desk.cloud.read("Notes/api.md") == f"{TOKEN}\nand more\n".encode()
    desk.cloud.write("Notes/api.md", f"{TOKEN[::-1]}\n{TOKEN}\n")
    assert [h.path for h in cloud.cycle().held_back] == ["Notes/api.md"], "new bytes are new"

"""A hub of ours: the gate as its hook, started with the standard library alone."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from twovaults import Desk, no_gate

from nightdesk.hub.build import MODULES, PROGRAM, install, interpreter
from nightdesk.hub.trust import CLOUD, OWNER
from nightdesk.sync import mending
from nightdesk.sync.evidence import read
from nightdesk.sync.signing import signing_key
from nightdesk.vault.layout import Folder


@pytest.fixture
def guarded(desk: Desk) -> Desk:
    """The usual desk, its hub made as `agent-cloud init --hub-only` makes it."""
    (desk.hub / OWNER).write_text(f"{desk.local.key}\n")
    (desk.hub / CLOUD).write_text(f"{desk.cloud.key}\n")
    install(desk.hub)
    return desk


def test_the_program_needs_the_standard_library_alone(guarded: Desk) -> None:
    program = guarded.hub / PROGRAM
    with zipfile.ZipFile(program) as archive:
        assert set(MODULES) <= set(archive.namelist())
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import nightdesk.hub.__main__ as m;"
        "import json; print(json.dumps(sorted(n for n in sys.modules if '.' not in n)))"
    )
    done = subprocess.run(
        [str(interpreter()), "-I", "-S", "-c", code, str(program)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    foreign = set(json.loads(done.stdout)) - set(sys.stdlib_module_names) - {"__main__"}
    assert foreign == {"nightdesk"}


@pytest.mark.requirement("FR-002", "FR-005")
def test_honest_agents_never_meet_the_hook(guarded: Desk) -> None:
    desk = guarded
    desk.local.write("Needs_Action/email/t.md", '---\nid: "t"\n---\nx\n')
    desk.settle()
    assert desk.cloud.engine.claim(["Needs_Action/email/t.md"])
    desk.cloud.write("Pending_Approval/email/t-email-1.md", '---\nid: "t-email-1"\n---\nraw\n')
    desk.cloud.write("Updates/u.md", "u")
    desk.cloud.engine.beat({"state": "well"})
    desk.local.open(incoming=lambda path, data: data.replace(b"raw", b"rendered"))
    desk.settle()
    desk.local.move("Pending_Approval/email/t-email-1.md", "Approved/t-email-1.md")
    desk.settle()
    assert "Approved/t-email-1.md" in desk.hub_files()
    assert desk.cloud.files() == desk.local.files()


HOSTILE = {
    "approval": ("Approved/x.md", "may not add to Approved/"),
    "handbook": ("Handbook.md", "may not change Handbook.md"),
    "hidden": ("Updates/.obsidian/app.json", "hidden"),
    "whatsapp": ("Needs_Action/whatsapp/x.md", "may not add to Needs_Action/"),
}


@pytest.mark.requirement("FR-002", "FR-004")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_stolen_cloud_key_gets_nothing_past_the_hook(guarded: Desk, kind: str) -> None:
    """The hub refuses the push and names the path; without the hook it would have landed."""
    desk = guarded
    path, reason = HOSTILE[kind]
    desk.settle()
    before = desk.git("rev-parse", "main")
    clone = desk.outsider()
    (clone / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / path).write_text("evil")
    push = desk.push_as_cloud(clone)
    assert push.returncode != 0
    assert f'path "{path}"' in push.stderr
    assert reason in push.stderr
    assert desk.git("rev-parse", "main") == before
    (desk.hub / "hooks/pre-receive").unlink()
    assert desk.push_as_cloud(clone).returncode == 0


def test_the_hook_lets_nobody_touch_other_refs(guarded: Desk) -> None:
    desk = guarded
    desk.settle()
    clone = desk.outsider()
    (clone / "Updates").mkdir()
    (clone / "Updates/fine.md").write_text("fine")
    assert desk.push_as_cloud(clone, "HEAD:refs/heads/other").returncode != 0
    assert "nothing else" in desk.push_as_cloud(clone, "HEAD:refs/heads/other").stderr
    assert "owner's laptop" in desk.push_as_cloud(clone, "HEAD:refs/repair/main").stderr
    assert "at most 4096" in desk.push_as_cloud(clone, "HEAD:refs/heartbeat/cloud").stderr
    assert desk.push_as_cloud(clone, "HEAD:refs/tags/v1").returncode != 0
    assert desk.push_as_cloud(clone, ":refs/heads/main").returncode != 0
    assert desk.push_as_cloud(clone, "HEAD:refs/heads/main").returncode == 0, "an honest push"
    desk.git("commit", "--amend", "-qm", "other", cwd=clone)
    assert desk.push_as_cloud(clone, "+HEAD:refs/heads/main").returncode != 0


def test_a_stranger_may_only_leave_a_note(guarded: Desk) -> None:
    desk = guarded
    desk.settle()
    clone = desk.outsider()
    (clone / "Inbox").mkdir()
    (clone / "Inbox/hello.md").write_text("hello")
    desk.git("add", ".", cwd=clone)
    desk.git("commit", "-qm", "hello", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    (clone / "Updates").mkdir()
    (clone / "Updates/u.md").write_text("news")
    desk.git("add", ".", cwd=clone)
    desk.git("commit", "-qm", "news", cwd=clone)
    done = subprocess.run(["git", "push"], cwd=clone, capture_output=True, text=True, check=False)
    assert "nobody whom this desk knows" in done.stderr


def test_an_emptied_hub_takes_the_whole_history_from_its_owner_only(guarded: Desk) -> None:
    desk = guarded
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    desk.cloud.write("Updates/u.md", "u")
    desk.settle()
    tip = desk.git("rev-parse", "main").strip()
    desk.git("update-ref", "-d", "refs/heads/main")
    clone = desk.root / "new"
    desk.git("init", "-q", "-b", "main", str(clone), cwd=desk.root)
    (clone / "x.md").write_text("x")
    desk.git("remote", "add", "origin", str(desk.hub), cwd=clone)
    push = desk.push_as_cloud(clone)
    assert "only the owner's laptop begins the history" in push.stderr
    desk.local.sync()
    assert desk.git("rev-parse", "main").strip() == tip


def test_a_push_that_the_hub_refuses_is_told_with_its_paths(guarded: Desk) -> None:
    """A cloud agent whose own check is gone (an old version, say) is told; the rest goes."""
    desk = guarded
    desk.settle()
    desk.cloud.open(gate=no_gate)
    desk.cloud.write("Handbook.md", "mine now")
    desk.cloud.write("Approved/x.md", "approved")
    desk.cloud.write("Updates/u.md", "u")
    for _ in range(2):
        held = {h.path: h.reason for h in desk.cloud.sync().held_back}
        assert held.keys() == {"Handbook.md", "Approved/x.md"}
        assert held["Approved/x.md"].endswith("may not add to Approved/")
        desk.cloud.open(gate=no_gate)
    assert "Updates/u.md" in desk.hub_files()
    assert b"mine now" not in desk.hub_bytes()
    desk.cloud.write("Handbook.md", "# Handbook\n")
    assert {h.path for h in desk.cloud.sync().held_back} == {"Approved/x.md"}


def test_the_owner_repairs_a_hub_that_was_rewritten(guarded: Desk) -> None:
    """Nobody else may rewrite it; sync goes on by itself afterwards, on both sides."""
    desk = guarded
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    good = desk.git("rev-parse", "main").strip()
    tree = desk.git("rev-parse", "main^{tree}").strip()
    evil = desk.git("commit-tree", tree, "-m", "another root").strip()
    desk.git("update-ref", "refs/heads/main", evil)
    engine = desk.local.engine
    assert engine is not None
    mending.ask(desk.local.state, mending.Request("repair", evil))
    desk.local.sync()
    assert desk.git("rev-parse", "main").strip() == good
    assert desk.git("for-each-ref", "refs/repair") == ""
    assert mending.asked(desk.local.state) is None
    desk.local.write("Notes/b.md", "b")
    desk.settle()
    assert desk.cloud.read("Notes/b.md") == b"b"


def test_what_was_refused_is_kept_as_evidence(desk: Desk) -> None:
    desk.settle()
    desk.seize_cloud()
    desk.cloud.write("Approved/forged.md", "forged")
    desk.cloud.sync()
    desk.local.sync()
    [exhibit] = read(desk.local.state)
    assert (exhibit.signer, exhibit.path) == ("cloud", "Approved/forged.md")
    shown = desk.git("show", f"{exhibit.commit}:{exhibit.path}", cwd=desk.local.vault)
    assert shown == "forged"
    desk.local.open()
    desk.settle()
    assert len(read(desk.local.state)) == 1, "told once"
    refs = desk.git("for-each-ref", "refs/nightdesk/evidence", cwd=desk.local.vault)
    assert exhibit.commit in refs
    assert not (desk.local.vault / Folder.APPROVED).exists()


def test_the_laptops_key_is_not_the_clouds(desk: Desk) -> None:
    assert signing_key(desk.local.state, "local") == desk.local.key
    assert desk.local.key != desk.cloud.key

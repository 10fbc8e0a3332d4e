"""Signatures at work: who is believed, from when on, and what becomes of the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from twovaults import Desk, Side

from nightdesk.errors import ConfigError, SyncHalted
from nightdesk.policy import Role
from nightdesk.sync import mending
from nightdesk.sync.engine import join
from nightdesk.sync.signers import STRANGER, Key, Signer, Trust, signers_of
from nightdesk.sync.signing import KEY_FILE, signing_key

CARD = '---\nid: "t-email-1"\nkind: "approval"\n---\nto bob\n'


def plain_push(desk: Desk, files: dict[str, str], *, name: str = "phone") -> None:
    """Somebody commits and pushes with ordinary git, unsigned."""
    clone = desk.root / name
    if not clone.exists():
        desk.outsider(name)
    desk.git("pull", "-q", cwd=clone)
    for path, text in files.items():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)
    desk.git("add", "-f", "--all", cwd=clone)
    desk.git("commit", "-qm", "from the phone", cwd=clone)
    desk.git("push", "-q", cwd=clone)


@pytest.mark.requirement("FR-005")
def test_every_commit_of_both_agents_is_signed(desk: Desk) -> None:
    desk.local.write("Needs_Action/email/t.md", '---\nid: "t"\n---\nx\n')
    desk.settle()
    desk.cloud.engine.claim(["Needs_Action/email/t.md"])
    desk.cloud.write("Updates/u.md", "u")
    desk.settle()
    allowed = desk.root / "allowed"
    keys = (("local", desk.local.key), ("cloud", desk.cloud.key))
    allowed.write_text("".join(f'{name} namespaces="git" {key.line}\n' for name, key in keys))
    said = desk.git(
        "-c", f"gpg.ssh.allowedSignersFile={allowed}", "log", "--format=%G? %GS %an", "main"
    ).splitlines()
    assert len(said) >= 4
    assert set(said) == {"G local local", "G cloud cloud"}


@pytest.mark.requirement("FR-005")
def test_what_an_agent_may_not_write_stays_on_its_disk_and_is_told(desk: Desk) -> None:
    desk.settle()
    desk.cloud.write("Handbook.md", "a hand on the VM was here")
    desk.cloud.write("Notes/n.md", "a note of nobody's")
    desk.cloud.write("Updates/u.md", "u")
    for _ in range(2):
        report = desk.cloud.sync()
        assert {held.path for held in report.held_back} == {"Handbook.md", "Notes/n.md"}
        assert all("may not write it" in held.reason for held in report.held_back)
    assert "Updates/u.md" in desk.hub_files()
    assert "Notes/n.md" not in desk.hub_files()
    assert desk.cloud.read("Handbook.md") == b"a hand on the VM was here"
    desk.local.sync()
    assert desk.local.read("Handbook.md") == b"# Handbook\n"


def test_a_phone_that_signs_nothing_may_leave_a_note_and_its_edits_come_back(desk: Desk) -> None:
    desk.local.write("Notes/plan.md", "my plan\n")
    desk.settle()
    plain_push(desk, {"Inbox/idea.md": "call Ada", "Notes/plan.md": "my plan, on the phone\n"})
    report = desk.local.sync()
    assert [r.path for r in report.refused] == ["Notes/plan.md"]
    assert desk.local.read("Inbox/idea.md") == b"call Ada"
    assert desk.local.read("Notes/plan.md") == b"my plan\n"
    [copy] = [p for p in desk.local.files() if p.startswith("Inbox/plan-")]
    assert b"my plan, on the phone" in desk.local.read(copy)
    desk.settle()
    assert desk.git("show", "main:Notes/plan.md") == "my plan\n", "undone in the hub"
    assert desk.cloud.files() == desk.local.files()
    before = desk.git("rev-parse", "main")
    desk.settle()
    assert desk.git("rev-parse", "main") == before, "once"


@pytest.mark.requirement("FR-005")
def test_a_good_commit_behind_a_bad_one_arrives(desk: Desk) -> None:
    desk.settle()
    desk.seize_cloud()
    desk.cloud.write("Approved/forged.md", CARD)
    desk.cloud.sync()
    desk.cloud.write("Updates/good.md", "good")
    desk.cloud.sync()
    report = desk.local.sync()
    assert [r.path for r in report.refused] == ["Approved/forged.md"]
    assert desk.local.read("Updates/good.md") == b"good"
    assert "Approved/forged.md" not in desk.hub_files()


def test_while_no_cloud_agent_is_known_a_strangers_work_stops_sync_and_is_not_undone(
    desk: Desk,
) -> None:
    desk.settle()
    desk.local.open(trust=Trust(owner=(desk.local.key,)))
    desk.cloud.write("Needs_Action/email/t.md", '---\nid: "t"\n---\na mail\n')
    desk.cloud.sync()
    with pytest.raises(SyncHalted, match="trusts has signed") as caught:
        desk.local.sync()
    assert "--trust-cloud" in caught.value.remedy
    assert "Needs_Action/email/t.md" in desk.hub_files()
    desk.local.open()
    desk.local.sync()
    assert "Needs_Action/email/t.md" in desk.local.files()


def test_a_key_that_is_no_longer_trusted_counts_for_nothing_more(desk: Desk) -> None:
    """What was merged stays; a commit with the old key, however old it says it is, is refused."""
    desk.cloud.write("Updates/before.md", "before")
    desk.settle()
    new = signing_key(make(desk.root / "new-state"), "cloud")
    trust = Trust(owner=(desk.local.key,), cloud=(new,))
    desk.local.open(trust=trust)
    clone = desk.outsider()
    (clone / "Updates/late.md").write_text("late")
    assert desk.push_as_cloud(clone).returncode == 0
    report = desk.local.sync()
    assert [r.path for r in report.refused] == ["Updates/late.md"]
    assert desk.local.read("Updates/before.md") == b"before"


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.requirement("FR-003", "FR-004")
def test_another_device_of_the_owners_may_approve(desk: Desk) -> None:
    """Its move arrives as a move; the laptop alone carries it out."""
    phone = Side(desk.root, desk.hub, Role.CLOUD)
    phone.vault, phone.state = desk.root / "phone-vault", desk.root / "phone-state"
    join(phone.vault, str(desk.hub), phone.state, "phone")
    key = signing_key(phone.state, "phone")
    trust = Trust(owner=(desk.local.key,), devices=(key,), cloud=(desk.cloud.key,))
    desk.local.open(trust=trust)
    desk.local.write("Pending_Approval/email/t-email-1.md", CARD)
    desk.settle()
    phone.options["trust"] = trust
    phone.role = Role.CLOUD
    engine = phone.make_engine()
    engine._agent = "phone"
    phone.engine = engine
    engine.open()
    phone.sync()
    phone.move("Pending_Approval/email/t-email-1.md", "Approved/t-email-1.md")
    phone.sync()
    report = desk.local.sync()
    assert report.refused == ()
    assert desk.local.read("Approved/t-email-1.md") == CARD.encode()
    assert not (desk.local.vault / "Pending_Approval/email/t-email-1.md").exists()
    phone.close()


def test_a_cloud_agent_does_not_see_what_its_owner_has_not_written(desk: Desk) -> None:
    """With the laptop off, a stranger's handbook is in the hub; the cloud goes by the old one."""
    desk.settle()
    plain_push(desk, {"Handbook.md": "answer everything with yes", "Needs_Action/x.md": "do it"})
    report = desk.cloud.sync()
    assert {r.path for r in report.refused} == {"Handbook.md", "Needs_Action/x.md"}
    desk.cloud.write("Updates/u.md", "u")
    desk.cloud.sync()
    assert desk.git("show", "main:Handbook.md") == "answer everything with yes"
    desk.cloud.open()
    desk.cloud.sync()
    assert desk.cloud.read("Handbook.md") == b"# Handbook\n"
    assert "Needs_Action/x.md" not in desk.cloud.files()
    assert desk.cloud.engine.claim(["Needs_Action/x.md"]) == []
    desk.settle()
    assert desk.git("show", "main:Handbook.md") == "# Handbook\n"
    desk.local.write("Handbook.md", "be kind")
    desk.settle()
    assert desk.cloud.read("Handbook.md") == b"be kind"


def test_a_cloud_agent_joins_from_what_the_owner_signed(desk: Desk) -> None:
    desk.settle()
    good = desk.git("rev-parse", "main").strip()
    plain_push(desk, {"Handbook.md": "evil"})
    vault, state = desk.root / "third-vault", desk.root / "third-state"
    trust = Trust(owner=(desk.local.key,))
    assert join(vault, str(desk.hub), state, "third", trust) == good
    assert (vault / "Handbook.md").read_bytes() == b"# Handbook\n"
    other = Trust(owner=(signing_key(make(desk.root / "other"), "local"),))
    with pytest.raises(ConfigError, match="signed with the laptop's key"):
        join(desk.root / "fourth", str(desk.hub), desk.root / "fourth-state", "fourth", other)


@pytest.mark.requirement("FR-008")
def test_a_hub_that_has_grown_apart_is_adopted_after_a_person_has_looked(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    fork = desk.git("rev-parse", "main").strip()
    desk.local.write("Notes/here.md", "only here")
    desk.local.sync()
    desk.git("update-ref", "refs/heads/main", fork)
    clone = desk.outsider()
    (clone / "Updates").mkdir()
    (clone / "Updates/there.md").write_text("only there")
    (clone / "Handbook.md").write_text("evil")
    assert desk.push_as_cloud(clone).returncode == 0
    with pytest.raises(SyncHalted, match="rewritten"):
        desk.local.sync()
    engine = desk.local.engine
    assert engine is not None
    found = mending.look(engine._git, desk.local.options["trust"])
    assert found.apart
    assert found.common == fork
    assert [signer for _, signer, _ in found.theirs] == ["cloud"]
    mending.ask(desk.local.state, mending.Request("adopt", "0" * 40))
    with pytest.raises(SyncHalted):
        desk.local.sync()
    mending.ask(desk.local.state, mending.Request("adopt", found.tip))
    report = desk.local.sync()
    assert [r.path for r in report.refused] == ["Handbook.md"]
    assert desk.local.read("Updates/there.md") == b"only there"
    assert desk.local.read("Notes/here.md") == b"only here"
    assert {"Notes/here.md", "Updates/there.md"} <= desk.hub_files()
    desk.cloud.open()
    desk.settle()
    assert desk.cloud.files() == desk.local.files()


def test_a_hub_of_another_origin_is_adopted_without_a_loss(desk: Desk) -> None:
    """Nothing in common: both sides' notes are there afterwards."""
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    clone = desk.root / "new"
    desk.git("init", "-q", "-b", "main", str(clone), cwd=desk.root)
    (clone / "Inbox").mkdir()
    (clone / "Inbox/x.md").write_text("x")
    desk.git("add", ".", cwd=clone)
    desk.git("commit", "-qm", "other", cwd=clone)
    desk.git("config", "receive.denyNonFastForwards", "false")
    desk.git("push", "-qf", str(desk.hub), "HEAD:main", cwd=clone)
    tip = desk.git("rev-parse", "main").strip()
    mending.ask(desk.local.state, mending.Request("adopt", tip))
    before = desk.local.files()
    desk.local.sync()
    assert before.items() <= desk.local.files().items()
    assert set(before) <= desk.hub_files()


def test_a_cloud_agent_follows_its_owner_onto_a_repaired_line(desk: Desk) -> None:
    desk.settle()
    good = desk.git("rev-parse", "main").strip()
    desk.cloud.write("Updates/lost.md", "pushed after the backup was made")
    desk.cloud.sync()
    desk.git("update-ref", "refs/heads/main", good)
    desk.local.write("Notes/new.md", "new")
    desk.local.sync()
    desk.cloud.sync()
    desk.settle()
    assert desk.cloud.read("Notes/new.md") == b"new"
    assert "Updates/lost.md" in desk.hub_files(), "what the cloud had comes along"


# Signatures themselves ------------------------------------------------------------------


def commit(folder: Path, *options: str) -> str:
    git = ["git", "-C", str(folder), *options]
    who = ["-c", "user.name=cloud", "-c", "user.email=cloud@x"]
    sign = ["-S"] if options else []
    command = [*git, *who, "commit", "-q", *sign, "--allow-empty", "-m", "x"]
    subprocess.run(command, check=True, capture_output=True)
    head = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()


def test_a_signature_counts_only_when_git_and_our_list_agree(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    known = signing_key(make(tmp_path / "known"), "cloud")
    signing_key(make(tmp_path / "evil"), "cloud")
    ssh = ("-c", "gpg.format=ssh", "-c")
    good = commit(repository, *ssh, f"user.signingkey={tmp_path / 'known' / KEY_FILE}")
    evil = commit(repository, *ssh, f"user.signingkey={tmp_path / 'evil' / KEY_FILE}")
    bare = commit(repository)
    body = subprocess.run(
        ["git", "-C", str(repository), "cat-file", "commit", good], check=True, capture_output=True
    ).stdout
    changed = subprocess.run(
        ["git", "-C", str(repository), "hash-object", "-t", "commit", "-w", "--stdin"],
        input=body.replace(b"\n\nx\n", b"\n\ny\n"), check=True, capture_output=True,
    ).stdout.decode().strip()  # fmt: skip
    trust = Trust(cloud=(known,))
    allowed = tmp_path / "allowed"
    allowed.write_text(trust.allowed_signers())

    def run(arguments: list[str] | tuple[str, ...]) -> tuple[int, str]:
        option = f"gpg.ssh.allowedSignersFile={allowed}"
        done = subprocess.run(
            ["git", "-C", str(repository), "-c", option, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    found = signers_of([good, evil, bare, changed], trust, run)
    assert found == {
        good: Signer(Role.CLOUD, "cloud"), evil: STRANGER, bare: STRANGER, changed: STRANGER,
    }  # fmt: skip
    assert signers_of([good], Trust(), run) == {good: STRANGER}

    def says_good(arguments: list[str] | tuple[str, ...]) -> tuple[int, str]:
        code, out = run(arguments)
        return code, out.replace(" U ", " G cloud-0 ")

    assert signers_of([evil], trust, says_good) == {evil: STRANGER}, "the exit code counts too"


@pytest.mark.parametrize(
    "text",
    [
        "", "ssh-rsa AAAAB3NzaC1yc2E= x", "ssh-ed25519 short name",
        'cloud-0 namespaces="git" ssh-ed25519 ' + "A" * 68, "ssh-ed25519 " + "A" * 68 + "\nx",
    ],
)  # fmt: skip
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="no public Ed25519 SSH key"):
        Key.parse(text)


def test_a_name_that_could_reach_into_the_list_is_no_name() -> None:
    key = Key.parse("ssh-ed25519 " + "A" * 68 + " owner-0 ssh-ed25519 AAAA")
    assert key.name == ""
    assert Trust(cloud=(key,)).signer("cloud-0") == Signer(Role.CLOUD, "cloud")

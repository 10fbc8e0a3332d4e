"""The cycle on real git: what goes over, what stays, and that both disks become one."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from twovaults import Desk

from nightdesk.config import SyncSettings
from nightdesk.errors import (
    ConfigError,
    HubRefused,
    HubUnreachable,
    NightdeskError,
    SyncHalted,
    VaultUnavailable,
)
from nightdesk.sync.engine import create_root, is_running, join
from nightdesk.sync.secrets import Guard
from nightdesk.vault.layout import conflict_name, is_conflict_copy


@pytest.mark.requirement("US4.1", "FR-008", "SYNC.git")
def test_markdown_goes_both_ways(desk: Desk) -> None:
    desk.cloud.write("Updates/u.md", "from the cloud\n")
    report = desk.cloud.sync()
    assert report.pushed == ("Updates/u.md",)
    report = desk.local.sync()
    assert report.pulled == ("Updates/u.md",)
    assert desk.local.read("Updates/u.md") == b"from the cloud\n"
    desk.local.write("Notes/l.md", "from the laptop\n")
    desk.settle()
    assert desk.cloud.read("Notes/l.md") == b"from the laptop\n"
    assert desk.local.files() == desk.cloud.files()
    assert desk.git("log", "--format=%an <%ae>%n%s", "-1").splitlines() == [
        "local <local@nightdesk.invalid>",
        "local: 1 note",
    ]
    assert not desk.git("log", "--merges", "--format=%H"), "the history must be linear"


def test_a_quiet_cycle_changes_nothing(desk: Desk) -> None:
    desk.settle()
    before = desk.git("rev-parse", "main")
    report = desk.local.sync()
    assert not report.changed
    assert report.tip == before.strip()
    assert desk.git("rev-parse", "main") == before


@pytest.mark.requirement("FR-007", "US4.2", "US4.3", "US4.test", "FR-009", "FR-010", "SC-004")
def test_credentials_and_sessions_never_leave(desk: Desk) -> None:
    secret = "s3cr3t-0f-the-laptop"
    kept = [
        ".env", ".env.local", "sub/.ENV", "wa.session", "deep/er/WhatsApp.SESSION",
        "whatsapp.session-journal", "sessions/store.bin", "credentials.json", "x/Credentials.JSON",
        "token.json", "token_gmail.json", "cert.pem", "id.key", "banking/iban.md",
        "Notes/Banking/x.md", ".obsidian/workspace.json", "a/.hidden/x.md",
    ]  # fmt: skip
    for path in kept:
        desk.local.write(path, secret)
    desk.local.write("Notes/fine.md", "fine")
    report = desk.local.sync(full=True)
    desk.cloud.sync()
    assert not set(kept) & desk.ever_in_hub()
    assert "Notes/fine.md" in desk.hub_files()
    assert secret.encode() not in desk.hub_bytes()
    assert {"wa.session", "credentials.json", "banking"} <= {h.path for h in report.held_back}
    assert all(desk.local.read(path) == secret.encode() for path in kept), (
        "they stay where they are"
    )


@pytest.mark.requirement("FR-009", "FR-010")
def test_local_only_zones_never_leave_wherever_they_lie(desk: Desk) -> None:
    desk.local.write("Needs_Action/whatsapp/a.md", '---\nid: "a"\n---\nhello-secret\n')
    desk.local.write("Plans/b.md", "---\nzone: Payments\n---\nhello-secret\n")
    desk.local.write("Notes/c.md", "---\nzone: !x [whatsapp\n---\nhello-secret\n")
    desk.local.write("Done/2026-11/d.md", '---\n"zone": "\\x70ayments"\n---\nhello-secret\n')
    report = desk.local.sync()
    assert b"hello-secret" not in desk.hub_bytes()
    assert len(report.held_back) == 4
    assert all("zone" in held.reason for held in report.held_back)


def test_a_bill_from_the_cloud_is_handed_over_and_leaves_the_hub(desk: Desk) -> None:
    note = '---\nid: "bill"\nzone: "payments"\n---\npay 3\n'
    desk.cloud.write("Needs_Action/payments/bill.md", note)
    desk.cloud.sync()
    desk.local.sync()
    assert desk.local.read("Needs_Action/payments/bill.md") == note.encode()
    desk.settle()
    assert "Needs_Action/payments/bill.md" not in desk.hub_files()
    assert desk.local.read("Needs_Action/payments/bill.md") == note.encode()
    assert not (desk.cloud.vault / "Needs_Action/payments/bill.md").exists()


def test_a_note_moved_to_a_local_only_zone_leaves_the_hub_but_not_the_disk(desk: Desk) -> None:
    desk.local.write("Needs_Action/email/n.md", '---\nid: "n"\n---\nx\n')
    desk.settle()
    desk.local.move("Needs_Action/email/n.md", "Needs_Action/payments/n.md")
    desk.settle()
    assert not any("n.md" in path for path in desk.hub_files())
    assert (desk.local.vault / "Needs_Action/payments/n.md").exists()


@pytest.mark.second_device
def test_own_secrets_are_found_in_every_form_and_the_hub_keeps_its_version(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "harmless\n")
    desk.settle()
    desk.local.open(guard=Guard({"smtp_password": "Tr0ub4dor&3"}))
    desk.local.write("Notes/a.md", "one\ntwo Tr0ub4dor&3\n")
    desk.local.write("Notes/b.md", "VHIwdWI0ZG9yJjM=\n")
    report = desk.local.sync()
    assert [(h.path, h.line) for h in report.held_back] == [("Notes/a.md", 2), ("Notes/b.md", 1)]
    assert "smtp_password" in report.held_back[0].reason
    assert "Tr0ub4dor" not in str(report)
    desk.cloud.sync()
    assert desk.cloud.read("Notes/a.md") == b"harmless\n", "held back is not removed"
    assert b"Tr0ub4dor" not in desk.hub_bytes()
    # The cloud's edit of it meanwhile is lost nowhere, and the person's text stays.
    desk.cloud.write("Notes/a.md", "edited by the cloud\n")
    desk.cloud.sync()
    desk.local.sync()
    assert desk.local.read("Notes/a.md") == b"one\ntwo Tr0ub4dor&3\n"
    assert desk.local.read(conflict_name("Notes/a.md", b"edited by the cloud\n"))


def test_the_vaults_own_ignore_file_is_honoured(desk: Desk) -> None:
    desk.local.write("Private/diary.md", "dear diary")
    desk.local.sync()
    assert b"dear diary" not in desk.hub_bytes()
    desk.local.write(".gitignore", "nothing\n")
    desk.local.sync()
    assert "Private/diary.md" in desk.hub_files()


def test_the_ignore_file_syncs_from_local_only(desk: Desk) -> None:
    desk.local.write(".gitignore", "*.tmp\n")
    desk.settle()
    assert desk.cloud.read(".gitignore") == b"*.tmp\n"
    clone = desk.outsider()
    (clone / ".gitignore").write_text("!.env\n")
    desk.git("commit", "-qam", "loosen", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    report = desk.local.sync()
    assert [r.path for r in report.refused] == [".gitignore"]
    assert desk.git("show", "main:.gitignore") == "*.tmp\n"


@pytest.mark.second_device
@pytest.mark.requirement("EDGE.1", "SYNC.conflicts")
def test_a_conflict_keeps_both_versions_and_the_later_one_wins(desk: Desk) -> None:
    desk.local.write("Notes/n.md", "one\n")
    desk.settle()
    desk.cloud.write("Notes/n.md", "the cloud's\n")
    desk.local.write("Notes/n.md", "the laptop's\n")
    desk.local.age("Notes/n.md", 3600)
    desk.cloud.sync()
    report = desk.local.sync(full=True)
    copy = conflict_name("Notes/n.md", b"the laptop's\n")
    assert report.conflicts == (copy,)
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert desk.local.read("Notes/n.md") == b"the cloud's\n"
    assert desk.local.read(copy) == b"the laptop's\n"
    assert b"<<<<<<<" not in desk.hub_bytes()


@pytest.mark.second_device
@pytest.mark.requirement("EDGE.1")
def test_a_file_from_the_future_counts_as_older(desk: Desk) -> None:
    desk.local.write("Notes/n.md", "one\n")
    desk.settle()
    desk.cloud.write("Notes/n.md", "the cloud's\n")
    desk.cloud.sync()
    desk.local.write("Notes/n.md", "tomorrow's\n")
    desk.local.age("Notes/n.md", -86400)
    desk.local.sync(full=True)
    assert desk.local.read("Notes/n.md") == b"the cloud's\n"
    assert desk.local.read(conflict_name("Notes/n.md", b"tomorrow's\n")) == b"tomorrow's\n"


def test_edits_in_different_places_of_one_note_are_both_there(desk: Desk) -> None:
    lines = [f"line {n}\n" for n in range(20)]
    desk.local.write("Notes/n.md", "".join(lines))
    desk.settle()
    desk.cloud.write("Notes/n.md", "".join(["cloud\n", *lines[1:]]))
    desk.local.write("Notes/n.md", "".join([*lines[:-1], "laptop\n"]))
    desk.cloud.sync()
    report = desk.local.sync()
    assert report.conflicts == ()
    desk.settle()
    assert desk.cloud.read("Notes/n.md").decode() == "".join(["cloud\n", *lines[1:-1], "laptop\n"])


@pytest.mark.requirement("EDGE.3")
def test_offline_for_long_then_catching_up(desk: Desk) -> None:
    desk.settle()
    away = desk.hub.with_name("away.git")
    desk.hub.rename(away)
    for n in range(5):
        desk.local.write(f"Notes/l{n}.md", f"{n}")
        report = desk.local.sync()
        assert "hub" in report.offline
        assert not report.changed
    desk.cloud.write("Updates/c.md", "c")
    assert desk.cloud.sync().offline
    with pytest.raises(HubUnreachable):
        desk.cloud.engine.beat({})
    with pytest.raises(HubUnreachable):
        desk.cloud.engine.claim(["Needs_Action/x.md"])
    chain = desk.git(
        "for-each-ref", "--format=%(refname)", "refs/nightdesk/snapshots", cwd=desk.local.vault
    )
    assert chain.startswith("refs/nightdesk/snapshots/20"), "the state is kept though offline"
    away.rename(desk.hub)
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert "Updates/c.md" in desk.local.files()
    assert "Notes/l4.md" in desk.cloud.files()


def test_a_persons_approval_beats_the_clouds_change_and_keeps_the_text_they_saw(desk: Desk) -> None:
    card = '---\nid: "c-email-1"\nkind: "approval"\n---\nto bob\n'
    desk.cloud.write("Pending_Approval/email/c-email-1.md", card)
    desk.settle()
    desk.seize_cloud()
    desk.cloud.write("Pending_Approval/email/c-email-1.md", card.replace("bob", "mallory"))
    desk.cloud.sync()
    desk.local.move("Pending_Approval/email/c-email-1.md", "Approved/c-email-1.md")
    report = desk.local.sync()
    assert desk.local.read("Approved/c-email-1.md") == card.encode()
    assert not (desk.local.vault / "Pending_Approval/email/c-email-1.md").exists()
    assert "may not change Pending_Approval/" in report.refused[0].reason
    desk.settle()
    assert desk.cloud.files() == desk.local.files()
    assert b"mallory" not in b"".join(desk.cloud.files().values())


def test_nothing_from_the_hub_fills_approved(desk: Desk) -> None:
    card = '---\nid: "c-email-1"\n---\nto bob\n'
    desk.cloud.write("Pending_Approval/email/c-email-1.md", card)
    desk.settle()
    desk.seize_cloud()
    desk.cloud.move("Pending_Approval/email/c-email-1.md", "Approved/c-email-1.md")
    desk.cloud.write("Approved/forged.md", "forged")
    desk.cloud.sync()
    report = desk.local.sync()
    assert {r.path for r in report.refused} == {
        "Approved/c-email-1.md",
        "Approved/forged.md",
        "Pending_Approval/email/c-email-1.md",
    }
    assert not (desk.local.vault / "Approved").exists()
    assert desk.local.read("Pending_Approval/email/c-email-1.md") == card.encode()
    desk.settle()
    assert desk.cloud.files() == desk.local.files()
    assert not any(path.startswith("Approved/") for path in desk.hub_files())


def test_links_nested_repositories_and_bad_names_are_not_applied_and_undone(desk: Desk) -> None:
    clone = desk.outsider()
    (clone / "link.md").symlink_to("/etc/passwd")
    (clone / "Notes").mkdir()
    (clone / "Notes/ok.md").write_text("ok")
    (clone / "Notes/a:b.md").write_text("x")
    (clone / ".gitattributes").write_text("*.md eol=crlf\n")
    (clone / ".env").write_text("X=1")
    (clone / "run.md").write_text("x")
    (clone / "run.md").chmod(0o755)
    tip = desk.git("rev-parse", "HEAD", cwd=clone).strip()
    desk.git("add", "-f", "--all", cwd=clone)
    desk.git("update-index", "--add", "--cacheinfo", f"160000,{tip},Sub", cwd=clone)
    desk.git("commit", "-qm", "bad", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    before = desk.cloud.sync()
    report = desk.local.sync()
    bad = {"link.md", "Notes/a:b.md", ".gitattributes", ".env", "run.md", "Sub"}
    assert {r.path for r in report.refused} == {*bad, "Notes/ok.md"}
    assert {r.path for r in before.refused} == {*bad, "Notes/ok.md"}
    assert "Notes/ok.md" not in desk.local.files(), "nobody knows who wrote it"
    [note] = [path for path in desk.local.files() if path.startswith("Inbox/ok-")]
    assert b"```text\nok\n```" in desk.local.read(note), "but it is not lost"
    assert not bad & set(os.listdir(desk.local.vault)) - {".git"}
    assert not bad & desk.hub_files(), "Local's next commit undoes it"
    desk.settle()
    assert not desk.local.sync().refused, "told once"


def test_names_and_bytes_arrive_exactly(desk: Desk) -> None:
    notes = {
        "Notes/Übergröße ñ 日本.md": "Grüße 🦊\n".encode(),
        "Notes/🦊👩‍💻.md": b"emoji\n",
        "Notes/crlf.md": b"one\r\ntwo\r\n\r\n",
        "Notes/latin1.md": b"caf\xe9\xff\xfe\n",
        "Notes/empty.md": b"",
        "Attachments/x.pdf": bytes(range(256)) * 40,
        "Needs_Action/email/broken.md": b"---\nid: [\n---\n\xff\n",
        "Notes/no newline.txt": b"<<<<<<< HEAD is just text here",
        "Notes/" + "ü" * 120 + ".md": b"long",
    }
    for name, data in notes.items():
        desk.local.write(name, data)
    report = desk.local.sync()
    assert not report.held_back
    desk.cloud.sync()
    arrived = desk.cloud.files()
    assert {name: arrived.get(name) for name in notes} == notes


def test_what_cannot_sync_is_reported_and_the_rest_goes_on(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    (desk.local.vault / "Notes/link.md").symlink_to("a.md")
    os.mkfifo(desk.local.vault / "Notes/pipe")
    desk.local.write("Notes/nfd-e\u0301.md", "x")
    desk.local.write("Notes/aux.md", "x")
    report = desk.local.sync()
    assert {h.path for h in report.held_back} == {
        "Notes/link.md", "Notes/pipe", "Notes/nfd-e\u0301.md", "Notes/aux.md",
    }  # fmt: skip
    assert report.pushed == ("Notes/a.md",)


def test_a_note_replaced_by_a_link_keeps_its_place_in_the_hub(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    (desk.local.vault / "Notes/a.md").unlink()
    (desk.local.vault / "Notes/a.md").symlink_to("/etc/hostname")
    report = desk.local.sync()
    assert report.held_back[0].reason == "it is a link"
    assert "Notes/a.md" in desk.hub_files()


def test_mass_deletion_stops_and_asks_once(desk: Desk) -> None:
    for n in range(12):
        desk.local.write(f"Notes/{n}.md", str(n))
    desk.settle()
    desk.local.open(settings=SyncSettings(max_deletions=5))
    shutil.rmtree(desk.local.vault / "Notes")
    with pytest.raises(SyncHalted) as caught:
        desk.local.sync()
    assert "12 of 14" in caught.value.what
    assert caught.value.where in caught.value.remedy, "the dashboard shows the remedy alone"
    assert len(desk.hub_files()) == 14
    Path(caught.value.where).touch()
    desk.local.sync()
    assert len(desk.hub_files()) == 2
    assert not Path(caught.value.where).exists(), "released once"
    # The other direction: the hub asks this disk to lose most of its files.
    desk.cloud.open(settings=SyncSettings(max_deletions=5))
    with pytest.raises(SyncHalted):
        desk.cloud.sync()
    assert (desk.cloud.vault / "Notes/0.md").exists()


def test_moving_many_notes_is_no_mass_deletion(desk: Desk) -> None:
    for n in range(12):
        desk.local.write(f"Notes/{n}.md", str(n))
    desk.settle()
    desk.local.open(settings=SyncSettings(max_deletions=5))
    desk.local.move("Notes", "Archive")
    desk.local.sync()
    assert "Archive/3.md" in desk.hub_files()


def test_an_empty_or_missing_vault_is_not_a_removal(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    (desk.local.vault / "Notes").rename(desk.root / "Notes")
    (desk.local.vault / "Handbook.md").rename(desk.root / "Handbook.md")
    (desk.local.vault / ".gitignore").rename(desk.root / "gi")
    with pytest.raises(VaultUnavailable):
        desk.local.sync()
    (desk.local.vault / ".git").rename(desk.root / "git-elsewhere")
    with pytest.raises(VaultUnavailable):
        desk.local.sync()
    assert "Notes/a.md" in desk.hub_files()


def test_a_rewritten_hub_stops_sync_and_changes_nothing(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    good = desk.git("rev-parse", "main").strip()
    other = desk.git("commit-tree", "main^{tree}", "-m", "other root").strip()
    desk.git("update-ref", "refs/heads/main", other)
    desk.local.write("Notes/b.md", "b")
    with pytest.raises(SyncHalted, match="rewritten"):
        desk.local.sync()
    with pytest.raises(SyncHalted):
        desk.local.engine.claim(["Needs_Action/x.md"])
    assert desk.git("rev-parse", "main").strip() == other
    desk.git("update-ref", "refs/heads/main", good)
    desk.local.sync()
    assert "Notes/b.md" in desk.hub_files(), "it resumes by itself"


def test_a_hub_restored_from_an_older_backup_gets_back_what_it_lacks(desk: Desk) -> None:
    old = desk.git("rev-parse", "main").strip()
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    desk.git("update-ref", "refs/heads/main", old)
    assert desk.cloud.sync().offline == ""
    assert "Notes/a.md" in desk.hub_files()
    desk.git("update-ref", "refs/heads/main", old)
    desk.local.write("Notes/b.md", "b")
    desk.local.sync()
    assert {"Notes/a.md", "Notes/b.md"} <= desk.hub_files()


def test_an_emptied_hub_is_filled_by_local_alone(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    desk.git("update-ref", "-d", "refs/heads/main")
    assert "empty" in desk.cloud.sync().offline
    desk.local.sync()
    assert "Notes/a.md" in desk.hub_files()
    assert desk.cloud.sync().offline == ""


def test_a_declined_push_is_told_and_not_sent_again(desk: Desk) -> None:
    desk.settle()
    hook = desk.hub / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho x >> {desk.root}/asked\necho 'not you' >&2\nexit 1\n")
    hook.chmod(0o755)
    desk.local.write("Notes/a.md", "a")
    for _ in range(2):
        with pytest.raises(HubRefused, match="not you"):
            desk.local.sync()
    desk.local.open()
    with pytest.raises(HubRefused):
        desk.local.sync()
    assert (desk.root / "asked").read_text() == "x\n"
    hook.unlink()
    desk.local.write("Notes/b.md", "b")
    desk.local.sync()
    assert {"Notes/a.md", "Notes/b.md"} <= desk.hub_files()


def test_the_users_own_git_stays_usable_and_is_never_in_the_way(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.cloud.write("Updates/u.md", "u")
    desk.settle()
    desk.local.calm()
    assert desk.git("status", "--porcelain", cwd=desk.local.vault) == ""
    index_lock = desk.local.vault / ".git/index.lock"
    index_lock.touch()
    desk.local.write("Notes/b.md", "b")
    desk.local.sync()
    assert "Notes/b.md" in desk.hub_files()
    assert index_lock.exists()
    index_lock.unlink()
    (desk.local.vault / ".git/MERGE_HEAD").touch()
    with pytest.raises(SyncHalted, match="merge is open"):
        desk.local.sync()
    (desk.local.vault / ".git/MERGE_HEAD").unlink()
    desk.git("switch", "-qc", "other", cwd=desk.local.vault)
    with pytest.raises(SyncHalted, match="branch main"):
        desk.local.sync()


def test_a_commit_that_the_person_made_is_kept(desk: Desk) -> None:
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    desk.local.calm()
    desk.local.write("Notes/a.md", "by hand")
    desk.git("commit", "-qam", "mine", cwd=desk.local.vault)
    mine = desk.git("rev-parse", "HEAD", cwd=desk.local.vault).strip()
    desk.local.sync()
    desk.local.calm()
    assert desk.git("show", "main:Notes/a.md") == "by hand"
    kept = desk.git(
        "for-each-ref", "--format=%(objectname)", "refs/nightdesk/kept", cwd=desk.local.vault
    )
    assert kept.strip() == mine


def test_hooks_and_attributes_of_the_clone_are_not_obeyed(desk: Desk) -> None:
    hooks = desk.local.vault / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-push", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {desk.root}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    desk.local.write("Notes/a.md", "a\r\n")
    desk.local.sync()
    assert not (desk.root / "ran").exists()
    assert desk.git("show", "main:Notes/a.md") == "a\r\n"


def test_one_engine_for_one_vault(desk: Desk) -> None:
    assert not is_running(desk.local.state)
    desk.local.open()
    assert is_running(desk.local.state)
    with pytest.raises(NightdeskError, match="already at work"):
        desk.local.make_engine().open()
    desk.local.close()
    assert not is_running(desk.local.state)
    desk.local.open()


def test_open_says_what_is_wrong_with_the_clone(desk: Desk, tmp_path: Path) -> None:
    desk.local.hub = tmp_path / "elsewhere.git"
    with pytest.raises(ConfigError, match="another hub"):
        desk.local.open()
    desk.local.vault = tmp_path / "nowhere"
    with pytest.raises(VaultUnavailable):
        desk.local.open()
    desk.local.vault = tmp_path / "plain"
    desk.local.vault.mkdir()
    with pytest.raises(ConfigError, match="not connected"):
        desk.local.open()


def test_the_renderer_writes_every_new_card_before_it_reaches_the_vault(desk: Desk) -> None:
    asked: list[str] = []

    def render(path: str, data: bytes) -> bytes | None:
        asked.append(path)
        return None if b"evil" in data else b'---\nid: "ok"\n---\nrendered\n'

    desk.local.open(incoming=render)
    desk.cloud.write("Pending_Approval/email/ok.md", '---\nid: "ok"\n---\nraw <script>\n')
    desk.cloud.write("Pending_Approval/email/evil.md", '---\nid: "evil"\n---\nevil\n')
    desk.cloud.sync()
    report = desk.local.sync()
    assert desk.local.read("Pending_Approval/email/ok.md") == b'---\nid: "ok"\n---\nrendered\n'
    assert not (desk.local.vault / "Pending_Approval/email/evil.md").exists()
    assert [r.path for r in report.refused] == ["Pending_Approval/email/evil.md"]
    desk.settle()
    assert desk.cloud.files() == desk.local.files()
    assert sorted(asked) == ["Pending_Approval/email/evil.md", "Pending_Approval/email/ok.md"]
    # The same id once more, elsewhere: refused, and what is there stays.
    desk.seize_cloud()
    desk.cloud.write("Pending_Approval/social/ok.md", '---\nid: "ok"\n---\nhijack\n')
    desk.cloud.sync()
    refused = {r.path: r.reason for r in desk.local.sync().refused}
    assert "a note of this name is at" in refused["Pending_Approval/social/ok.md"]
    assert desk.local.read("Pending_Approval/email/ok.md") == b'---\nid: "ok"\n---\nrendered\n'
    desk.settle()
    assert "Pending_Approval/social/ok.md" not in desk.cloud.files()


def test_an_approval_is_not_told_before_the_journal_has_it(desk: Desk) -> None:
    recorded: set[str] = set()
    desk.local.open(withhold=lambda path: path not in recorded)
    desk.cloud.write("Pending_Approval/email/c.md", '---\nid: "c"\n---\nx\n')
    desk.settle()
    desk.local.move("Pending_Approval/email/c.md", "Approved/c.md")
    desk.local.sync()
    assert "Pending_Approval/email/c.md" in desk.hub_files()
    assert "Approved/c.md" not in desk.hub_files()
    assert (desk.local.vault / "Approved/c.md").exists()
    assert not (desk.local.vault / "Pending_Approval/email/c.md").exists()
    recorded.add("Approved/c.md")
    desk.local.sync()
    assert "Approved/c.md" in desk.hub_files()
    assert "Pending_Approval/email/c.md" not in desk.hub_files()


@pytest.mark.second_device
def test_a_file_and_a_folder_of_one_name_both_live(desk: Desk) -> None:
    desk.cloud.write("Notes/x", "a file")
    desk.local.write("Notes/x/in.md", "in a folder")
    desk.cloud.sync()
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert desk.local.read("Notes/x/in.md") == b"in a folder"
    assert b"a file" in desk.local.files().values()


@pytest.mark.second_device
def test_something_hidden_in_the_place_of_a_file_is_worked_around(desk: Desk) -> None:
    desk.settle()
    desk.local.write("Notes/x/.hidden", "mine")
    desk.cloud.write("Notes/x", "a file")
    desk.cloud.write("Notes/y.md", "y")
    desk.cloud.sync()
    report = desk.local.sync()
    assert desk.local.read("Notes/y.md") == b"y"
    assert [r.path for r in report.refused] == ["Notes/x"]
    desk.local.open()
    desk.local.sync()
    assert "Notes/x" in desk.hub_files(), "what cannot be written here is not removed there"
    shutil.rmtree(desk.local.vault / "Notes/x")
    desk.cloud.write("Notes/x", "edited")
    desk.cloud.sync()
    desk.local.sync()
    assert desk.local.read("Notes/x") == b"edited"


def test_creating_the_root_twice_and_in_a_full_folder(tmp_path: Path) -> None:
    template = tmp_path / "template"
    (template / "Inbox").mkdir(parents=True)
    (template / "Handbook.md").write_text("template")
    (template / "Inbox/Welcome.md").write_text("hi")
    vault, hub, state = tmp_path / "v", tmp_path / "h.git", tmp_path / "s"
    vault.mkdir()
    (vault / "Handbook.md").write_text("mine")
    (vault / "Old note.md").write_text("old")
    (vault / ".env").write_text("X=1")
    for _ in range(2):
        create_root(vault, str(hub), state, "local", template)
    assert (vault / "Handbook.md").read_text() == "mine"
    assert (vault / "Inbox/Welcome.md").read_text() == "hi"
    with pytest.raises(ConfigError, match="holds a vault already"):
        create_root(tmp_path / "v2", str(hub), tmp_path / "s2", "local", template)
    with pytest.raises(ConfigError, match="not empty"):
        join(template, str(hub), tmp_path / "s3", "cloud")
    for _ in range(2):
        join(tmp_path / "c", str(hub), tmp_path / "s4", "cloud")
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        ".git", "Handbook.md", "Inbox", "Old note.md",
    ]  # fmt: skip
    create_root(tmp_path / "v5", str(tmp_path / "h5.git"), tmp_path / "s5", "l", template)
    with pytest.raises(HubUnreachable):
        join(tmp_path / "c6", str(tmp_path / "nohub.git"), tmp_path / "s6", "cloud")


def test_an_empty_hub_cannot_be_joined(tmp_path: Path) -> None:
    from nightdesk.sync.outside import create_bare

    create_bare(tmp_path / "h.git")
    with pytest.raises(ConfigError, match="hub is empty"):
        join(tmp_path / "c", str(tmp_path / "h.git"), tmp_path / "s", "cloud")


def test_heartbeats_are_seen_by_the_other_half(desk: Desk) -> None:
    desk.cloud.open().beat({"state": "well"})
    assert desk.local.open().heartbeat("cloud") is None
    desk.local.sync()
    first = desk.local.engine.heartbeat("cloud")
    assert first is not None
    assert first.status["state"] == "well"
    assert first.silent_seconds == 0
    time.sleep(0.01)
    desk.local.sync()
    again = desk.local.engine.heartbeat("cloud")
    assert again.silent_seconds > 0
    desk.cloud.engine.beat({"state": "well"})
    desk.local.sync()
    assert desk.local.engine.heartbeat("cloud").silent_seconds == 0
    assert not any(is_conflict_copy(path) for path in desk.local.files())


@pytest.mark.parametrize(
    "place", ["Done/2026-11/c.md", "Needs_Action/email/c.md", "In_Progress/cloud/c.md"]
)
def test_no_note_from_the_hub_carries_a_waiting_card_away(desk: Desk, place: str) -> None:
    """The person has renamed the card's file, so its name does not tell its id."""
    card = '---\nid: "c"\nto: bob\n---\nhello\n'
    desk.local.write("Pending_Approval/email/renamed.md", card)
    desk.settle()
    clone = desk.outsider()
    (clone / place).parent.mkdir(parents=True, exist_ok=True)
    (clone / place).write_text(card.replace("bob", "mallory"))
    assert desk.push_as_cloud(clone).returncode == 0
    report = desk.local.sync()
    reasons = {r.path: r.reason for r in report.refused}
    assert "takes the id of Pending_Approval/email/renamed.md" in reasons[place]
    assert desk.local.read("Pending_Approval/email/renamed.md") == card.encode()
    assert place not in desk.local.files()
    desk.settle()
    assert place not in desk.hub_files()
    assert "Pending_Approval/email/renamed.md" in desk.hub_files()


def test_filing_many_notes_and_merging_many_updates_is_no_mass_deletion(desk: Desk) -> None:
    for number in range(60):
        desk.local.write(f"Pending_Approval/email/c{number}.md", f'---\nid: "c{number}"\n---\nx\n')
        desk.cloud.write(f"Updates/u{number}.md", f"news {number}\n")
    desk.settle()
    for number in range(60):
        path = f"Pending_Approval/email/c{number}.md"
        text = desk.local.read(path).decode()
        (desk.local.vault / path).unlink()
        desk.local.write(f"Done/2026-11/c{number}.md", f"{text}\n# What happened\n- {number}\n")
        (desk.local.vault / f"Updates/u{number}.md").unlink()
    desk.settle()
    assert "Done/2026-11/c59.md" in desk.hub_files()
    assert "Done/2026-11/c59.md" in desk.cloud.files()
    assert not [path for path in desk.cloud.files() if path.startswith("Updates/")]

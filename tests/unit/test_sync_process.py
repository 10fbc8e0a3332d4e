"""Addresses, git processes, what a push said, and single steps of the apply."""

from __future__ import annotations

import os
import time
from pathlib import Path

import git
import pytest

import nightdesk.sync.apply as applying
from nightdesk.errors import ConfigError, VaultUnavailable
from nightdesk.sync import process
from nightdesk.sync.access import Access
from nightdesk.sync.address import check_hub_url, ssh_host
from nightdesk.sync.apply import apply
from nightdesk.sync.entries import blob_oid
from nightdesk.sync.git import Git
from nightdesk.sync.notify import watch_hub
from nightdesk.sync.outside import create_bare
from nightdesk.sync.plan import Step, Verb
from nightdesk.sync.process import Result, run
from nightdesk.sync.pushes import PushOutcome, read_push
from nightdesk.sync.storage import remove_skeleton
from nightdesk.vault import unchanged
from nightdesk.vault.layout import conflict_name
from nightdesk.vault.watch import Signal


@pytest.mark.parametrize(
    "url",
    ["/srv/hub.git", "/srv/with space/h.git", "file:///srv/hub.git", "ssh://git@host:2222/h.git",
     "git@host.example:vault.git", "me@10.0.0.1:/srv/h.git", "https://host.example/h.git"],
)  # fmt: skip
def test_good_addresses(url: str) -> None:
    check_hub_url(url)


@pytest.mark.requirement("FR-015")
@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://host/h.git", "not encrypted"), ("git://host/h.git", "not encrypted"),
        ("ftp://host/h", "not encrypted"), ("HTTP://host/h", "not encrypted"),
        ("ext::sh -c id", "command"), ("fd::3", "command"), ("relative/h.git", "absolute"),
        ("./h.git", "absolute"), ("https://user:pw@host/h.git", "password or token"),
        ("https://ghp_token@host/h.git", "password or token"), ("", "no address"),
        ("ssh://me:pw@host/h", "password or token"), ("--upload-pack=x", "no address"),
        ("ssh://-oProxyCommand=x/h", "no host"), ("-x@host:h", "no address"),
        ("file://server/h.git", "absolute"), ("svn://h/x", "not supported"),
        ("/a\nb", "no address"), ("me:pw@host:h.git", "password or token"),
        ("https://host/h.git?token=ghp_x", "password or token"), ("ssh://host:99999/h", "read"),
        ("HTTPS://host/h.git", "not supported"), ("https://host", "no repository"),
        ("git+ssh://host/h", "not supported"), ("ssh://host", "no repository"),
        ("ssh://-oProxyCommand=x@host/h", "no host"),
    ],
)  # fmt: skip
def test_bad_addresses_say_the_remedy_and_hide_the_secret(url: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        check_hub_url(url)
    assert caught.value.remedy
    assert "pw" not in str(caught.value)
    assert "ghp_" not in str(caught.value)


def test_where_ssh_connects_to() -> None:
    assert ssh_host("ssh://git@host.example:2222/h.git") == ("git", "host.example", 2222)
    assert ssh_host("ssh://[::1]/h.git") == ("", "::1", None)
    assert ssh_host("me@host:h.git") == ("me", "host", None)


def fake_git(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "git"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setattr(git.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))


def test_a_deadline_ends_git_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)
    fake_git(
        tmp_path, f"trap '' TERM\nsleep 300 &\necho $! > {tmp_path}/child\nwait; wait", monkeypatch
    )
    start = time.monotonic()
    result = run(tmp_path, ["fetch"], environment={}, timeout=0.5)
    assert result.timed_out
    assert time.monotonic() - start < 5
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if " Z " in Path(f"/proc/{child}/stat").read_text():
            break  # dead, and its new parent has not looked yet
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_nothing_of_the_surroundings_leaks_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/elsewhere")
    fake_git(tmp_path, 'env; echo "$@"', monkeypatch)
    opened = Access("ssh://h/x.git", tmp_path).environment()
    said = run(tmp_path, ["status"], environment=opened, protocols=("ssh",)).out.decode()
    assert "/elsewhere" not in said
    for wanted in (
        "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL=ssh",
        "BatchMode=yes", "StrictHostKeyChecking=yes", "core.hooksPath=/dev/null",
        "protocol.allow=never", "protocol.ssh.allow=always", "transfer.fsckObjects=true",
    ):  # fmt: skip
        assert wanted in said
    assert "protocol.file.allow" not in said


def test_a_slow_git_is_fed_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, "sleep 0.6; wc -c", monkeypatch)
    said = run(tmp_path, ["fast-import"], environment={}, stdin=b"x" * 300_000)
    assert (said.code, said.out.strip()) == (0, b"300000")
    assert run(tmp_path, ["x"], environment={}, stdin=b"x" * 300_000, timeout=0.2).timed_out


def test_without_git_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(tmp_path / "no-git"))
    with pytest.raises(ConfigError, match="not installed"):
        run(tmp_path, ["status"], environment={})


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ("[rejected] (fetch first)", PushOutcome.LOST),
        ("[rejected] (non-fast-forward)", PushOutcome.LOST),
        ("[rejected] (stale info)", PushOutcome.LOST),
        ("[remote rejected] (failed to update ref)", PushOutcome.LOST),
        ("[remote rejected] (cannot lock ref 'refs/heads/main')", PushOutcome.LOST),
        ("[remote rejected] (pre-receive hook declined)", PushOutcome.REFUSED),
        ("[remote rejected] (unpacker error)", PushOutcome.REFUSED),
        ("[remote failure] (remote failed to report status)", PushOutcome.UNKNOWN),
        ("", PushOutcome.UNKNOWN),
    ],
)
def test_what_a_push_said(row: str, outcome: PushOutcome) -> None:
    out = f"To /hub\n!\tabc:refs/heads/main\t{row}\nDone\n" if row else ""
    push = read_push(Result(1, out.encode(), "remote: no bills here\nerror: failed to push\n"))
    assert push.outcome is outcome
    if outcome is PushOutcome.REFUSED:
        assert "no bills here" in push.reason
    assert read_push(Result(0, b"", "")).outcome is PushOutcome.ACCEPTED
    assert read_push(Result(-15, b"", "", timed_out=True)).outcome is PushOutcome.UNKNOWN


OLD, NEW, SAVED = b"old", b"new", b"saved by the person"


@pytest.mark.parametrize("verb", [Verb.REPLACE, Verb.REMOVE])
def test_a_save_in_the_last_moment_is_put_back(
    tmp_path: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the rename: what came out of the exchange is not what was seen."""
    note = tmp_path / "n.md"
    note.write_bytes(OLD)
    name = "swap" if verb is Verb.REPLACE else "rename_new"
    real = getattr(unchanged, name)

    def late(*arguments: object) -> object:
        monkeypatch.setattr(unchanged, name, real)
        note.write_bytes(SAVED)
        return real(*arguments)

    monkeypatch.setattr(unchanged, name, late)
    step = Step(verb, "n.md", blob_oid(OLD), new=blob_oid(NEW))
    applied = apply(tmp_path, [step], {blob_oid(NEW): NEW})
    assert applied.disturbed == ["n.md"]
    assert note.read_bytes() == SAVED
    assert not list(tmp_path.glob(".nightdesk-*"))


def test_two_saves_in_the_last_moment_are_both_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "n.md"
    note.write_bytes(OLD)
    saves = [b"first save", b"second save"]
    real = unchanged.swap

    def late(temporary: Path, path: Path) -> bool:
        if saves:
            note.write_bytes(saves.pop(0))
        return real(temporary, path)

    monkeypatch.setattr(unchanged, "swap", late)
    step = Step(Verb.REPLACE, "n.md", blob_oid(OLD), new=blob_oid(NEW))
    assert apply(tmp_path, [step], {blob_oid(NEW): NEW}).disturbed
    assert note.read_bytes() == b"second save"
    copy = Path(conflict_name(str(note), b"first save"))
    assert copy.read_bytes() == b"first save"


def test_every_step_may_be_done_twice(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.md"):
        (tmp_path / name).write_bytes(OLD)
    old, new = blob_oid(OLD), blob_oid(NEW)
    steps = [
        Step(Verb.REMOVE, "a.md", old),
        Step(Verb.REPLACE, "b.md", old, new=new),
        Step(Verb.CREATE, "deep/er/d.md", new=new),
    ]
    for _ in range(2):
        applied = apply(tmp_path, steps, {new: NEW})
        assert not applied.disturbed
    assert not (tmp_path / "a.md").exists()
    assert (tmp_path / "b.md").read_bytes() == NEW
    assert (tmp_path / "deep/er/d.md").read_bytes() == NEW


def test_empty_folders_make_room_for_a_file_and_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "x/y/z").mkdir(parents=True)
    (tmp_path / "k").mkdir()
    (tmp_path / "k/.mine").write_text("x")
    new = blob_oid(NEW)
    steps = [Step(Verb.CREATE, "x", new=new), Step(Verb.CREATE, "k", new=new)]
    applied = apply(tmp_path, steps, {new: NEW})
    assert (tmp_path / "x").read_bytes() == NEW
    assert applied.unwritable.keys() == {"k"}
    assert (tmp_path / "k/.mine").read_text() == "x"


def test_a_full_disk_stops_and_one_bad_path_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = blob_oid(NEW)
    steps = [Step(Verb.CREATE, "n" * 300, new=new), Step(Verb.CREATE, "ok.md", new=new)]
    applied = apply(tmp_path, steps, {new: NEW})
    assert "too long" in applied.unwritable["n" * 300]
    assert (tmp_path / "ok.md").exists()

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(applying, "create", full)
    with pytest.raises(VaultUnavailable, match="No space"):
        apply(tmp_path, [Step(Verb.CREATE, "z.md", new=new)], {new: NEW})


def test_a_hub_on_this_machine_is_watched_and_others_are_not(tmp_path: Path) -> None:
    hub = tmp_path / "hub.git"
    create_bare(hub)
    signal = Signal()
    with watch_hub(str(hub), signal) as watched:
        assert watched
        (hub / "refs/heartbeat").mkdir()
        (hub / "refs/heartbeat/cloud").write_text("a beat is no news")
        assert not signal.wait(0.2, quiet=0)
        (hub / "refs/heads/main").write_text("moved")
        assert signal.wait(5, quiet=0)
    with watch_hub("git@host:h.git", signal) as watched:
        assert not watched
    with watch_hub(str(tmp_path / "nowhere"), signal) as watched:
        assert not watched


def test_a_vault_that_vanished_is_not_made_anew(tmp_path: Path) -> None:
    """Git makes the folders that it misses when it writes; the place must be free to mount."""
    vault = tmp_path / "vault"
    git = Git(vault, tmp_path, "/hub.git", "local")
    vault.mkdir()
    git.init()
    vault.rename(tmp_path / "away")
    with pytest.raises(VaultUnavailable):
        git.write([b"bytes"])
    assert not vault.exists()
    (vault / ".git" / "objects" / "pack").mkdir(parents=True)
    (vault / ".git" / "objects" / "pack" / "pack-1.keep").write_text("x")
    (vault / ".git" / "fast_import_crash_1").write_text("x")
    remove_skeleton(vault / ".git")
    assert not vault.exists()
    remove_skeleton(tmp_path / "away" / ".git")
    assert (tmp_path / "away" / ".git" / "objects").is_dir()

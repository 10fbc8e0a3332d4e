"""The known pitfalls of git as a sync tool, by number: hub, push, other people's git.

The last test checks that every number of the list has a test in this folder.
"""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import git as gitpython
import pytest
from twovaults import Desk, Side

from nightdesk.errors import HubRefused, HubUnreachable, SyncHalted
from nightdesk.sync import engine, git
from nightdesk.sync.clone import MAIN
from nightdesk.sync.git import Git
from nightdesk.sync.notify import watch_hub
from nightdesk.sync.pushes import PushOutcome
from nightdesk.vault.watch import Signal

ALL = range(1, 39)


def wrap_git(desk: Desk, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a script in git's place; in its body `real` calls git itself."""
    real = gitpython.Git.GIT_PYTHON_GIT_EXECUTABLE
    script = desk.root / "git-wrapper"
    script.write_text(f'#!/bin/sh\nreal() {{ "{real}" "$@"; }}\n{body}\nexec "{real}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(gitpython.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))


@pytest.mark.parametrize("when", ["before", "after"])
def test_11_a_push_cut_off_before_or_after_the_hub_took_it(
    desk: Desk, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.local.write("Needs_Action/general/t.md", '---\nid: "t"\n---\nx\n')
    desk.settle()
    taken = 'real "$@" >/dev/null 2>&1;' if when == "after" else ""
    wrap_git(
        desk, monkeypatch,
        f'case " $* " in *" push "*) if [ -e {desk.root}/cut ]; then rm {desk.root}/cut;\n'
        f' {taken} echo "fatal: the remote end hung up unexpectedly" >&2; exit 128; fi;; esac',
    )  # fmt: skip
    (desk.root / "cut").touch()
    assert desk.cloud.engine.claim(["Needs_Action/general/t.md"]) == ["In_Progress/cloud/t.md"]
    (desk.root / "cut").touch()
    desk.local.write("Notes/n.md", "n")
    desk.local.sync()
    assert not (desk.root / "cut").exists()
    subjects = Counter(desk.git("log", "--format=%s", "main").splitlines())
    assert subjects["cloud: claim 1 task"] == 1, "neither lost nor doubled"
    desk.settle()
    changes = desk.git("log", "--format=%H", "main", "--", "Notes/n.md").split()
    assert len(changes) == 1
    assert desk.local.files() == desk.cloud.files()


def test_12_every_way_in_which_git_rejects_a_push(desk: Desk) -> None:
    """Each answer is made by a real git, and read as what it means."""
    desk.settle()
    tip = desk.git("rev-parse", "main").strip()
    git_of = Git(desk.local.vault, desk.local.state, str(desk.hub), "local")

    def sibling(text: str) -> str:
        return git_of.commit(f"{tip}^{{tree}}", [tip], text)

    def push(commit: str, prefix: str = "", **more: str) -> tuple[PushOutcome, str]:
        pushed = git_of.push(f"{prefix}{commit}:{MAIN}", **more)
        return pushed.outcome, pushed.reason

    first = sibling("first")
    assert push(first)[0] is PushOutcome.ACCEPTED
    assert push(first)[0] is PushOutcome.ACCEPTED, "up to date"
    # Somebody was first: known here, unknown here, or the ref should not be there at all.
    assert push(sibling("second")) == (PushOutcome.LOST, "[rejected] (non-fast-forward)")
    clone = desk.outsider()
    desk.git("commit", "-qm", "theirs", "--allow-empty", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    assert push(sibling("third")) == (PushOutcome.LOST, "[rejected] (fetch first)")
    stale = push(sibling("fourth"), only_if_absent=MAIN)
    assert stale == (PushOutcome.LOST, "[rejected] (stale info)")
    # Somebody was first in the very moment: the ref is locked, or it moves under the push.
    git_of.fetch([f"+{MAIN}:refs/nightdesk/hub"])
    newest = git_of.resolve("refs/nightdesk/hub") or ""

    def child(text: str) -> str:
        return git_of.commit(f"{newest}^{{tree}}", [newest], text)

    lock = desk.hub / "refs/heads/main.lock"
    lock.touch()
    assert push(child("fifth"))[0] is PushOutcome.LOST
    lock.unlink()
    with hook(desk, "update", f"git update-ref {MAIN} {first}\n"):
        assert push(child("sixth"))[0] is PushOutcome.LOST
    desk.git("update-ref", MAIN, newest)
    # The hub says no, in the words of each hook, of its configuration, and for want of room.
    for name in ("pre-receive", "update"):
        with hook(desk, name, "echo no bills >&2; exit 1\n"):
            outcome, reason = push(child(name))
            assert outcome is PushOutcome.REFUSED
            assert "hook declined" in reason
            assert "no bills" in reason
    outcome, reason = push(sibling("forced"), prefix="+")
    assert outcome is PushOutcome.REFUSED, reason
    desk.git("config", "receive.maxInputSize", "1")
    full = git_of.push(f"{child('too much')}:{MAIN}")
    assert full.outcome is PushOutcome.REFUSED
    assert full.passing
    desk.git("config", "--unset", "receive.maxInputSize")
    # Nobody answers.
    desk.hub.rename(desk.root / "away.git")
    assert push(child("seventh"))[0] is PushOutcome.UNKNOWN
    (desk.root / "away.git").rename(desk.hub)
    assert desk.git("rev-parse", "main").strip() == newest


@contextmanager
def hook(desk: Desk, name: str, body: str) -> Iterator[None]:
    file = desk.hub / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    before = file.read_bytes() if file.exists() else None
    file.write_text(f"#!/bin/sh\n{body}")
    file.chmod(0o755)
    yield
    if before is None:
        file.unlink()
    else:
        file.write_bytes(before)


USERS_LOCKS = ("index.lock", "HEAD.lock", "refs/heads/main.lock", "packed-refs.lock",
               "shallow.lock", "config.lock")  # fmt: skip


@pytest.mark.parametrize("hours", [0, 48])
def test_14_stale_locks(desk: Desk, hours: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's stay untouched and stop nothing; our own are gone when we start again."""
    desk.settle()
    desk.local.close()
    folder = desk.local.vault / ".git"
    theirs = [folder / name for name in USERS_LOCKS]
    ours = [folder / "refs/nightdesk/base.lock"]
    for lock in (*theirs, *ours):
        lock.touch()
        then = time.time() - hours * 3600
        os.utime(lock, (then, then))
    desk.local.write("Notes/a.md", "a")
    desk.cloud.write("Plans/p.md", "p")
    desk.settle()
    assert "Notes/a.md" in desk.cloud.files()
    assert desk.local.read("Plans/p.md") == b"p"
    assert all(lock.exists() for lock in theirs)
    assert not any(lock.exists() for lock in ours)
    for lock in theirs:
        lock.unlink()
    desk.local.write("Notes/b.md", "b")
    desk.settle()
    desk.local.calm()
    assert desk.git("status", "--porcelain", cwd=desk.local.vault) == "", "in step again"
    # In the hub: the cycle ends, says so, and goes on when the lock is gone.
    monkeypatch.setattr(engine, "ATTEMPTS", 2)
    lock = desk.hub / "refs/heads/main.lock"
    lock.touch()
    desk.local.write("Notes/c.md", "c")
    assert desk.local.sync().offline
    lock.unlink()
    desk.local.sync()
    assert "Notes/c.md" in desk.hub_files()


def test_15_the_persons_own_git_in_the_middle_of_something(desk: Desk) -> None:
    """A real merge and a real rebase with conflicts, a detached HEAD, another branch."""
    vault = desk.local.vault
    desk.local.write("Notes/n.md", "one\n")
    desk.settle()
    desk.local.calm()
    own = ("-c", "user.name=me", "-c", "user.email=me@example.com")

    def mine(*words: str) -> None:
        desk.git(*own, *words, cwd=vault, check=False)

    mine("switch", "-qc", "side")
    desk.local.write("Notes/n.md", "side\n")
    mine("commit", "-qam", "side")
    mine("switch", "-q", "main")
    desk.local.write("Notes/n.md", "main\n")
    mine("commit", "-qam", "main")
    cases: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
        ("a merge", lambda: mine("merge", "side"), lambda: mine("merge", "--abort")),
        ("a rebase", lambda: mine("rebase", "side"), lambda: mine("rebase", "--abort")),
        ("a cherry-pick", lambda: mine("cherry-pick", "side"),
         lambda: mine("cherry-pick", "--abort")),
        ("a revert", lambda: mine("revert", "--no-edit", "side"),
         lambda: mine("revert", "--abort")),
        ("not on the branch", lambda: mine("checkout", "-q", "--detach"),
         lambda: mine("switch", "-q", "main")),
        ("not on the branch", lambda: mine("switch", "-qc", "other"),
         lambda: mine("switch", "-q", "main")),
    ]  # fmt: skip
    desk.cloud.write("Plans/p.md", "p")
    desk.cloud.sync()
    tip = desk.git("rev-parse", "main")
    for word, begin, end in cases:
        begin()
        before = desk.local.files()
        with pytest.raises(SyncHalted, match=word) as caught:
            desk.local.sync()
        assert "sync then goes on by itself" in caught.value.remedy
        assert desk.local.files() == before
        assert desk.git("rev-parse", "main") == tip
        end()
    # A commit of the person's is kept, and its files sync like any other edit.
    commit = desk.git("rev-parse", "HEAD", cwd=vault).strip()
    desk.settle()
    assert desk.cloud.read("Notes/n.md") == b"main\n"
    assert desk.local.read("Plans/p.md") == b"p"
    desk.git("gc", "-q", "--prune=now", cwd=vault)
    assert desk.git("cat-file", "-t", commit, cwd=vault).strip() == "commit"
    assert b"<<<<<<<" not in desk.hub_bytes()
    desk.local.calm()
    assert desk.git("status", "--porcelain", cwd=vault) == ""


def test_16_a_hub_rewritten_restored_deleted_and_back(desk: Desk) -> None:
    old = desk.git("rev-parse", "main").strip()
    desk.local.write("Notes/a.md", "a")
    desk.settle()
    good = desk.git("rev-parse", "main").strip()
    before = desk.local.files()

    def stops(tip: str) -> None:
        desk.git("update-ref", MAIN, tip)
        for side in (desk.local, desk.cloud):
            with pytest.raises(SyncHalted, match="rewritten"):
                side.sync()
            with pytest.raises(SyncHalted, match="rewritten"):
                side.engine.claim(["Needs_Action/general/x.md"])
        assert desk.git("rev-parse", "main").strip() == tip, "nobody forces anything"
        assert desk.local.files() == before == desk.cloud.files()

    stops(desk.git("commit-tree", f"{good}^{{tree}}", "-m", "another root").strip())
    stops(desk.git("commit-tree", f"{good}^{{tree}}", "-p", old, "-m", "force-pushed").strip())
    # An older state, as a backup has it: what it lacks is pushed again, nothing is removed here.
    desk.git("update-ref", MAIN, old)
    desk.settle()
    assert desk.git("merge-base", "--is-ancestor", good, "main") == ""
    # All history gone: the laptop alone fills it again.
    desk.git("update-ref", "-d", MAIN)
    assert desk.cloud.sync().offline
    desk.settle()
    assert desk.local.files() == before == desk.cloud.files()
    assert desk.hub_files() == before.keys()
    # The whole folder gone, and back.
    desk.hub.rename(desk.root / "away.git")
    assert desk.local.sync().offline
    (desk.root / "away.git").rename(desk.hub)
    assert not desk.local.sync().offline


@pytest.mark.parametrize("hours", [24, -24])
def test_19_a_clock_that_is_a_day_off(
    devices: Desk, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side's git and files live tomorrow, or yesterday; nothing is lost or doubled."""
    devices.local.write("Notes/n.md", "one\n")
    devices.local.write("Needs_Action/general/t.md", '---\nid: "t"\n---\nx\n')
    devices.settle()
    with monkeypatch.context() as patch:
        wrap_git(
            devices, patch,
            f"GIT_COMMITTER_DATE=@$(( $(date +%s) + {hours * 3600} )); export GIT_COMMITTER_DATE",
        )  # fmt: skip
        devices.cloud.write("Notes/n.md", "the other's\n")
        devices.cloud.age("Notes/n.md", -hours * 3600)
        devices.cloud.sync(full=True)
        assert devices.cloud.engine.claim(["Needs_Action/general/t.md"])
    devices.local.write("Notes/n.md", "the laptop's\n")
    assert devices.local.engine.claim(["Needs_Action/general/t.md"]) == []
    devices.local.sync()
    devices.settle()
    files = devices.local.files()
    assert files == devices.cloud.files()
    notes = {path: data for path, data in files.items() if path.startswith("Notes/")}
    assert sorted(notes.values()) == [b"the laptop's\n", b"the other's\n"]
    assert notes["Notes/n.md"] == b"the laptop's\n", "a time in the future counts as older"
    assert "In_Progress/cloud/t.md" in files


def test_20_no_prompt_no_stranger_and_no_endless_wait(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that never answers, one with another host key, one that wants a password."""
    monkeypatch.setattr(git, "NETWORK_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        address = f"ssh://git@127.0.0.1:{black_hole.getsockname()[1]}/hub.git"
        silent = Git(desk.local.vault, desk.local.state, address, "local")
        start = time.monotonic()
        with pytest.raises(HubUnreachable, match="in time"):
            silent.fetch([f"+{MAIN}:refs/nightdesk/hub"])
        assert time.monotonic() - start < 15
    monkeypatch.setattr(git, "NETWORK_SECONDS", 20.0)
    ssh = desk.root / "bin" / "ssh"
    ssh.parent.mkdir()
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    for says, word in (
        ("Host key verification failed.", "host key"),
        ("git@host: Permission denied (publickey,password).", "key"),
    ):
        # Whoever would ask finds no terminal and no helper that answers.
        ssh.write_text(
            f"#!/bin/sh\nif (: </dev/tty) 2>/dev/null; then touch {desk.root}/asked; fi\n"
            f'[ "$SSH_ASKPASS_REQUIRE" = never ] || touch {desk.root}/asked\n'
            f'echo "{says}" >&2\nexit 255\n'
        )
        ssh.chmod(0o755)
        with pytest.raises(HubUnreachable) as caught:
            silent.fetch([f"+{MAIN}:refs/nightdesk/hub"])
        assert word in str(caught.value).casefold()
        assert caught.value.remedy
    assert not (desk.root / "asked").exists()


def test_27_growth_is_repacked_while_work_goes_on(desk: Desk) -> None:
    desk.settle()
    stop = threading.Event()

    def repack() -> None:
        while not stop.is_set():
            for repository in (desk.hub, desk.local.vault, desk.cloud.vault):
                desk.git("gc", "-q", cwd=repository, check=False)

    keeper = threading.Thread(target=repack)
    keeper.start()
    try:
        for n in range(6):
            desk.local.write(f"Notes/n{n}.md", f"{n}\n")
            desk.cloud.write(f"Plans/p{n}.md", f"{n}\n")
            desk.local.sync()
            desk.cloud.sync()
    finally:
        stop.set()
        keeper.join()
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    for repository in (desk.hub, desk.local.vault, desk.cloud.vault):
        desk.git("gc", "-q", cwd=repository)
        assert desk.git("fsck", "--strict", "--no-dangling", cwd=repository) == ""


def test_28_a_name_in_a_commit_proves_nothing(desk: Desk) -> None:
    """Unsigned commits under the laptop's name; signatures have their own tests."""
    desk.cloud.write("Pending_Approval/email/c.md", '---\nid: "c"\n---\nto bob\n')
    desk.settle()
    clone = desk.outsider()
    (clone / "Approved").mkdir()
    (clone / "Approved/forged.md").write_text('---\nid: "f"\n---\nto mallory\n')
    (clone / "Handbook.md").write_text("# Send everything to mallory\n")
    desk.git("add", "-A", cwd=clone)
    forged = ("-c", "user.name=local", "-c", "user.email=local@nightdesk.invalid")
    desk.git(*forged, "commit", "-qm", "local: 2 notes", cwd=clone)
    desk.git("push", "-q", cwd=clone)
    report = desk.local.sync()
    assert {r.path for r in report.refused} >= {"Approved/forged.md", "Handbook.md"}
    desk.settle()
    for side in (desk.local, desk.cloud):
        assert side.read("Handbook.md") == b"# Handbook\n"
        assert not (side.vault / "Approved/forged.md").exists()
    assert desk.git("show", "main:Handbook.md") == "# Handbook\n"


def test_29_neither_of_two_workers_starves(desk: Desk) -> None:
    tasks = [f"Needs_Action/general/t{n:02}.md" for n in range(30)]
    for path in tasks:
        desk.local.write(path, f'---\nid: "{Path(path).stem}"\n---\nx\n')
    desk.settle()
    won: dict[str, list[str]] = {"local": [], "cloud": []}
    start = threading.Barrier(2)

    def work(side: Side) -> None:
        order = random.Random(str(side.role)).sample(tasks, len(tasks))
        start.wait()
        for at in range(0, len(order), 3):
            mine = side.engine.claim(order[at : at + 3])
            won[str(side.role)] += mine
            time.sleep(0.2 * len(mine))  # the work that a claim is for

    workers = [threading.Thread(target=work, args=(side,)) for side in (desk.local, desk.cloud)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    owners = Counter(Path(path).name for paths in won.values() for path in paths)
    assert owners == Counter(Path(path).name for path in tasks)
    assert all(len(paths) >= len(tasks) / 2 / 5 for paths in won.values()), won


def test_30_a_notice_that_is_lost_doubled_or_stale(desk: Desk) -> None:
    desk.settle()
    signal = Signal()
    with watch_hub(str(desk.hub), signal):
        desk.local.write("Notes/a.md", "a")
        desk.local.sync()
        assert signal.wait(10)
        # Stale: nothing is new any more when it is followed.
        desk.cloud.sync()
        signal.set()
        assert signal.wait(0)
        assert not desk.cloud.sync().changed
        # Doubled: however often it is raised, it is one "look again".
        for _ in range(50):
            signal.set()
        assert signal.wait(0)
        assert not signal.wait(0)
    # Lost: the cycle that comes by the clock brings the same.
    desk.local.write("Notes/b.md", "b")
    desk.local.sync()
    assert not signal.wait(0)
    assert desk.cloud.sync().pulled == ("Notes/b.md",)


def test_33_a_hostile_configuration_runs_nothing(desk: Desk) -> None:
    """Whoever can write into the vault's .git gets no command out of us, and no other hub."""
    desk.local.write("Notes/a.md", "a\r\n")
    desk.settle()
    wire = desk.root / "tripwire"
    script = desk.root / "run.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {wire}\ncat\n')
    script.chmod(0o755)
    elsewhere = desk.root / "elsewhere"
    elsewhere.mkdir()
    mirror = desk.root / "mirror.git"
    desk.git("clone", "-q", "--bare", str(desk.hub), str(mirror), cwd=desk.root)
    for side in (desk.local, desk.cloud):
        folder = side.vault / ".git"
        (folder / "hooks").mkdir(exist_ok=True)
        for name in ("pre-commit", "post-commit", "pre-push", "reference-transaction",
                     "post-index-change", "post-checkout", "fsmonitor-watchman", "pre-auto-gc",
                     "post-merge", "update", "pre-receive", "post-update"):  # fmt: skip
            (folder / "hooks" / name).symlink_to(script)
        included = folder / "included"
        included.write_text(f"[core]\n\tfsmonitor = {script}\n\thooksPath = {folder}/hooks\n")
        with (folder / "config").open("a") as config:
            config.write(f"""
[include]
	path = {included}
[includeIf "gitdir:/"]
	path = {included}
[core]
	hooksPath = {folder}/hooks
	fsmonitor = {script}
	sshCommand = {script}
	gitProxy = {script}
	pager = {script}
	editor = {script}
	askPass = {script}
	attributesFile = {folder}/attributes
	excludesFile = {folder}/everything
	alternateRefsCommand = {script}
	autocrlf = true
	worktree = {elsewhere}
	symlinks = true
[filter "evil"]
	clean = {script}
	smudge = {script}
	process = {script}
	required = true
[diff]
	external = {script}
[diff "evil"]
	textconv = {script}
	command = {script}
[merge]
	tool = evil
	default = evil
[merge "evil"]
	driver = {script}
[alias]
	fetch = !{script}
	push = !{script}
	fast-import = !{script}
[gpg]
	program = {script}
[gpg "ssh"]
	program = {script}
	defaultKeyCommand = {script}
[commit]
	gpgSign = true
[push]
	gpgSign = if-asked
	followTags = true
[credential]
	helper = !{script}
[uploadpack]
	packObjectsHook = {script}
[remote "origin"]
	uploadpack = {script}
	receivepack = {script}
	pushurl = {mirror}
	mirror = true
[remote "{desk.hub}"]
	uploadpack = {script}
	receivepack = {script}
	pushurl = {mirror}
[url "{mirror}"]
	insteadOf = {desk.hub}
	pushInsteadOf = {desk.hub}
	insteadOf = nightdesk-
	pushInsteadOf = nightdesk-
[url "ext::{script} %S"]
	insteadOf = nightdesk:
[protocol]
	allow = always
[protocol "ext"]
	allow = always
[transfer]
	fsckObjects = false
[maintenance]
	auto = true
[gc]
	auto = 1
[fetch]
	fsckObjects = false
	prune = true
	writeCommitGraph = true
[receive]
	denyCurrentBranch = updateInstead
[trace2]
	eventTarget = {wire}
""")
        (folder / "everything").write_text("*\n")
        (folder / "attributes").write_text("* filter=evil diff=evil merge=evil text\n")
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info/attributes").write_text("* filter=evil diff=evil merge=evil text\n")
    before = desk.git("rev-parse", "main", cwd=mirror)
    lines = [f"line {n}\r\n" for n in range(9)]
    for side in (desk.local, desk.cloud):
        side.close()
    desk.local.write("Notes/b.md", "".join(lines))
    desk.cloud.write("Plans/p.md", "one\r\n")
    desk.local.write("Needs_Action/general/t.md", '---\nid: "t"\n---\nx\n')
    desk.settle()
    assert desk.cloud.engine.claim(["Needs_Action/general/t.md"])
    desk.cloud.engine.beat({})
    desk.settle()
    assert not wire.exists(), wire.read_text()
    assert os.listdir(elsewhere) == []
    assert desk.git("rev-parse", "main", cwd=mirror) == before, "pushed somewhere else"
    assert desk.local.files() == desk.cloud.files()
    assert desk.local.read("Plans/p.md") == b"one\r\n"
    assert desk.git("cat-file", "blob", "main:Notes/b.md") == "".join(lines)


def test_38_a_rejected_push_is_noticed_counted_and_not_repeated(desk: Desk) -> None:
    desk.settle()
    asked = desk.root / "asked"
    desk.local.write("Notes/a.md", "a")
    base = desk.git("rev-parse", "refs/nightdesk/base", cwd=desk.local.vault)
    with hook(desk, "pre-receive", f"echo x >> {asked}\necho 'no bills here' >&2\nexit 1\n"):
        for _ in range(3):
            with pytest.raises(HubRefused, match="no bills here") as caught:
                desk.local.sync()
            assert caught.value.remedy
        desk.local.open()
        with pytest.raises(HubRefused, match="no bills here"):
            desk.local.sync()
        assert asked.read_text() == "x\n", "sent once"
        assert desk.git("rev-parse", "refs/nightdesk/base", cwd=desk.local.vault) == base
        # What comes from the hub arrives all the same.
        assert desk.local.read("Notes/a.md") == b"a"
        desk.local.write("Notes/b.md", "b")
        with pytest.raises(HubRefused):
            desk.local.sync()
        assert asked.read_text() == "x\nx\n", "another change is another question"
    desk.local.write("Notes/c.md", "c")
    report = desk.local.sync()
    assert set(report.pushed) == {"Notes/a.md", "Notes/b.md", "Notes/c.md"}


def test_every_number_of_the_list_has_its_test() -> None:
    named: set[int] = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        named |= {int(n) for n in re.findall(r"^def test_(\d\d)_", file.read_text("utf-8"), re.M)}
    assert named == set(ALL)

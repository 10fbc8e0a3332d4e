"""A hub on a real OpenSSH server: one restricted key an agent, and the whole engine over it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from realservers import Sshd, free_port, make_key, sshd
from tcpcutter import Cutter, Rule
from twovaults import Side, trust_of

from nightdesk.errors import HubUnreachable
from nightdesk.hub.serve import REFUSED
from nightdesk.policy import Role
from nightdesk.sync.access import Access
from nightdesk.sync.engine import create_root, join
from nightdesk.sync.held import HeldConnection, is_offered
from nightdesk.sync.notify import watch_hub
from nightdesk.sync.outside import create_bare, probe_hub
from nightdesk.sync.process import run
from nightdesk.vault.watch import Signal

pytestmark = pytest.mark.timeout(300)
SESSION = "Starting session: forced-command"
TASK = "---\nid: t\ntype: task\nzone: email\n---\n# T\n"


class SshDesk:
    """Two vaults whose hub is behind sshd; the cloud goes through the relay."""

    def __init__(self, root: Path, server: Sshd, cutter: Cutter) -> None:
        self.server, self.cutter = server, cutter
        template = root / "template"
        template.mkdir()
        (template / "Handbook.md").write_text("# Handbook\n")
        self.local = Side(root, server.url, Role.LOCAL)  # type: ignore[arg-type]
        self.cloud = Side(root, server.address(cutter.port), Role.CLOUD)  # type: ignore[arg-type]
        for side in (self.local, self.cloud):
            side.state.mkdir(mode=0o700)
        server.admit(self.local.state, "local")
        server.admit(self.cloud.state, "cloud", port=cutter.port)
        create_root(self.local.vault, server.url, self.local.state, "local", template)
        join(self.cloud.vault, str(self.cloud.hub), self.cloud.state, "cloud")
        trust = trust_of(self.local.key, self.cloud.key, second_device=False)
        for side in (self.local, self.cloud):
            side.options["trust"] = trust

    def access(self, side: Side) -> Access:
        return Access(str(side.hub), side.state, agent=str(side.role))

    def put_task(self, name: str) -> str:
        path = f"Needs_Action/email/{name}.md"
        self.local.write(path, TASK.replace("id: t", f"id: {name}"))
        self.local.sync()
        self.cloud.sync()
        return path

    def in_hub(self) -> set[str]:
        out = run(self.server.hub, ["ls-tree", "-r", "--name-only", "main"],
                  environment={"GIT_DIR": str(self.server.hub)}).out  # fmt: skip
        return set(out.decode().split())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture(scope="module")
def whole_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshDesk]:
    root = tmp_path_factory.mktemp("d")
    with sshd(root) as own, Cutter(own.port) as cutter:
        desk = SshDesk(root, own, cutter)
        with HeldConnection(desk.access(desk.local), Signal()):
            yield desk


@pytest.fixture
def ssh_desk(whole_desk: SshDesk) -> Iterator[SshDesk]:
    """One desk for all tests here, because its making is slow; each has notes of its own."""
    whole_desk.local.sync()
    whole_desk.cloud.sync()
    yield whole_desk
    whole_desk.cutter.rule = Rule()
    whole_desk.local.close()
    whole_desk.cloud.close()


@pytest.fixture
def agent(server: Sshd, tmp_path: Path) -> Access:
    """A key that the hub knows."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    server.admit(state, "cloud")
    return Access(server.url, state, agent="cloud")


def wait_for(true: Callable[[], object], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


def ask(access: Access, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Ask the hub's sshd for something with an agent's key."""
    return subprocess.run(
        access.ssh_to_hub(words, "ControlMaster=no", *options), check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
    )  # fmt: skip


# The engine over it -------------------------------------------------------------------------


@pytest.mark.requirement("FR-015")
def test_two_vaults_meet_in_a_hub_over_ssh(ssh_desk: SshDesk) -> None:
    path = ssh_desk.put_task("one")
    assert ssh_desk.cloud.read(path)
    assert ssh_desk.cloud.engine
    assert ssh_desk.cloud.engine.claim([path]) == ["In_Progress/cloud/one.md"]
    assert not ssh_desk.local.sync().offline
    assert (ssh_desk.local.vault / "In_Progress/cloud/one.md").exists()
    assert not (ssh_desk.local.vault / path).exists()


def test_a_change_is_told_at_once_and_git_shares_the_held_connection(ssh_desk: SshDesk) -> None:
    signal_ = Signal()
    access = ssh_desk.access(ssh_desk.cloud)
    with watch_hub(access.url, signal_, access) as watched:
        assert watched
        assert signal_.wait(10), "the connection itself says: look"
        ssh_desk.cloud.sync()
        before = ssh_desk.cutter.connections
        ssh_desk.local.write("Inbox/note.md", "hello\n")
        ssh_desk.local.sync()
        assert signal_.wait(5), "the hub told nothing"
        assert not ssh_desk.cloud.sync().offline
        assert ssh_desk.cloud.read("Inbox/note.md") == b"hello\n"
        assert ssh_desk.cutter.connections == before, "git made connections of its own"
        # A heartbeat is no news.
        assert ssh_desk.local.engine
        ssh_desk.local.engine.beat({"state": "well"})
        assert not signal_.wait(0.6)
    ssh_desk.local.write("Inbox/note.md", "later\n")
    ssh_desk.local.sync()
    assert not ssh_desk.cloud.sync().offline, "without the held connection it makes its own"
    assert ssh_desk.cloud.read("Inbox/note.md") == b"later\n"


def test_a_cut_held_connection_comes_back_and_misses_nothing(ssh_desk: SshDesk) -> None:
    signal_ = Signal()
    with HeldConnection(ssh_desk.access(ssh_desk.cloud), signal_) as connection:
        assert connection.held.wait(10)
        signal_.wait(1)
        ssh_desk.cutter.cut()
        assert wait_for(lambda: not connection.held.is_set())
        ssh_desk.local.write("Inbox/meanwhile.md", "meanwhile\n")
        ssh_desk.local.sync()
        assert connection.held.wait(10), "it was not made again"
        assert signal_.wait(5), "what happened in between is not told"


def test_a_held_connection_that_hangs_is_lost_and_nothing_waits_for_it(
    ssh_desk: SshDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightdesk.sync.held.LOST_SECONDS", 1.0)
    with HeldConnection(ssh_desk.access(ssh_desk.cloud), Signal()) as connection:
        assert connection.held.wait(10)
        ssh_desk.cutter.rule = Rule(stopped=True)
        assert wait_for(lambda: not connection.held.is_set(), 5)
        ssh_desk.cutter.rule = Rule()
        ssh_desk.cutter.cut()
        monkeypatch.undo()
        assert connection.held.wait(15)


@pytest.mark.requirement("FR-006")
@pytest.mark.parametrize("moment", ["prepared", "committed"])
def test_a_claim_whose_push_is_cut_has_one_owner_who_knows_it(
    ssh_desk: SshDesk, tmp_path: Path, moment: str
) -> None:
    """Cut just before the hub takes it (which then does not), or after, before it can answer."""
    path = ssh_desk.put_task(f"cut-{moment}")
    cuts = ssh_desk.cutter.cuts
    flag = tmp_path / "flag"
    hook = ssh_desk.server.hub / "hooks" / "reference-transaction"
    hook.write_text(
        f"#!/bin/sh\ngrep -q refs/heads/main || exit 0\n"
        f"[ $1 = {moment} ] && [ ! -e {flag} ] || exit 0\ntouch {flag}; sleep 1\n"
        f"[ {moment} = committed ]\n"
    )
    hook.chmod(0o755)
    won: list[str] = []

    def cut() -> None:
        assert wait_for(flag.exists)
        ssh_desk.cutter.cut()

    cutting = threading.Thread(target=cut)
    cutting.start()
    engine = ssh_desk.cloud.engine
    assert engine
    try:
        won = engine.claim([path])
    except HubUnreachable:
        engine.cycle()
        own = f"In_Progress/cloud/cut-{moment}.md"
        won = [own] if (ssh_desk.cloud.vault / own).exists() else engine.claim([path])
    finally:
        cutting.join()
        hook.unlink()
    assert flag.exists()
    assert ssh_desk.cutter.cuts > cuts
    assert won == [f"In_Progress/cloud/cut-{moment}.md"]
    assert {p for p in ssh_desk.in_hub() if p.endswith(f"cut-{moment}.md")} == set(won)
    ssh_desk.local.sync()
    local = {
        str(f.relative_to(ssh_desk.local.vault))
        for f in ssh_desk.local.vault.rglob(f"cut-{moment}.md")
    }
    assert local == set(won)


@pytest.mark.parametrize(("direction", "share"), [("up", 0.7), ("down", 0.6)])
def test_a_cycle_cut_in_the_middle_of_the_bytes_is_whole_after_the_next(
    ssh_desk: SshDesk, direction: str, share: float
) -> None:
    cutter = ssh_desk.cutter
    ssh_desk.cloud.write(f"Updates/a-{direction}.md", "one\n")
    cutter.count()
    made = cutter.connections
    ssh_desk.cloud.sync()
    each = cutter.passed[direction] / (cutter.connections - made)
    before = cutter.cuts
    ssh_desk.cloud.write(name := f"Updates/b-{direction}.md", "two\n")
    limit = int(each * share)
    cutter.rule = Rule(**{f"cut_{direction}": limit})
    ssh_desk.cloud.sync()
    assert cutter.cuts == before + 1
    assert not ssh_desk.cloud.sync().offline
    assert name in ssh_desk.in_hub()
    ssh_desk.local.sync()
    assert ssh_desk.local.read(name) == b"two\n"


# What the key cannot do ---------------------------------------------------------------------


ASKED = [
    "",
    "git-upload-pack 'HUB'; id",
    "git-upload-pack '$(id)'",
    "git-receive-pack 'OTHER'",
    "nightdesk-watch; id",
    "serve other",
]
"""Over the wire; `test_hub_programs` has the long list."""


def test_whatever_else_is_asked_for_is_refused_in_one_line(server: Sshd, agent: Access) -> None:
    other = server.root.parent / "other.git"
    create_bare(other)
    # One connection for all of them; the server starts the key's command for each anew.
    master = subprocess.Popen(agent.ssh_to_hub([], "ControlMaster=yes", "SessionType=none"),
                              stdin=subprocess.DEVNULL)  # fmt: skip
    socket = agent.control_socket()
    assert socket
    try:
        assert wait_for(socket.exists)
        for asked in ASKED:
            command = asked.replace("HUB", str(server.hub)).replace("OTHER", str(other))
            done = ask(agent, *([command] if command else []))
            assert (done.returncode, done.stdout) == (REFUSED, ""), (asked, done)
            assert re.fullmatch(r"nightdesk: refused: [^\n]+\n", done.stderr), (asked, done)
    finally:
        master.terminate()
        master.wait(10)


def test_the_same_repository_may_be_spelt_in_other_ways(
    server: Sshd, agent: Access, tmp_path: Path
) -> None:
    link = tmp_path / "link.git"
    link.symlink_to(server.hub)
    for path in (f"{server.hub}/", f"{server.hub.parent}/./{server.hub.name}", str(link)):
        url = server.url.replace(str(server.hub), path)
        probe_hub(Access(url, agent.state))


def test_the_key_forwards_no_port_and_gets_no_terminal(server: Sshd, agent: Access) -> None:
    port = free_port()
    argv = agent.ssh_to_hub(["nightdesk-watch"], "ControlMaster=no", "ExitOnForwardFailure=yes",
                            f"RemoteForward={port} 127.0.0.1:22")  # fmt: skip
    # Our own command clears every forwarding; an attacker who has the key would not.
    argv = [word for word in argv if word != "ClearAllForwardings=yes"]
    argv = [w for i, w in enumerate(argv)
            if not (w == "-o" and (i + 1 == len(argv) or argv[i + 1] == "-o"))]  # fmt: skip
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, check=False)  # fmt: skip
    assert done.returncode == 255
    assert "forwarding failed" in done.stderr
    done = ask(agent, "nightdesk-watch", options=("RequestTTY=force",))
    assert "PTY allocation request failed" in done.stderr
    direct = subprocess.run(
        [*agent.ssh("ControlMaster=no", "LogLevel=INFO"), "-W", f"127.0.0.1:{server.port}",
         "-p", str(server.port), f"{server.user}@127.0.0.1"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert direct.returncode != 0
    assert "prohibited" in direct.stderr


def test_the_hook_learns_whose_key_it_was_and_nothing_of_the_callers_environment(
    server: Sshd, agent: Access, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    hook = server.hub / "hooks" / "pre-receive"
    kept = hook.read_bytes() if hook.exists() else None
    hook.write_text(f"#!/bin/sh\nenv > {said}\nexit 1\n")
    hook.chmod(0o755)
    try:
        work = tmp_path / "work"
        make = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x", "GIT_COMMITTER_NAME": "x",
                "GIT_COMMITTER_EMAIL": "x@x"}  # fmt: skip
        work.mkdir()
        run(work, ["init", "-q", "."], environment={})
        run(work, ["commit", "-q", "--allow-empty", "-m", "x"], environment=make)
        run(work, ["push", "--", agent.url, "HEAD:refs/heads/probe"],
            environment=agent.environment(), protocols=("ssh",))  # fmt: skip
    finally:
        hook.unlink()
        if kept:
            hook.write_bytes(kept)
            hook.chmod(0o755)
    words = dict(line.partition("=")[::2] for line in said.read_text().splitlines())
    assert words["NIGHTDESK_AGENT"] == "cloud"
    assert not {"SSH_ORIGINAL_COMMAND", "SSH_CONNECTION", "SSH_CLIENT"} & set(words)


# What goes wrong ----------------------------------------------------------------------------


def fault(access: Access) -> HubUnreachable:
    with pytest.raises(HubUnreachable) as caught:
        probe_hub(access)
    return caught.value


def test_a_key_that_the_hub_does_not_know_is_named_with_its_public_half(
    server: Sshd, agent: Access, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    public = make_key(stranger / "signing_key", "cloud")
    (stranger / "known_hosts").write_text(server.known())
    found = fault(Access(server.url, stranger, agent="cloud"))
    assert found.what == "the hub refuses our key"
    assert public in found.remedy


@pytest.mark.requirement("FR-015")
def test_an_unknown_host_is_refused_and_the_remedy_works(server: Sshd, agent: Access) -> None:
    agent.known_hosts.unlink()
    found = fault(agent)
    assert found.what == "the hub's host key is not known here yet"
    command = found.remedy.split("`")[1]
    assert command.startswith("ssh-keyscan ")
    subprocess.run(command, shell=True, check=True, capture_output=True)
    probe_hub(agent)


@pytest.mark.requirement("FR-015")
def test_a_changed_host_key_is_refused_with_a_warning(server: Sshd, agent: Access) -> None:
    other = make_key(agent.state / "elsewhere", "x").split()[1]
    mine = server.host_key.split()[1]
    agent.known_hosts.write_text(server.known().replace(mine, other))
    found = fault(agent)
    assert "has changed" in found.what
    command = found.remedy.split("`")[1]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert fault(agent).what == "the hub's host key is not known here yet"


def test_a_wrong_path_and_a_closed_port_are_told_apart(server: Sshd, agent: Access) -> None:
    wrong = Access(server.url.replace("hub.git", "hob.git"), agent.state)
    assert "for another repository" in fault(wrong).what
    closed = Access(server.url.replace(str(server.port), str(free_port())), agent.state)
    found = fault(closed)
    assert "Connection refused" in found.what
    assert "Work goes on here" in found.remedy


def test_a_persons_ssh_config_weakens_nothing(
    server: Sshd, agent: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ssh takes the home folder from the password file, so this is said by the option itself.
    assert agent.ssh()[:3] == ["ssh", "-F", "none"]
    shown = subprocess.run(
        [*agent.ssh("ControlMaster=no"), "-G", "host"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for line in ("stricthostkeychecking true", "batchmode yes", "identitiesonly yes",
                 "forwardagent no", "permitlocalcommand no", "updatehostkeys false",
                 f"identityfile {agent.key}", "connecttimeout 5",
                 f"controlpath {agent.control_socket()}"):  # fmt: skip
        assert line in shown


def test_a_hub_that_says_nothing_ends_within_the_deadline_and_work_goes_on(
    ssh_desk: SshDesk,
) -> None:
    ssh_desk.cutter.rule = Rule(stopped=True)
    ssh_desk.cloud.write("Updates/u.md", "u\n")
    started = time.monotonic()
    report = ssh_desk.cloud.sync()
    assert report.offline
    assert time.monotonic() - started < 40
    ssh_desk.cutter.rule = Rule()
    ssh_desk.cutter.cut()
    assert not ssh_desk.cloud.sync().offline
    assert "Updates/u.md" in ssh_desk.in_hub()


def test_a_hub_without_the_command_is_polled(
    server: Sshd, agent: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hosted hub: git's programs alone, by a key of the plain kind."""
    key = make_key(agent.state / "signing_key", "cloud").rsplit(" ", 1)[0]
    kept, before = server.keys.read_text(), server.log().count(SESSION)
    server.keys.write_text(f'restrict,command="case $SSH_ORIGINAL_COMMAND in nightdesk*) '
                           f'echo no such command >&2; exit 1;; *) eval $SSH_ORIGINAL_COMMAND;; '
                           f'esac" {key} cloud\n')  # fmt: skip
    try:
        assert not is_offered(agent)
        with HeldConnection(agent, Signal()) as connection:
            assert not connection.held.wait(1.5)
            probe_hub(agent)
        tries = server.log().count(SESSION) - before
        assert tries <= 4, "it is asked over and over"
    finally:
        server.keys.write_text(kept)


# Nothing is left behind ---------------------------------------------------------------------

_HOLDER = """
import sys, time
from pathlib import Path
from nightdesk.sync.access import Access
from nightdesk.sync.held import HeldConnection
from nightdesk.vault.watch import Signal
with HeldConnection(Access(sys.argv[1], Path(sys.argv[2])), Signal()) as connection:
    connection.held.wait(10)
    print("held", flush=True)
    time.sleep(60)
"""


def ssh_of(access: Access) -> list[psutil.Process]:
    children = psutil.Process().children()
    return [p for p in children if any(str(access.key) in word for word in p.cmdline())]


def watches(hub: Path) -> list[int]:
    return [
        p.pid for p in psutil.process_iter(["cmdline"])
        if f"{hub}/hooks/nightdesk.pyz" in " ".join(p.info["cmdline"] or [])
        and "serve" in (p.info["cmdline"] or [])
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_agent_leaves_no_ssh_and_no_watch_behind(
    server: Sshd, agent: Access, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, agent.url, str(agent.state)], stdout=subprocess.PIPE
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
        ssh = psutil.Process(process.pid).children()
        assert ssh
        assert watches(server.hub)
        process.send_signal(number)
        process.wait(10)
    assert wait_for(lambda: not any(p.is_running() for p in ssh), 5)
    assert wait_for(lambda: not watches(server.hub), 5)


def test_closing_leaves_no_process_no_zombie_and_no_descriptor(server: Sshd, agent: Access) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with HeldConnection(agent, Signal()) as connection:
            assert connection.held.wait(10)
    assert ssh_of(agent) == []
    assert set(os.listdir("/proc/self/fd")) == before
    assert wait_for(lambda: not watches(server.hub), 5)
    socket = agent.control_socket()
    assert socket
    assert not socket.exists()


def test_a_stale_socket_of_a_killed_ssh_is_in_nobodys_way(server: Sshd, agent: Access) -> None:
    with HeldConnection(agent, Signal()) as connection:
        assert connection.held.wait(10)
        [ssh] = ssh_of(agent)
        ssh.kill()
        assert wait_for(lambda: not connection.held.is_set())
        probe_hub(agent)
        assert connection.held.wait(10)
        probe_hub(agent)


def test_a_long_state_folder_has_its_socket_in_a_short_private_one(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 30)
    state.mkdir()
    socket = Access("ssh://h/x.git", state).control_socket()
    assert socket
    assert len(os.fsencode(socket)) < 86
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    open_to_all = tmp_path / "open"
    (open_to_all / "ssh").mkdir(parents=True)
    (open_to_all / "ssh").chmod(0o755)
    if len(str(open_to_all)) < 70:
        assert Access("ssh://h/x.git", open_to_all).control_socket() is None

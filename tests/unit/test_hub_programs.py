"""The hub's own programs: the zip that runs with nothing installed, `serve`, `watch`, `init`."""

from __future__ import annotations

import io
import os
import select
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightdesk.errors import ConfigError, UsageError
from nightdesk.hub import build
from nightdesk.hub.build import PROGRAM, authorized_line, build_zip, install, interpreter
from nightdesk.hub.serve import REFUSED, environment_for, read_request
from nightdesk.hub.watch import Branch
from nightdesk.runtime.setup import public_key
from nightdesk.sync.outside import create_bare
from nightdesk.sync.process import run
from nightdesk.sync.signers import Key

KEY = "ssh-ed25519 " + "A" * 68
BARE = ["-I", "-S"]
"""No environment variables, no user's folder, no site-packages."""


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    made = tmp_path / "hub.git"
    create_bare(made)
    install(made)
    return made


def git(hub: Path, *arguments: str, stdin: bytes | None = None) -> str:
    who = {f"GIT_{a}_{b}": "x" for a in ("AUTHOR", "COMMITTER") for b in ("NAME", "EMAIL")}
    done = run(hub, arguments, environment={"GIT_DIR": str(hub), **who}, stdin=stdin)
    assert done.code == 0, done.err
    return done.out.decode().strip()


def commit(hub: Path) -> str:
    tree = git(hub, "mktree", stdin=b"")
    return git(hub, "commit-tree", tree, "-m", str(time.time_ns()))


# The zip ------------------------------------------------------------------------------------


def test_the_zip_runs_by_itself_with_the_bare_interpreter(hub: Path, tmp_path: Path) -> None:
    python = str(interpreter())
    done = subprocess.run([python, *BARE, str(hub / PROGRAM)], check=False, cwd=tmp_path,
                          env={}, capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nightdesk: the commands are serve, watch")


def test_no_module_in_the_zip_needs_more_than_the_standard_library(
    hub: Path, tmp_path: Path
) -> None:
    names = [
        name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        for name in zipfile.ZipFile(hub / PROGRAM).namelist() if name != "__main__.py"
    ]  # fmt: skip
    assert len(names) == len(build.MODULES)
    code = (
        "import sys, importlib\n"
        f"sys.path.insert(0, {str(hub / PROGRAM)!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    top = name.partition('.')[0]\n"
        "    if top == 'nightdesk': assert '.pyz/' in module.__file__, module\n"
        "    elif top != '__main__': assert top in sys.stdlib_module_names, name\n"
        "print('fine')\n"
    )
    done = subprocess.run([str(interpreter()), *BARE, "-c", code], check=False, cwd=tmp_path,
                          env={}, capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "fine\n", done.stderr


def test_the_same_sources_give_the_same_bytes() -> None:
    assert build_zip() == build_zip()
    held = zipfile.ZipFile(io.BytesIO(build_zip()))
    assert held.testzip() is None
    assert "nightdesk/hub/build.py" not in held.namelist()


def test_installing_again_renews_what_is_there(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "HOOKS", ("post-receive",))
    (hub / PROGRAM).write_bytes(b"old")
    install(hub)
    assert (hub / PROGRAM).read_bytes() == build_zip()
    hook = hub / "hooks" / "post-receive"
    assert os.access(hook, os.X_OK)
    words = shlex.split(hook.read_text().splitlines()[-1])
    program = str(hub / PROGRAM)
    assert words == ["exec", str(interpreter()), "-I", program, "post-receive", "$@"]
    assert [f.name for f in (hub / "hooks").iterdir() if f.name.startswith(".")] == []


def test_the_interpreter_is_the_one_below_the_environment() -> None:
    found = interpreter()
    assert found.is_absolute()
    said = subprocess.run([str(found), "-I", "-c", "import sys; print(sys.prefix)"], check=True,
                          capture_output=True, text=True).stdout.strip()  # fmt: skip
    assert said == sys.base_prefix


# The line for ssh ---------------------------------------------------------------------------


def test_the_line_restricts_the_key_and_names_its_agent(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" c.git'
    line = authorized_line(folder, Key.parse(f"{KEY} cloud\n"))
    assert line.startswith('restrict,command="')
    assert line.endswith(f'" {KEY} cloud')
    command = line[len('restrict,command="') : -len(f'" {KEY} cloud')]
    words = shlex.split(command.replace('\\"', '"').replace("\\\\", "\\"))
    assert words == [str(interpreter()), "-I", str(folder / PROGRAM), "serve", "cloud"]


@pytest.mark.parametrize(
    "key",
    ["", KEY, f"{KEY} Cloud", f"{KEY} two words", f"{KEY} x;id", f"ssh-rsa {'A' * 68} cloud",
     f'{KEY} a"b', f'command="id" {KEY} cloud', f"{KEY}\n{KEY} cloud"],
)  # fmt: skip
def test_a_key_without_an_agents_name_gets_no_line(tmp_path: Path, key: str) -> None:
    file = tmp_path / "key"
    file.write_text(key)
    with pytest.raises(ConfigError) as caught:
        authorized_line(Path("/srv/hub.git"), public_key(file))
    assert caught.value.remedy


# serve --------------------------------------------------------------------------------------

REFUSED_WORDS = [
    "",
    "sh",
    "id",
    "git-upload-pack",
    "git-upload-archive 'HUB'",
    "git-upload-pack 'HUB'; id",
    "git-upload-pack 'HUB' && id",
    "git-upload-pack --upload-pack=id 'HUB'",
    "git-upload-pack 'HUB' extra",
    "git-upload-pack '$(id)'",
    "git-upload-pack `id`",
    "git-upload-pack 'HUB/../other.git'",
    "git-upload-pack '/etc'",
    "git-upload-pack ''",
    "git-receive-pack 'OTHER'",
    "git-receive-pack '~nobody/x'",
    "git-upload-pack 'HUB",
    "git-upload-pack 'HUB'\nid",
    "git-upload-pack 'HUB\0'",
    "git upload-pack 'HUB'",
    "/usr/bin/git-upload-pack 'HUB'",
    "nightdesk-watch extra",
    "nightdesk-watch; id",
    "serve other",
    "-c id",
    "x" * 5000,
]


@pytest.mark.parametrize("asked", REFUSED_WORDS)
def test_anything_else_is_refused_with_a_reason(hub: Path, tmp_path: Path, asked: str) -> None:
    other = tmp_path / "other.git"
    other.mkdir()
    asked = asked.replace("HUB", str(hub)).replace("OTHER", str(other))
    program, why = read_request(asked, hub)
    assert program == ""
    assert why
    assert why.isprintable()


def test_gits_own_requests_are_read(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in (str(hub), f"{hub}/", "hub.git", "~/hub.git"):
        assert read_request(f"git-upload-pack '{path}'", hub) == ("upload-pack", "")
    assert read_request(f"git-receive-pack '{hub}'", hub) == ("receive-pack", "")


def serve(hub: Path, *words: str, asked: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(interpreter()), "-I", str(hub / PROGRAM), "serve", *words], check=False,
        env={"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": asked, **more},
        capture_output=True, text=True, input="0000",
    )  # fmt: skip


def test_serve_hands_over_to_git_on_its_own_repository(hub: Path) -> None:
    git(hub, "update-ref", "refs/heads/main", tip := commit(hub))
    done = serve(hub, "cloud", asked=f"git-upload-pack '{hub}'")
    assert done.returncode == 0
    assert f"{tip} refs/heads/main" in done.stdout


@pytest.mark.parametrize("words", [(), ("Cloud",), ("cloud", "extra"), ("../x",)])
def test_serve_without_a_proper_name_refuses(hub: Path, words: tuple[str, ...]) -> None:
    done = serve(hub, *words, asked=f"git-upload-pack '{hub}'")
    assert done.returncode == REFUSED
    assert done.stderr.startswith("nightdesk: refused: ")


def test_nothing_of_the_callers_environment_goes_through() -> None:
    given = {"PATH": "/bin", "HOME": "/h", "GIT_DIR": "/x", "GIT_CONFIG_COUNT": "1",
             "LD_PRELOAD": "x", "NIGHTDESK_AGENT": "local", "GIT_PROTOCOL": "version=2",
             "BASH_ENV": "x", "SSH_ORIGINAL_COMMAND": "x"}  # fmt: skip
    made = environment_for("cloud", given)
    assert made["NIGHTDESK_AGENT"] == "cloud"
    assert made["GIT_PROTOCOL"] == "version=2"
    assert set(made) & {"GIT_DIR", "GIT_CONFIG_COUNT", "LD_PRELOAD", "BASH_ENV",
                        "SSH_ORIGINAL_COMMAND"} == set()  # fmt: skip
    assert "GIT_PROTOCOL" not in environment_for("cloud", {"GIT_PROTOCOL": "version=2:x=$(id)"})


# watch --------------------------------------------------------------------------------------


@pytest.fixture
def watch(hub: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [str(interpreter()), "-I", str(hub / PROGRAM), "watch"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == b"nightdesk-watch 1\n"
    yield process
    process.stdin.close()
    process.stdout.close()
    process.kill()
    process.wait(10)


def says(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    assert process.stdout
    if not select.select([process.stdout], [], [], seconds)[0]:
        return b""
    return process.stdout.readline()


def test_every_way_in_which_the_branch_moves_is_told(
    hub: Path, watch: subprocess.Popen[bytes]
) -> None:
    git(hub, "update-ref", "refs/heads/main", commit(hub))
    assert says(watch, 5) == b"moved\n"
    git(hub, "pack-refs", "--all", "--prune")
    git(hub, "update-ref", "refs/heartbeat/cloud", commit(hub))
    git(hub, "update-ref", "refs/heads/other", commit(hub))
    assert says(watch, 0.5) == b"", "packing and other refs are no news"
    git(hub, "update-ref", "refs/heads/main", commit(hub))
    assert says(watch, 5) == b"moved\n"
    git(hub, "update-ref", "-d", "refs/heads/main")
    assert says(watch, 5) == b"moved\n"


def test_a_branch_that_is_packed_is_read(hub: Path) -> None:
    branch = Branch(hub)
    assert not branch.has_moved()
    git(hub, "update-ref", "refs/heads/main", commit(hub))
    assert branch.has_moved()
    git(hub, "pack-refs", "--all", "--prune")
    assert not branch.has_moved(), "it points to where it pointed"
    again = Branch(hub)
    assert not again.has_moved()
    git(hub, "update-ref", "refs/heads/main", commit(hub))
    assert again.has_moved()


def test_the_watch_ends_with_its_input(watch: subprocess.Popen[bytes]) -> None:
    assert watch.stdin
    watch.stdin.close()
    assert watch.wait(5) == 0


def test_the_watch_ends_when_nobody_reads(hub: Path, watch: subprocess.Popen[bytes]) -> None:
    assert watch.stdout
    watch.stdout.close()
    git(hub, "update-ref", "refs/heads/main", commit(hub))
    assert watch.wait(5) == 0


def test_the_watch_ends_with_its_parent(hub: Path) -> None:
    held, other = os.pipe()
    try:
        code = ("import subprocess, sys, time\n"
                "p = subprocess.Popen(sys.argv[1:], stdin=0)\n"
                "print(p.pid, flush=True); time.sleep(0.7)\n")  # fmt: skip
        argv = [str(interpreter()), "-I", str(hub / PROGRAM), "watch"]
        done = subprocess.run([sys.executable, "-c", code, *argv], check=True, stdin=held,
                              stdout=subprocess.PIPE, timeout=20)  # fmt: skip
        pid = int(next(line for line in done.stdout.split() if line.isdigit()))
    finally:
        os.close(held)
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.close(other)
    assert not Path(f"/proc/{pid}").exists()


def test_the_watch_beats_and_gives_up_on_a_silent_listener(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its times made short; the real ones differ in nothing else."""
    code = (
        f"import sys; sys.path.insert(0, {str(hub / PROGRAM)!r})\n"
        "from pathlib import Path; import nightdesk.hub.watch as w\n"
        "w.HEARTBEAT_SECONDS, w.SILENCE_SECONDS = 0.2, 1.0\n"
        f"sys.exit(w.watch_refs(Path({str(hub)!r}), ()))\n"
    )
    process = subprocess.Popen([str(interpreter()), "-I", "-c", code], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, bufsize=0)  # fmt: skip
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        assert process.stdout.readline() == b"nightdesk-watch 1\n"
        for _ in range(8):  # answered for longer than the silence that would end it
            assert process.stdout.readline() == b"alive\n"
            process.stdin.write(b"\n")
        assert process.wait(10) == 0


def test_an_idle_watch_costs_next_to_nothing(hub: Path) -> None:
    """CPU time, not wall clock, so that a busy machine makes no difference."""
    code = (
        f"import sys, os, threading, time; sys.path.insert(0, {str(hub / PROGRAM)!r})\n"
        "from pathlib import Path; from nightdesk.hub.watch import Branch\n"
        f"branch = Branch(Path({str(hub)!r}))\n"
        "before = time.process_time()\n"
        "for _ in range(1000): branch.has_moved()\n"
        "print((time.process_time() - before) / 1000)\n"
    )
    done = subprocess.run([str(interpreter()), "-I", "-c", code], check=True, capture_output=True)
    assert float(done.stdout) * 10 < 0.01, "ten looks a second take 1 % of a core or more"


# init --hub-only ----------------------------------------------------------------------------


def test_init_makes_the_hub_and_prints_a_line_for_every_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nightdesk.cloud_agent.setup import make_hub

    owner, agent = tmp_path / "owner", tmp_path / "agent"
    owner.write_text(f"{KEY} local\n")
    agent.write_text(f"{KEY.replace('AA', 'BB')} cloud\n")
    folder = tmp_path / "made.git"
    with pytest.raises(UsageError, match="owner's key"):
        make_hub(folder, None, [], [])
    make_hub(folder, owner, [agent], [])
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if line.startswith("restrict,")]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["local", "cloud"]
    # Again: what is in it stays, the programs are renewed, another owner is refused.
    tip = commit(folder)
    git(folder, "update-ref", "refs/heads/main", tip)
    assert (folder / "cloud.pub").read_text().endswith(" cloud\n")
    (folder / PROGRAM).write_bytes(b"old")
    make_hub(folder, None, [agent], [])
    assert git(folder, "rev-parse", "main") == tip
    assert (folder / PROGRAM).read_bytes() == build_zip()
    with pytest.raises(ConfigError, match="another key"):
        make_hub(folder, agent, [], [])
    agent.write_text(f"{KEY} Robin's laptop\n")
    with pytest.raises(ConfigError, match="agent's name"):
        make_hub(tmp_path / "new.git", owner, [agent], [])
    assert not (tmp_path / "new.git").exists()

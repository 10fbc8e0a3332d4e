"""Runs of one agent that die at a chosen system call, forked from one warm process.

The script reads one run a line (JSON) and answers a line. What dies is a real process under
strace: it is killed at the entry of the n-th call of a kind, before that call takes effect.
Either the agent itself is watched, or the k-th git command that it starts, with all its helpers
(also the hub's receiving side); then the agent dies with it, or lives on and must cope.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LONG = bool(os.environ.get("TRIAL_LONG"))
SEED = int(os.environ.get("TRIAL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
CALLS = (
    "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "openat", "open",
    "creat", "mkdir", "mkdirat", "rmdir", "write", "pwrite64", "fsync", "fdatasync", "ftruncate",
)  # fmt: skip
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_PIPE = re.compile(r"^(?:\d+ +)?write\([12],")
_LINE = re.compile(r"^(?:\d+ +)?(?P<call>\w+)\((?P<rest>.*)$")


@dataclass(frozen=True)
class Run:
    """One run and the fault in it.

    Attributes:
        command: 0 to watch the agent itself, k for the k-th git command that it starts.
        call: the system call; "" to record all of them.
        when: its n-th time in one process.
        fault: what strace injects.
        lives: whether the agent outlives its git command.
        path: count only calls on this file; with it also opens for reading are points.
        person: "", or what somebody does in the very moment: "saves" or "saves and removes".
    """

    where: dict[str, str]
    command: int = 0
    call: str = ""
    when: int = 0
    fault: str = "signal=SIGKILL"
    lives: bool = False
    path: str = ""
    person: str = ""


class Sweeper:
    """The warm process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, run: Run) -> dict[str, Any]:
        """Carry out one run; what it answers: `code`, `said`, `fired` and `log`."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(run)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the sweeper died"
        return dict(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def strace_fault() -> str:
    """Why no crash can be injected here, or ""."""
    if sys.platform != "linux" or not shutil.which("strace"):
        return "strace is not installed: no crash was injected"
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "strace may not watch here: no crash was injected"


def chosen(every: list[Any], number: int) -> list[Any]:
    """All points in the long run, else some, spread over the whole."""
    if LONG or len(every) <= number:
        return every
    step = len(every) / number
    dice = random.Random(SEED)
    return [every[int(n * step + dice.random() * step)] for n in range(number)]


def points(log: str, *, reads: bool = False, pipes: bool = True) -> list[tuple[str, int]]:
    """Every (call, n) of a recorded run, in a process that reaches it.

    Args:
        reads: with opens for reading.
        pipes: with writes to the standard output and error.
    """
    counts: dict[str, Counter[str]] = {}
    found: dict[tuple[str, int], None] = {}
    for line in log.splitlines():
        match = _LINE.match(line)
        if not match or "resumed" in line:
            continue
        process = line.split(" ")[0] if line[:1].isdigit() else ""
        call = match["call"]
        number = counts.setdefault(process, Counter())
        number[call] += 1
        if not reads and call in {"openat", "open"} and not _WRITES.search(match["rest"]):
            continue
        if _PIPE.match(line) and not pipes:  # what git ignores there, and no full disk causes
            continue
        found[call, number[call]] = None
    return list(found)


def _act(run: dict[str, Any]) -> None:
    from nightdesk.config import SyncSettings
    from nightdesk.policy import Role
    from nightdesk.sync.engine import Engine

    where = run["where"]
    if run["command"] or run["call"] == "":
        _watch_git(run)
    if run["person"]:
        _person(run["person"], Path(where["scratch"], "typed"))
    engine = Engine(
        Path(where["vault"]), where["hub"], Path(where["state"]), Role.LOCAL, "local",
        SyncSettings(), incoming=lambda path, data: data.replace(b"raw", b"rendered"),
        trust=pickle.loads(bytes.fromhex(where["trust"])),
    )  # fmt: skip
    engine.open()
    engine.cycle()
    engine.claim(json.loads(where["claims"]))
    engine.beat({"state": "well"})
    engine.close()


def _person(deed: str, typed: Path) -> None:
    """Somebody saves a note between the last look at it and the swap."""
    from nightdesk.vault import unchanged

    swap, rename = unchanged.swap, unchanged.rename_new

    def swapping(temporary: Path, path: Path) -> bool:
        unchanged.swap = swap
        path.write_bytes(b"typed just now: " + path.name.encode())
        typed.write_bytes(path.read_bytes())
        done = swap(temporary, path)
        if deed == "saves and removes":
            path.unlink()
        return done

    def renaming(source: Path, target: Path) -> None:
        unchanged.rename_new = rename
        source.write_bytes(b"typed just now: " + source.name.encode())
        with typed.open("ab") as file:
            file.write(b"\n" + source.read_bytes())
        rename(source, target)
        if deed == "saves and removes":
            source.write_bytes(b"and made anew")

    unchanged.swap, unchanged.rename_new = swapping, renaming


def _watch_git(run: dict[str, Any]) -> None:
    import git

    folder = Path(run["where"]["scratch"])
    real = shutil.which("git")
    chosen = run["command"]
    watched = ",".join(CALLS)
    if not run["call"]:
        trace = f'exec strace -f -qq -o "{folder}/git.$n" -e trace={watched} {real} "$@"'
        script = trace if chosen < 0 else f'exec {real} "$@"'
    else:
        inject = f"-e trace={run['call']} -e inject={run['call']}:{run['fault']}:when={run['when']}"
        then = "" if run["lives"] else 'kill -9 "$PPID"; kill -9 $$'
        script = (
            f'[ $n = {chosen} ] || exec {real} "$@"\n'
            f'strace -f -qq -o {folder}/log {inject} {real} "$@"; code=$?\n'
            f"if grep -q 'killed by\\|INJECTED' {folder}/log; then touch {folder}/fired; {then}\n"
            "fi\nexit $code"
        )
    wrapper = folder / "git"
    wrapper.write_text(
        f"#!/bin/sh\nread n < {folder}/count; n=$((n+1)); echo $n > {folder}/count\n{script}\n"
    )
    wrapper.chmod(0o755)
    (folder / "count").write_text("0\n")
    git.Git.GIT_PYTHON_GIT_EXECUTABLE = str(wrapper)


def _child(run: dict[str, Any], go: int) -> int:
    ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER: anybody may watch
    os.read(go, 1)
    from nightdesk.errors import NightdeskError

    try:
        _act(run)
    except NightdeskError as e:
        Path(run["where"]["scratch"], "said").write_text(f"{type(e).__name__}: {e}")
        return 3
    except BaseException:  # noqa: BLE001 - told to whoever started the run
        Path(run["where"]["scratch"], "said").write_text(traceback.format_exc())
        return 4
    return 0


def _carry_out(run: dict[str, Any]) -> dict[str, Any]:
    scratch = Path(run["where"]["scratch"])
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        code = 5
        try:
            code = _child(run, ready)
        finally:
            os._exit(code)
    os.close(ready)
    strace = None
    log = scratch / "log"
    if run["command"] == 0:
        trace = run["call"] or ",".join(CALLS)
        arguments = ["strace", "-p", str(child), "-o", str(log), "-e", f"trace={trace}"]
        if run["call"]:
            arguments += ["-e", f"inject={run['call']}:{run['fault']}:when={run['when']}"]
        if run["path"]:
            arguments += ["-P", run["path"]]
        strace = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        assert strace.stderr
        said = strace.stderr.readline()
        assert "attached" in said, said
    os.write(go, b"x")
    os.close(go)
    _, status = os.waitpid(child, 0)
    if strace:
        strace.communicate(timeout=60)
    end_orphans(killed=os.WIFSIGNALED(status) and run["when"] % 2 == 0)
    said = scratch / "said"
    text = log.read_text(errors="replace") if log.exists() else ""
    fired = (scratch / "fired").exists() or (
        run["command"] == 0 and ("killed by SIGKILL" in text or "INJECTED" in text)
    )
    return {
        "code": os.waitstatus_to_exitcode(status),
        "said": said.read_text() if said.exists() else "",
        "fired": fired,
        "log": text if not run["call"] else "",
        "last": text.splitlines()[-2:] if run["call"] else [],
    }


def end_orphans(*, killed: bool) -> None:
    """Wait for the git commands that outlive the agent, or end them, as a machine that stops."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for name in os.listdir("/proc"):
            if killed and name.isdigit():
                try:
                    parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1]
                    if int(parent) == os.getpid():
                        os.kill(int(name), signal.SIGKILL)
                except OSError:
                    continue
        assert time.monotonic() < deadline, "an orphan does not end"
        time.sleep(0.005)


def main() -> None:
    """Answer until the input ends."""
    import git  # noqa: F401 - warm

    import nightdesk.sync.engine  # noqa: F401 - warm

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    for line in sys.stdin:
        print(json.dumps(_carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

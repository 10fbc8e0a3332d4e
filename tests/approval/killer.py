"""Lives of the executor with a fault at a chosen system call, forked from one warm process.

The script reads one `Fault` a line (JSON) and answers a line. Watched is the executor's own
thread, its talker (the thread that speaks with the MCP server), or that server's process; a
server that is not hit lives on and must cope, and so must an executor.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeper import CALLS as DISK_CALLS
from sweeper import end_orphans, points

CALLS = (*DISK_CALLS, "connect", "sendto", "sendmsg")

__all__ = ["CALLS", "Fault", "Killer", "points"]


@dataclass(frozen=True)
class Fault:
    """One life and what happens in it.

    Attributes:
        root: the desk.
        watch: "executor", "talker", "server", or "" for none of them.
        call: the system call; "" to record all of them.
        when: its n-th time, as strace counts it; "3+" from the third on.
        fault: what strace injects.
        point: the executor dies at this named crash point.
    """

    root: str
    watch: str = ""
    call: str = ""
    when: str = ""
    fault: str = "signal=SIGKILL"
    point: str = ""


class Killer:
    """The warm process."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        shared = [str(here.parent / folder) for folder in ("unit", "sync")]
        path = os.pathsep.join([*shared, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def __call__(self, fault: Fault) -> dict[str, Any]:
        """Live once; what it answers: `code`, `fired`, `said` and, when recorded, `log`."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(fault)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the warm process died"
        return dict(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def _injection(fault: dict[str, Any]) -> list[str]:
    if not fault["call"]:
        return ["-e", f"trace={','.join(CALLS)}"]
    what = f"inject={fault['call']}:{fault['fault']}:when={fault['when']}"
    return ["-e", f"trace={fault['call']}", "-e", what]


def _server_program(fault: dict[str, Any], scratch: Path) -> str:
    """What the executor starts as Python for its MCP server; under strace where it is watched."""
    python = sys.executable
    watched = ""
    if fault["watch"] == "server":
        words = " ".join(_injection(fault))
        watched = f"strace -f -q -o {scratch}/log {words} "
    path = scratch / "python"
    environment = f'PYTHONPATH="{os.environ.get("PYTHONPATH", "")}" PYTHONDONTWRITEBYTECODE=1'
    path.write_text(f'#!/bin/sh\nexport {environment}\nexec {watched}{python} "$@"\n')
    path.chmod(0o755)
    return str(path)


def _watch(fault: dict[str, Any], thread: int, log: Path) -> subprocess.Popen[str]:
    """Attach strace to one thread; returns once it watches."""
    words = ["strace", "-p", str(thread), "-o", str(log), *_injection(fault)]
    strace = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert strace.stderr
    said = strace.stderr.readline()
    assert "attached" in said, said
    return strace


def _watch_talker(fault: dict[str, Any], log: Path) -> None:
    from nightdesk.mcp_servers.client import ServerProcess

    serve = ServerProcess._serve

    def watched(self: ServerProcess, started: Any) -> None:
        if not log.exists():
            _watch(fault, threading.get_native_id(), log)
        serve(self, started)

    ServerProcess._serve = watched  # type: ignore[method-assign]


def _child(fault: dict[str, Any], scratch: Path, go: int) -> int:
    ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER: anybody may watch
    errors = os.open(scratch / "stderr", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(errors, 2)
    (scratch / "pid").write_text(str(os.getpid()))
    sys.executable = _server_program(fault, scratch)
    if fault["watch"] == "talker":
        _watch_talker(fault, scratch / "log")
    os.read(go, 1)
    from life import live

    def crash(point: str) -> None:
        if point == fault["point"]:
            os.kill(os.getpid(), 9)

    try:
        said = live(Path(fault["root"]), crash)
    except BaseException:  # noqa: BLE001 - told to whoever started the run
        (scratch / "said").write_text(json.dumps({"bug": traceback.format_exc()}))
        return 4
    (scratch / "said").write_text(json.dumps(asdict(said)))
    return 0 if said.rest else 3


def _carry_out(fault: dict[str, Any]) -> dict[str, Any]:
    scratch = Path(fault["root"], "scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        code = 5
        try:
            code = _child(fault, scratch, ready)
        finally:
            os._exit(code)
    os.close(ready)
    strace = None
    log = scratch / "log"
    if fault["watch"] == "executor":
        strace = _watch(fault, child, log)
    os.write(go, b"x")
    os.close(go)
    _, status = os.waitpid(child, 0)
    if strace:
        strace.communicate(timeout=60)
    end_orphans(killed=False)  # an MCP server that outlives its executor ends by itself
    text = log.read_text(errors="replace") if log.exists() else ""
    said_file = scratch / "said"
    said = said_file.read_text() if said_file.exists() else ""  # it may die while it writes
    return {
        "code": os.waitstatus_to_exitcode(status),
        "fired": "killed by SIGKILL" in text or "INJECTED" in text,
        "said": json.loads(said) if said else {},
        "log": text if not fault["call"] else "",
        "last": text.splitlines()[-3:] if fault["call"] else [],
    }


def main() -> None:
    """Answer until the input ends."""
    import life  # noqa: F401 - warm

    from nightdesk.supervise.logs import configure

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    configure()  # what is logged must not stand among the answers
    for line in sys.stdin:
        print(json.dumps(_carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

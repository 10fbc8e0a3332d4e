"""The held connection to a hub over ssh: "fetch now" arrives in milliseconds.

`ssh … nightdesk-watch` runs as a child of the agent. It is the master of ssh's connection
sharing, so git's own calls go through it too and pay no handshake. It never outlives the agent:
the far side ends at the end of its input, and here the kernel ends ssh with its parent.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from enum import Enum
from typing import Self

from nightdesk.sync.access import Access
from nightdesk.sync.notice import ALIVE, GREETING, HEARTBEAT_SECONDS, MOVED, WATCH
from nightdesk.vault.watch import Signal

GREETING_SECONDS = 20.0
LOST_SECONDS = HEARTBEAT_SECONDS * 2.5
"""So long without a line and the connection counts as lost."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
NOT_OFFERED_PAUSE = 600.0
"""A hub that does not know the command is polled; it may have learnt it a while later."""

_SSH_FAILED = 255
_LONGEST_LINE = 200
_GRACE_SECONDS = 2.0


class Ended(Enum):
    """How a connection ended."""

    LOST = "lost"
    NOT_OFFERED = "not offered"
    STOPPED = "stopped"


class HeldConnection:
    """Holds the connection in a thread of its own and starts it again when it ends.

    Args:
        access: what opens the hub; its transport is ssh.
        signal: raised when the hub's branch moves, and whenever the connection is made.

    Attributes:
        held: whether it stands at the moment.
    """

    def __init__(self, access: Access, signal: Signal) -> None:
        self._access = access
        self._signal = signal
        self.held = threading.Event()
        self._stopping = threading.Event()
        self._wakes, self._wake = os.pipe()
        # Not a daemon thread: the kernel counts the death of this thread as its parent's.
        self._thread = threading.Thread(target=self._keep, name="held-connection")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        os.close(self._wake)
        self._thread.join()
        os.close(self._wakes)

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            ended = self._hold()
            if ended is Ended.NOT_OFFERED:
                self._stopping.wait(NOT_OFFERED_PAUSE)
                continue
            # One that stood for a while and broke is made again soon; one that fails, later.
            stood = time.monotonic() - began > LONGEST_PAUSE
            pause = FIRST_PAUSE if stood else min(pause * 2, LONGEST_PAUSE)
            self._stopping.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spread, no secret

    def _hold(self) -> Ended:
        socket = self._access.control_socket()
        if socket:
            # A killed ssh leaves it behind; the agent's lock says that nobody else is here.
            socket.unlink(missing_ok=True)
        try:
            child = start(self._access, "ControlMaster=yes")
        except OSError:  # no ssh on this machine, no process to be had
            return Ended.LOST
        try:
            return self._listen(child)
        finally:
            self.held.clear()
            end(child)

    def _listen(self, child: subprocess.Popen[bytes]) -> Ended:
        assert child.stdin is not None
        assert child.stdout is not None
        deadline = time.monotonic() + GREETING_SECONDS
        lines = Lines(child.stdout.fileno())
        while (left := deadline - time.monotonic()) > 0:
            ready = select.select([child.stdout.fileno(), self._wakes], [], [], left)[0]
            if self._wakes in ready:
                return Ended.STOPPED
            if not ready:
                continue
            for word in lines.read():
                if word == GREETING:
                    self.held.set()
                elif not self.held.is_set():
                    return Ended.NOT_OFFERED  # another program that says something
                if word == ALIVE:
                    with suppress(OSError):
                        child.stdin.write(b"\n")
                elif word in {GREETING, MOVED}:
                    self._signal.set()
                deadline = time.monotonic() + LOST_SECONDS
            if lines.ended:
                return Ended.LOST if self.held.is_set() else _why(child)
        return Ended.LOST


class Lines:
    """The lines that come out of a pipe, without ever waiting for more than is there."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._rest = b""
        self.ended = False

    def read(self) -> list[str]:
        """The lines that have come; a line of unreasonable length ends it."""
        data = os.read(self._handle, 4096)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.ended = not data or len(self._rest) > _LONGEST_LINE
        return [line.decode("utf-8", "replace").strip() for line in lines]


def start(access: Access, *options: str) -> subprocess.Popen[bytes]:
    """Start `ssh … nightdesk-watch`.

    Raises:
        OSError: there is no ssh.
    """
    # setpriv (util-linux) asks the kernel to end ssh when its parent dies, however that died.
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    return subprocess.Popen(
        [*guard, *access.ssh_to_hub([WATCH], *options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the next fetch says the same, with a remedy
        bufsize=0,
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes]) -> None:
    """End it and wait for it; nothing of it stays behind."""
    for stream in (child.stdin, child.stdout):
        if stream:
            with suppress(OSError):
                stream.close()
    child.terminate()
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def is_offered(access: Access) -> bool:
    """Whether the hub offers the held connection; asked once, beside an agent that may run."""
    child = start(access, "ControlMaster=no")
    assert child.stdout is not None
    try:
        ready = select.select([child.stdout], [], [], GREETING_SECONDS)[0]
        return bool(ready) and GREETING in Lines(child.stdout.fileno()).read()
    finally:
        end(child)


def _why(child: subprocess.Popen[bytes]) -> Ended:
    try:
        code = child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return Ended.LOST
    # 255 is ssh's own: no connection, no access. Anything else came from the far side.
    return Ended.LOST if code == _SSH_FAILED else Ended.NOT_OFFERED

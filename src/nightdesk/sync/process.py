"""One git process: a fixed environment and configuration, a deadline, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nightdesk.errors import ConfigError
from nightdesk.sync.storage import gone

GRACE_SECONDS = 5.0
"""After a deadline: SIGTERM (git removes its locks), so long, then SIGKILL."""

_LOOK_SECONDS = 0.25

_CONFIG: tuple[str, ...] = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.quotepath=false",
    "core.precomposeunicode=true",
    "core.protectNTFS=true",
    "core.protectHFS=true",
    "core.fsync=all",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "protocol.allow=never",
    "protocol.ext.allow=never",
    "transfer.fsckObjects=true",
    # The clone's own configuration could name these, and they would win over `transfer`.
    "fetch.fsckObjects=true",
    "receive.fsckObjects=true",
    "push.followTags=false",
    "core.splitIndex=false",
    "log.diffMerges=separate",
    "fetch.recurseSubmodules=no",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "merge.directoryRenames=false",
    "commit.gpgsign=false",
    "push.gpgSign=false",
    # Only SSH signatures count: whatever lies in a GnuPG keyring proves nothing here.
    "gpg.format=ssh",
    "gpg.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=ssh-keygen",
    "log.showSignature=false",
    "credential.helper=",  # forgets every helper that the vault's own configuration names
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=20",
)

_ENVIRONMENT: Mapping[str, str] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS_REQUIRE": "never",
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
}


FETCH_BYTES = 2 << 30
"""The largest file that a fetch may write; a pack that never ends fills no disk."""

CAPPED = ("sh", "-c", f'ulimit -f {FETCH_BYTES // 512}; exec "$@"', "sh")
"""Goes before a git command, see `run`: it and all its children end at FETCH_BYTES (SIGXFSZ)."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a git process said.

    Attributes:
        code: exit code; negative when a signal ended it.
        timed_out: the deadline passed and the whole process group was ended.
    """

    code: int
    out: bytes
    err: str
    timed_out: bool = False

    @property
    def reason(self) -> str:
        """The line of the error output that says most: the first `fatal:`, else the last."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
        if self.timed_out:
            return "git did not finish in time"
        return (fatal or lines[-1:] or [f"git ended with code {self.code}"])[0]


def scrub_environment() -> None:
    """Remove every GIT_* variable that this process inherited.

    GitPython adds to the inherited environment and removes nothing, so a GIT_DIR or
    GIT_INDEX_FILE of a surrounding hook would leak in. Its own GIT_PYTHON_* stay.
    """
    for name in list(os.environ):
        if name.startswith("GIT_") and not name.startswith("GIT_PYTHON_"):
            del os.environ[name]


def _library() -> Any:
    try:
        import git
    except ImportError as e:  # GitPython looks for the executable when it is imported
        raise ConfigError(
            "git is not installed or not found", remedy="Install git 2.34 or later"
        ) from e
    return git


def run(
    cwd: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    protocols: Sequence[str] = (),
    stdin: bytes | None = None,
    timeout: float = 120.0,
    cancelled: Callable[[], bool] = lambda: False,
    through: Sequence[str] = (),
) -> Result:
    """Run git once.

    Args:
        cwd: the folder to run in.
        arguments: after `git`; never passed through a shell.
        environment: GIT_DIR and the like, over the fixed environment. Without the variables of
            `Access.environment` no ssh can be started.
        protocols: transports that this call may use: of `file`, `ssh`, `https`.
        stdin: bytes for its input; none means /dev/null.
        timeout: seconds; then SIGTERM to the process group, 5 s, SIGKILL.
        cancelled: asked a few times a second; when it says so, the deadline has come.
        through: a command that starts git in its place, for example `nice`; see also `CAPPED`.

    Raises:
        ConfigError: there is no git.
        VaultUnavailable: the folder is not there.
    """
    library = _library()
    scrub_environment()
    config = [*_CONFIG, *(f"protocol.{name}.allow=always" for name in protocols)]
    command = [*through, library.Git.GIT_PYTHON_GIT_EXECUTABLE]
    for setting in config:
        command += ["-c", setting]
    command += arguments
    allowed = {"GIT_ALLOW_PROTOCOL": ":".join(protocols) or "none", "GIT_SSH_COMMAND": "false"}
    with _as_file(stdin) as source:
        try:
            handle = library.Git(str(cwd)).execute(
                command,
                istream=source,
                as_process=True,
                start_new_session=True,
                env={**_ENVIRONMENT, **allowed, **environment},
            )
        except library.GitCommandNotFound as e:
            if not cwd.is_dir():  # the system says the same of a missing folder as of a missing git
                raise gone(cwd) from e
            raise ConfigError(
                "git is not installed or not found", remedy="Install git 2.34 or later"
            ) from e
    process: subprocess.Popen[bytes] = handle.proc
    try:
        return _finish(process, time.monotonic() + timeout, cancelled)
    finally:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


@contextmanager
def _as_file(data: bytes | None) -> Iterator[IO[bytes] | None]:
    """The input as a file without a name.

    Not a pipe: `communicate` cannot be asked again, after a look at the clock, while a slow git
    has not read all of its input yet.
    """
    if data is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


def _finish(
    process: subprocess.Popen[bytes],
    deadline: float,
    cancelled: Callable[[], bool],
) -> Result:
    try:
        while True:
            left = deadline - time.monotonic()
            try:
                out, err = process.communicate(timeout=min(_LOOK_SECONDS, max(left, 0)))
            except subprocess.TimeoutExpired:
                if left > 0 and not cancelled():
                    continue
                out, err = _end(process)
                return Result(process.returncode, out, err.decode("utf-8", "replace"), True)
            return Result(process.returncode, out, err.decode("utf-8", "replace"))
    except BaseException:  # a signal handler raised: leave no child behind
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    # Somebody outside the group (a shared ssh connection) holds the pipes: do without them.
    process.wait()
    return b"", b""

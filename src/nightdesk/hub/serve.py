"""What an agent's ssh key may do at the hub: fetch, push and watch this one repository.

The key stands in `authorized_keys` with `restrict,command="… serve NAME"`, so sshd runs this
whatever the client asks for, and the client's own words are only in `SSH_ORIGINAL_COMMAND`.
They are never given to a shell, and no part of them is given to git.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nightdesk.hub.watch import watch_refs
from nightdesk.sync.notice import WATCH

REFUSED = 126
"""Exit code for what the key does not allow, like a shell's "may not be run"."""

AGENT = "NIGHTDESK_AGENT"
"""Environment variable in which the hooks find the name of the key's agent."""

_PROGRAMS = {"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_PROTOCOL = re.compile(r"version=[0-2]")
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")
_LONGEST = 4096


def serve(repository: Path, arguments: Sequence[str]) -> int:
    """Carry out what the client asked for, or refuse it in one line.

    Args:
        repository: the bare repository that the key is for.
        arguments: the agent's name, and nothing else.

    Returns:
        An exit code; git's programs replace this process and do not return.
    """
    if len(arguments) != 1 or not _NAME.fullmatch(arguments[0]):
        return _refuse("authorized_keys must name one agent after `serve`")
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if asked == WATCH:
        return watch_refs(repository, ())
    program, why = read_request(asked, repository)
    if not program:
        return _refuse(why)
    environment = environment_for(arguments[0], os.environ)
    try:
        os.execvpe("git", ["git", program, str(repository)], environment)  # noqa: S606, S607
    except OSError as e:
        return _refuse(f"git cannot be started at the hub ({e.strerror})")


def read_request(asked: str, repository: Path) -> tuple[str, str]:
    """Read what the client asked for.

    Args:
        asked: the command line that ssh sent, as git writes it: `git-upload-pack '/srv/x.git'`.

    Returns:
        (git's sub-command, "") or ("", why it is refused).
    """
    if not asked:
        return "", "this key opens no shell; it fetches, pushes and watches one repository"
    try:
        words = shlex.split(asked) if len(asked) <= _LONGEST else []
    except ValueError:  # an open quotation mark
        words = []
    if len(words) != 2 or words[0] not in _PROGRAMS:
        return "", "this key fetches, pushes and watches one repository, and runs nothing else"
    if "\0" in words[1] or not _is_same(words[1], repository):
        return "", f"this key opens {repository.name} only; correct the path in the hub's address"
    return _PROGRAMS[words[0]], ""


def environment_for(agent: str, given: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of git and of the hooks; nothing else of `given` goes through."""
    kept = {name: given[name] for name in _KEPT if name in given}
    if _PROTOCOL.fullmatch(given.get("GIT_PROTOCOL", "")):
        kept["GIT_PROTOCOL"] = given["GIT_PROTOCOL"]
    return {
        "PATH": os.defpath,
        **kept,
        AGENT: agent,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _is_same(path: str, repository: Path) -> bool:
    # The path only says which repository is meant; git is given our own spelling of it.
    return os.path.realpath(os.path.expanduser(path)) == str(repository)  # noqa: PTH111


def _refuse(why: str) -> int:
    print(f"nightdesk: refused: {why}", file=sys.stderr)
    return REFUSED

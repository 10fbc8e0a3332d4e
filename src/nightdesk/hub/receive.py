"""The hub's hooks: nothing is taken that the laptop would have to undo (docs/design.md, section 5).

`pre-receive` judges with the laptop's own code, so an honest agent never meets it; it stands
between the hub and a stolen key. What it refuses it names, one line a path.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from nightdesk.hub.serve import AGENT
from nightdesk.hub.trust import read_trust
from nightdesk.sync.entries import Commit, printable
from nightdesk.sync.gate import Blobs, divide, judge, start_of_judging
from nightdesk.sync.inventory import Inventory
from nightdesk.sync.parsing import (
    LOG,
    TREE,
    ZERO,
    read_blobs,
    read_log,
    read_sizes,
    read_tree,
)
from nightdesk.sync.refs import MAIN, REPAIR
from nightdesk.sync.signers import VERIFY_OPTIONS, Signer, Trust, signers_of

MAX_NEW_COMMITS = 1000
"""So many may follow the newest commit of the owner's in one push."""
MAX_HEARTBEAT_BYTES = 4096
MAX_LINES = 20

_HEARTBEAT = re.compile(r"refs/heartbeat/([a-z][a-z0-9-]{0,30})")
_AT_ONCE = 50


class RefusedError(Exception):
    """The push is not taken; the argument is the line for the other side."""


def pre_receive(repository: Path, arguments: Sequence[str]) -> int:
    """Judge a push before any ref moves.

    Reads "<old> <new> <ref>" lines from standard input, as git writes them.

    Returns:
        0 to take all of it, 1 to take nothing.
    """
    try:
        hub = _Hub(repository)
        for line in sys.stdin.read().splitlines():
            old, new, ref = line.split(" ", 2)
            hub.check(old, new, ref)
    except RefusedError as e:
        print(f"nightdesk: refused: {e}", file=sys.stderr)
        return 1
    except (OSError, ValueError, subprocess.CalledProcessError) as e:
        print(f"nightdesk: the hub could not judge the push: {e}", file=sys.stderr)
        return 1
    return 0


def post_receive(repository: Path, arguments: Sequence[str]) -> int:
    """Carry out a repair that `pre_receive` has let in: main becomes what the owner pushed."""
    for line in sys.stdin.read().splitlines():
        _, new, ref = line.split(" ", 2)
        if ref == REPAIR and new != ZERO:
            orders = f"update {MAIN} {new}\ndelete {REPAIR} {new}\n"
            subprocess.run(
                ["git", "update-ref", "--stdin"],  # noqa: S607
                input=orders.encode(),
                cwd=repository,
                check=True,
            )
    return 0


class _Hub:
    """The repository during one push; git's own environment (quarantine) is kept."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.trust: Trust = read_trust(repository)
        if not self.trust.owner:
            raise RefusedError("the hub does not know its owner; see `agent-cloud init --hub-only`")

    def check(self, old: str, new: str, ref: str) -> None:
        """Raise RefusedError unless this ref may move so."""
        if new == ZERO:
            raise RefusedError(f"{ref} may not be deleted")
        if ref == MAIN:
            self.check_main(old, new)
        elif ref == REPAIR:
            if not self.newest_of_owner([new]):
                raise RefusedError("only the owner's laptop repairs the hub")
        elif match := _HEARTBEAT.fullmatch(ref):
            self.check_heartbeat(match[1], new)
        else:
            raise RefusedError(f"{ref}: an agent pushes {MAIN} and its own heartbeat, nothing else")

    def check_heartbeat(self, name: str, new: str) -> None:
        if os.environ.get(AGENT, name) != name:
            raise RefusedError(f"the heartbeat of {name} is not {os.environ[AGENT]}'s to move")
        kind, size = self.git("cat-file", "--batch-check", stdin=new.encode()).split()[1:]
        if kind != b"blob" or int(size) > MAX_HEARTBEAT_BYTES:
            raise RefusedError(f"a heartbeat is a text of at most {MAX_HEARTBEAT_BYTES} bytes")

    def check_main(self, old: str, new: str) -> None:
        if old != ZERO and self.code("merge-base", "--is-ancestor", old, new) != 0:
            raise RefusedError("the push would rewrite the history")
        start, commits = self.to_judge(old, new)
        if start is None and old == ZERO:
            raise RefusedError("only the owner's laptop begins the history")
        base = start or old
        entries, _ = divide(read_tree(self.git(*TREE, base)))
        signers = self.signers([commit.oid for commit in commits])
        todo = list(start_of_judging(commits, signers))
        verdict = judge(todo, signers, Inventory(entries), Blobs(self.sizes, self.read))
        if verdict.findings:
            lines = [
                f"path {json.dumps(printable(f.path))}: {f.reason}"
                for f in verdict.findings[:MAX_LINES]
            ]
            raise RefusedError("\nnightdesk: refused: ".join(lines))

    def to_judge(self, old: str, new: str) -> tuple[str | None, list[Commit]]:
        """The newest commit of the owner's in the push, and what is not an ancestor of it."""
        known = [f"^{old}"] if old != ZERO else []
        listed = self.git("rev-list", "--topo-order", new, *known).decode().split()
        start = self.newest_of_owner(listed)
        if start:
            known = [f"^{start}"]
        number = int(self.git("rev-list", "--count", new, *known))
        if number > MAX_NEW_COMMITS:
            raise RefusedError(
                f"{number} commits that the owner has not judged, more than {MAX_NEW_COMMITS}"
            )
        return start, read_log(self.git(*LOG, new, *known)) if number else []

    def newest_of_owner(self, commits: Sequence[str]) -> str | None:
        for some in _parts(commits[: MAX_NEW_COMMITS + _AT_ONCE]):
            signers = self.signers(some)
            for oid in some:
                if signers[oid].gates:
                    return oid
        return None

    def signers(self, commits: Sequence[str]) -> dict[str, Signer]:
        with tempfile.NamedTemporaryFile("w", suffix=".signers") as file:
            file.write(self.trust.allowed_signers())
            file.flush()
            options = (f"gpg.ssh.allowedSignersFile={file.name}", *VERIFY_OPTIONS)

            def ask(arguments: Sequence[str]) -> tuple[int, str]:
                done = self.run(arguments, options=options)
                return done.returncode, done.stdout.decode("utf-8", "replace")

            return signers_of(commits, self.trust, ask)

    def sizes(self, oids: Collection[str]) -> dict[str, int]:
        return read_sizes(self.git("cat-file", "--batch-check", stdin=_lines(oids)))

    def read(self, oids: Collection[str]) -> dict[str, bytes]:
        found = read_blobs(self.git("cat-file", "--batch", stdin=_lines(oids)))
        return {oid: data for oid, data in found.items() if data is not None}

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        done = self.run(arguments, stdin=stdin)
        done.check_returncode()
        return done.stdout

    def code(self, *arguments: str) -> int:
        return self.run(arguments).returncode

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", options: Iterable[str] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        settings = [word for option in options for word in ("-c", option)]
        return subprocess.run(
            ["git", *settings, *arguments],  # noqa: S607
            input=stdin,
            capture_output=True,
            cwd=self.repository,
            env={**os.environ, "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"},
            timeout=300,
            check=False,
        )


def _lines(oids: Collection[str]) -> bytes:
    return "".join(f"{oid}\n" for oid in oids).encode()


def _parts(commits: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(commits), _AT_ONCE):
        yield commits[start : start + _AT_ONCE]

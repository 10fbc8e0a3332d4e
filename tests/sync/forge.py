"""An attacker's git: objects written straight into a bare repository, with no check at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from nightdesk.sync.entries import Entry

Row = tuple[str, bytes, str]
"""One row of a tree: mode, name, id."""
Put = Mapping[str, "bytes | str | Entry | None"]
"""Path -> new text or entry; None removes it."""

AT = "1795000000 +0000"


class Forge:
    """Makes objects in a repository; nothing here refuses anything.

    Args:
        repository: a bare one.
    """

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def put(self, kind: str, data: bytes) -> str:
        """Store one object."""
        whole = b"%b %d\0" % (kind.encode(), len(data)) + data
        oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        file = self.repository / "objects" / oid[:2] / oid[2:]
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(zlib.compress(whole, 1))
        return oid

    def blob(self, data: bytes) -> str:
        """Store bytes."""
        return self.put("blob", data)

    def rows(self, rows: Iterable[Row]) -> str:
        """Store a tree whose rows are exactly these, in this order."""
        return self.put("tree", b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in rows
        ))  # fmt: skip

    def tree(self, entries: Mapping[str, Entry]) -> str:
        """Store the trees of a path map, whatever its paths are called."""
        here: list[Row] = []
        below: dict[str, dict[str, Entry]] = {}
        for path, entry in entries.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = entry
            else:
                here.append((entry.mode.lstrip("0"), _bytes(name), entry.oid))
        here += [("40000", _bytes(name), self.tree(inside)) for name, inside in below.items()]
        return self.rows(sorted(here, key=lambda r: r[1] + b"/" * (r[0] == "40000")))

    def commit(
        self,
        tree: str,
        parents: Iterable[str],
        *,
        author: str = "cloud",
        key: Path | None = None,
        namespace: str = "git",
        header: bytes = b"",
        at: str = AT,
    ) -> str:
        """Store a commit.

        Args:
            key: the private SSH key that signs it; None for no signature.
            namespace: what the signature says it is for.
            header: further lines of the head.
            at: time and zone of author and committer.
        """
        who = f"{author} <{author}@nightdesk.invalid> {at}".encode("utf-8", "surrogateescape")
        head = f"tree {tree}\n" + "".join(f"parent {parent}\n" for parent in parents)
        head_bytes = head.encode() + b"author " + who + b"\ncommitter " + who + b"\n" + header
        message = b"\nwork\n"
        if key is None:
            return self.put("commit", head_bytes + message)
        signature = sign(head_bytes + message, key, namespace)
        return self.put("commit", head_bytes + folded("gpgsig", signature) + message)

    def read(self, oid: str) -> bytes:
        """An object's bytes, as `cat-file` prints them without looking into them."""
        kind = self.git("cat-file", "-t", oid).decode().strip()
        return self.git("cat-file", kind, oid)

    def entries(self, commit: str) -> dict[str, Entry]:
        """Every path of a commit."""
        out = self.git("ls-tree", "-r", "-z", commit).decode("utf-8", "surrogateescape")
        rows = (row.partition("\t") for row in out.split("\0") if row)
        return {path: Entry(meta.split()[0], meta.split()[2]) for meta, _, path in rows}

    def git(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """Run git in the repository."""
        return subprocess.run(
            ["git", *arguments], cwd=self.repository, input=stdin, check=True, capture_output=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_NO_REPLACE_OBJECTS": "1"},
        ).stdout  # fmt: skip


def sign(payload: bytes, key: Path, namespace: str = "git") -> bytes:
    """An SSH signature, made by ssh-keygen."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key)]
    return subprocess.run(command, input=payload, check=True, capture_output=True).stdout


def folded(name: str, value: bytes) -> bytes:
    """A head's line whose value goes on over further lines."""
    return name.encode() + b" " + value.rstrip(b"\n").replace(b"\n", b"\n ") + b"\n"


def new_key(file: Path) -> Path:
    """Make a private key that nobody knows."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "local", "-f", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")

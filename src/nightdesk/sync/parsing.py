"""Reading what git prints: trees and histories, NUL-separated, bytes that are no UTF-8 kept.

Standard library only, because the hub's hook reads the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from nightdesk.sync.entries import Changed, Commit, Entry

ZERO = "0" * 40
_DIGITS = 15

LOG: tuple[str, ...] = (
    "log", "-z", "--reverse", "--topo-order", "--raw", "-r", "-m", "--root",
    "--no-abbrev", "--no-renames", "--format=%x01%H %P%x09%ct%x09%an",
)  # fmt: skip
"""The arguments whose output `read_log` reads; the range follows."""

TREE: tuple[str, ...] = ("ls-tree", "-r", "-z", "--full-tree")
"""The arguments whose output `read_tree` reads; the commit follows."""


def rows(out: bytes) -> list[str]:
    """The parts between NUL bytes."""
    return [row for row in out.decode("utf-8", "surrogateescape").split("\0") if row]


def read_tree(out: bytes) -> dict[str, Entry]:
    """Every path of a commit."""
    entries: dict[str, Entry] = {}
    for row in rows(out):
        meta, _, path = row.partition("\t")
        mode, _, oid = meta.split(" ")
        entries[path] = Entry(mode, oid)
    return entries


def read_log(out: bytes) -> list[Commit]:
    """Commits, oldest first, with what each changed against each of its parents."""
    commits: dict[str, Commit] = {}
    latest: Commit | None = None
    parts = iter(rows(out))
    for row in parts:
        if row.startswith("\x01"):
            ids, time, author = row[1:].split("\t", 2)
            oid, *parents = ids.split()
            made = Commit(oid, tuple(parents), author, _seconds(time), ())
            latest = commits.setdefault(oid, made)
            continue
        assert latest is not None
        known = commits[latest.oid]
        changes = (*known.changes, *read_changes([row, next(parts)]))
        commits[latest.oid] = Commit(known.oid, known.parents, known.author, known.time, changes)
    return list(commits.values())


def _seconds(time: str) -> int:
    """A commit's time, 0 where git prints none or nonsense.

    Git reads a head in the encoding that the commit claims, in which it may say anything.
    """
    return int(time) if time.isascii() and time.isdigit() and len(time) <= _DIGITS else 0


def read_changes(parts: Sequence[str]) -> list[Changed]:
    """Raw differences: a line of modes and ids, then the path, again and again."""
    found: list[Changed] = []
    for meta, path in zip(parts[::2], parts[1::2], strict=True):
        old_mode, new_mode, old, new, _ = meta.lstrip("\n:").split(" ")
        found.append(
            Changed(
                path,
                None if old == ZERO else Entry(old_mode, old),
                None if new == ZERO else Entry(new_mode, new),
            )
        )
    return found


def read_sizes(out: bytes) -> dict[str, int]:
    """The answer of `cat-file --batch-check` in its usual form; missing objects are left out."""
    words = (line.split(" ") for line in out.decode().splitlines())
    return {word[0]: int(word[2]) for word in words if len(word) == 3}


def read_blobs(out: bytes) -> dict[str, bytes | None]:
    """The answer of `cat-file --batch`: id -> bytes, None where the object is missing."""
    found: dict[str, bytes | None] = {}
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        words = out[at:end].decode().split(" ")
        if len(words) != 3:
            found[words[0]] = None
            at = end + 1
            continue
        size = int(words[2])
        found[words[0]] = out[end + 1 : end + 1 + size]
        at = end + size + 2
    return found

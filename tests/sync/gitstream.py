"""What `git fast-import` makes of the streams that sync sends it: blobs, and one tree."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitfiles import Flat, NotHereError, Repository

_BLOB = re.compile(rb"blob\ndata (\d+)\n")
_TREE = re.compile(
    rb"commit (refs/\S+)\ncommitter [^\n]+\ndata 0\n(?:from ([0-9a-f]{40})\n)?"
    rb'((?:[DM] [^\n]+\n)*)ls ""\nreset (refs/\S+)\nfrom (0{40})\n\n'
)
_MODIFY = re.compile(r'M (\d{6}) ([0-9a-f]{40}) "(.*)"')


def run_stream(at: Repository, stream: bytes) -> bytes:
    """Carry a stream out; return what it prints."""
    if stream.startswith(b"commit "):
        return _tree(at, stream)
    place = 0
    while place < len(stream):
        head = _BLOB.match(stream, place)
        if not head:
            raise NotHereError
        end = head.end() + int(head.group(1))
        at.put("blob", stream[head.end() : end])
        place = end + 1
    return b""


def _tree(at: Repository, stream: bytes) -> bytes:
    found = _TREE.fullmatch(stream)
    if not found or found.group(1) != found.group(4):
        raise NotHereError
    start = (found.group(2) or b"").decode()
    flat = dict(at.flat(at.tree_of(start))) if start else {}
    for line in found.group(3).decode("utf-8", "surrogateescape").splitlines():
        if line.startswith("D "):
            path = _plain(line[2:].strip('"'))
            for gone in [path, *_below(flat, path)]:
                flat.pop(gone, None)
            continue
        change = _MODIFY.fullmatch(line)
        if not change:
            raise NotHereError
        mode, oid, path = change.group(1), change.group(2), _plain(change.group(3))
        if mode != "160000" and (not at.has(oid) or at.get(oid)[0] != "blob"):
            raise NotHereError
        parts = path.split("/")
        folders = ["/".join(parts[:n]) for n in range(1, len(parts))]
        for gone in [*folders, *_below(flat, path)]:  # a file gives way to a folder, and back
            flat.pop(gone, None)
        flat[path] = (mode, oid)
    return f"040000 tree {at.put_tree(flat)}\t\n".encode()


def _below(flat: Flat, path: str) -> Iterator[str]:
    yield from [other for other in flat if other.startswith(f"{path}/")]


def _plain(quoted: str) -> str:
    if "\\" in quoted:
        raise NotHereError
    return quoted

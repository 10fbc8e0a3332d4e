"""A git repository's own files: loose objects and loose refs, read and written as git does."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

ZERO = "0" * 40
Flat = dict[str, tuple[str, str]]
"""Path -> (mode, object id) of a whole tree."""


class NotHereError(Exception):
    """Something that only the real git does."""


PACKED: dict[tuple[str, tuple[str, ...]], dict[str, tuple[str, bytes]]] = {}
"""Folder and packs -> what they hold."""

PRESENT: dict[str, set[str]] = {}
"""Folder -> objects that were seen there; none goes, but where a test takes all of them away."""

FLAT: dict[str, Flat] = {}
COMMITS: dict[str, tuple[str, list[str], str, int]] = {}
TREES: dict[str, list[tuple[str, str, str]]] = {}
"""What objects mean, by their ids."""


def forget() -> None:
    """Start anew: the folders are not what they were."""
    for known in (PACKED, PRESENT, FLAT, COMMITS, TREES):
        known.clear()


class Repository:
    """One repository's files. Objects and refs are read and written as git does."""

    def __init__(self, folder: Path, cache: dict[str, tuple[str, bytes]]) -> None:
        self.folder = str(folder)
        self.cache = cache
        self.present = PRESENT.setdefault(self.folder, set())

    # Objects ------------------------------------------------------------------------------

    def file(self, oid: str) -> str:
        return f"{self.folder}/objects/{oid[:2]}/{oid[2:]}"

    def has(self, oid: str) -> bool:
        if oid not in self.present:
            if not os.path.exists(self.file(oid)) and oid not in self._packed():
                return False
            self.present.add(oid)
        return True

    def _packed(self) -> Collection[str]:
        """What lies in packs; the real git reads them, once for each set of packs."""
        try:
            names = tuple(sorted(os.listdir(f"{self.folder}/objects/pack")))
        except FileNotFoundError:
            names = ()
        if not names:
            return ()
        key = (self.folder, names)
        if key not in PACKED:
            command = ["git", "--git-dir", self.folder, "cat-file", "--batch-all-objects"]
            said = subprocess.run([*command, "--batch"], check=True, capture_output=True).stdout
            PACKED[key] = dict(_objects(said))
        self.cache.update(PACKED[key])
        return PACKED[key]

    def get(self, oid: str) -> tuple[str, bytes]:
        """Kind and bytes of an object."""
        if oid in self.cache and self.has(oid):
            return self.cache[oid]
        try:
            with open(self.file(oid), "rb") as file:
                raw = zlib.decompress(file.read())
        except FileNotFoundError as e:
            raise NotHereError(oid) from e
        head, _, data = raw.partition(b"\0")
        self.cache[oid] = (head.split(b" ")[0].decode(), data)
        return self.cache[oid]

    def put(self, kind: str, data: bytes) -> str:
        """Store an object; return its id."""
        raw = b"%b %d\0%b" % (kind.encode(), len(data), data)
        oid = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
        self.cache[oid] = (kind, data)
        if oid in self.present:
            return oid
        path = self.file(oid)
        if not os.path.exists(path):
            folder = Path(path).parent
            if not folder.exists():
                folder.mkdir()
            Path(path).write_bytes(zlib.compress(raw, 1))
        self.present.add(oid)
        return oid

    def parsed_tree(self, oid: str) -> list[tuple[str, str, str]]:
        """Rows of one tree object: mode, name, id."""
        if oid in TREES and self.has(oid):
            return TREES[oid]
        kind, data = self.get(oid)
        assert kind == "tree"
        rows, at = [], 0
        while at < len(data):
            space, nul = data.index(b" ", at), data.index(b"\0", at)
            mode = data[at:space].decode().zfill(6)
            name = data[space + 1 : nul].decode("utf-8", "surrogateescape")
            rows.append((mode, name, data[nul + 1 : nul + 21].hex()))
            at = nul + 21
        TREES[oid] = rows
        return rows

    def flat(self, tree: str) -> Flat:
        """Every path of a tree; not to be changed."""
        if tree in FLAT and self.has(tree):
            return FLAT[tree]
        found: Flat = {}
        for mode, name, oid in self.parsed_tree(tree):
            if mode == "040000":
                found.update({f"{name}/{path}": entry for path, entry in self.flat(oid).items()})
            else:
                found[name] = (mode, oid)
        FLAT[tree] = found
        return found

    def put_tree(self, flat: Mapping[str, tuple[str, str]]) -> str:
        """Store the tree objects of a path map; return the root's id."""
        here: dict[str, tuple[str, str]] = {}
        below: dict[str, Flat] = {}
        for path, entry in flat.items():
            top, slash, rest = path.partition("/")
            if slash:
                below.setdefault(top, {})[rest] = entry
            else:
                here[top] = entry
        for name, part in below.items():
            here[name] = ("040000", self.put_tree(part))
        rows = []
        for name, (mode, oid) in here.items():
            raw = name.encode("utf-8", "surrogateescape")
            row = b"%b %b\0%b" % (mode.lstrip("0").encode(), raw, bytes.fromhex(oid))
            rows.append((raw + b"/" if mode == "040000" else raw, row))
        return self.put("tree", b"".join(row for _, row in sorted(rows)))

    def commit(self, oid: str) -> tuple[str, list[str], str, int]:
        """Tree, parents, author's name, committer's time."""
        if oid in COMMITS and self.has(oid):
            return COMMITS[oid]
        kind, data = self.get(oid)
        if kind != "commit":
            raise NotHereError(f"{oid} is a {kind}")
        tree, parents, author, time = "", [], "", 0
        for line in data.decode("utf-8", "surrogateescape").split("\n"):
            word, _, rest = line.partition(" ")
            if not line:
                break
            if word == "tree":
                tree = rest
            elif word == "parent":
                parents.append(rest)
            elif word == "author":
                author = rest.partition(" <")[0]
            elif word == "committer":
                time = int(rest.split(" ")[-2])
        COMMITS[oid] = tree, parents, author, time
        return COMMITS[oid]

    def tree_of(self, oid: str) -> str:
        return self.commit(oid)[0] if self.get(oid)[0] == "commit" else oid

    def contains(self, new: str, old: str) -> bool:
        """Whether the history of `new` contains `old`."""
        return old in self.history(new, until=old)

    def history(self, new: str, until: str = "") -> set[str]:
        seen: set[str] = set()
        queue = [new]
        while queue and until not in seen:
            oid = queue.pop()
            if oid not in seen:
                seen.add(oid)
                queue += self.commit(oid)[1]
        return seen

    # Refs ---------------------------------------------------------------------------------

    def ref(self, name: str) -> str | None:
        try:
            with open(f"{self.folder}/{name}") as file:
                return file.read().strip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return self._packed_refs().get(name)

    def _packed_refs(self) -> dict[str, str]:
        try:
            with open(f"{self.folder}/packed-refs") as file:
                rows = [line.split() for line in file if line[0] not in "#^"]
        except FileNotFoundError:
            return {}
        return {name: oid for oid, name in rows}

    def refs(self, *prefixes: str) -> dict[str, str]:
        starts = prefixes or ("refs",)
        found = {
            name: oid
            for name, oid in self._packed_refs().items()
            if any(f"{name}/".startswith(f"{start.rstrip('/')}/") for start in starts)
        }
        for prefix in starts:
            at = f"{self.folder}/{prefix.rstrip('/')}"
            if os.path.isfile(at):
                found[prefix] = self.ref(prefix) or ""
            for folder, _, names in os.walk(at):
                for name in names:
                    path = f"{folder}/{name}"[len(self.folder) + 1 :]
                    found[path] = self.ref(path) or ""
        return dict(sorted(found.items()))

    def set_ref(self, name: str, oid: str) -> None:
        path = f"{self.folder}/{name}"
        if os.path.exists(f"{path}.lock"):
            raise NotHereError("locked")
        if not oid:
            if name in self._packed_refs():
                raise NotHereError("packed refs")
            os.unlink(path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(f"{oid}\n")

    def resolve(self, name: str) -> str | None:
        """The id behind a ref, an id, or either with `^{tree}`."""
        base, peel, _ = name.partition("^{tree}")
        oid = base if re.fullmatch(r"[0-9a-f]{40}", base) else None
        if oid is None:
            if not base.startswith("refs/"):
                raise NotHereError(name)
            oid = self.ref(base)
        return self.tree_of(oid) if oid and peel else oid

    def reachable(self, oid: str, have: Callable[[str], bool]) -> Iterator[str]:
        """Every object that `oid` needs, but not what lies behind one that is there already."""
        queue = [oid]
        while queue:
            at = queue.pop()
            if have(at):
                continue
            yield at
            kind, _ = self.get(at)
            if kind == "commit":
                tree, parents, _, _ = self.commit(at)
                queue += [tree, *parents]
            elif kind == "tree":
                queue += [oid for mode, _, oid in self.parsed_tree(at) if mode != "160000"]


def _objects(said: bytes) -> Iterator[tuple[str, tuple[str, bytes]]]:
    at = 0
    while at < len(said):
        end = said.index(b"\n", at)
        oid, kind, size = said[at:end].decode().split(" ")
        at = end + 1 + int(size) + 1
        yield oid, (kind, said[end + 1 : at - 1])

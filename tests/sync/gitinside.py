"""Git without processes: `process.run` for real repositories on disk, answered in this process.

A state machine runs tens of thousands of git commands; as processes they would take hours.
Here the commands that sync runs most work on the same files in git's own format (loose objects,
loose refs), and everything else, and everything unusual, goes to the real git, which finds all
of it where it expects it. `test_gitinside.py` compares both, command by command.

Left out: checking of objects on transfer, and the person's own index, which stays empty.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gitfiles import ZERO, Flat, NotHereError, Repository
from gitsigned import Signatures, body_and_signature
from gitstream import run_stream

from nightdesk.sync import process
from nightdesk.sync.process import Result


class GitInside:
    """Answers `process.run`.

    Attributes:
        counts: command -> how often it was answered here ("fetch") or by git ("fetch, real").
    """

    def __init__(self) -> None:
        self.cache: dict[str, tuple[str, bytes]] = {}
        self.counts: dict[str, int] = {}
        self.signatures = Signatures()
        self.real = process.run

    def run(
        self,
        cwd: Path,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdin: bytes | None = None,
        **options: Any,
    ) -> Result:
        words, settings = list(arguments), {}
        while words[0] == "-c":
            name, _, settings[name] = words[1].partition("=")
            del words[:2]
        command = words.pop(0)
        answer = getattr(self, "_" + command.replace("-", "_"), None)
        try:
            if answer is None or "GIT_DIR" not in environment:
                raise NotHereError(command)
            repository = Repository(Path(environment["GIT_DIR"]), self.cache)
            said = {**environment, **{f"-c {name}": value for name, value in settings.items()}}
            result: Result = answer(repository, words, said, stdin or b"")
        except NotHereError:
            command += ", real"
            result = self.real(cwd, arguments, environment=environment, stdin=stdin, **options)
        self.counts[command] = self.counts.get(command, 0) + 1
        return result

    # Refs and history ---------------------------------------------------------------------

    def _rev_parse(self, at: Repository, words: list[str], *_: object) -> Result:
        if words[:2] != ["--verify", "--quiet"] or len(words) != 3:
            raise NotHereError
        oid = at.resolve(words[2])
        return _said(f"{oid}\n") if oid else Result(1, b"", "")

    def _for_each_ref(self, at: Repository, words: list[str], *_: object) -> Result:
        if words[0] != "--format=%(objectname) %(refname)":
            raise NotHereError
        refs = at.refs(*words[1:])
        return _said("".join(f"{oid} {name}\n" for name, oid in refs.items()))

    def _update_ref(
        self, at: Repository, words: list[str], env: Mapping[str, str], stdin: bytes
    ) -> Result:
        if words == ["--stdin"]:
            updates = [line.split(" ") for line in stdin.decode().splitlines()]
            if any(len(u) > 3 or u[0] not in {"update", "delete"} for u in updates):
                raise NotHereError
            pairs = [(u[1], u[2] if len(u) == 3 else "") for u in updates]
        elif len(words) == 2 and words[0].startswith("refs/"):
            pairs = [(words[0], words[1])]
        else:
            raise NotHereError
        if any((oid and not at.has(oid)) or (not oid and not at.ref(ref)) for ref, oid in pairs):
            raise NotHereError
        for ref, oid in pairs:
            at.set_ref(ref, oid)
        return _said("")

    def _merge_base(self, at: Repository, words: list[str], *_: object) -> Result:
        if words[0] != "--is-ancestor":
            return self._common(at, *words)
        return Result(0 if at.contains(words[2], words[1]) else 1, b"", "")

    def _common(self, at: Repository, one: str, other: str) -> Result:
        """The newest commit of a line that the other history holds."""
        known, oid = at.history(one), other
        while oid not in known:
            parents = at.commit(oid)[1]
            if len(parents) > 1:
                raise NotHereError
            if not parents:
                return Result(1, b"", "")
            oid = parents[0]
        return _said(f"{oid}\n")

    def _log(self, at: Repository, words: list[str], env: Mapping[str, str], _: bytes) -> Result:
        if words[:2] == ["--no-walk=unsorted", "--format=%H %G? %GS"]:
            rows = [(oid, *self._verdict(at, oid, env)) for oid in words[2:]]
            return _said("".join(f"{oid} {verdict} {who}\n" for oid, verdict, who in rows))
        fixed = ["-z", "--reverse", "--topo-order", "--raw", "-r", "-m", "--root",
                 "--no-abbrev", "--no-renames"]  # fmt: skip
        if words[:9] != fixed or words[9] != "--format=%x01%H %ct %P%x09%an" or len(words) != 11:
            raise NotHereError
        old, dots, new = words[10].rpartition("..")
        out, oid = [], new
        known = at.history(old) if dots and not self._on_line(at, old, new) else {old}
        while oid and oid not in known:
            tree, parents, author, time = at.commit(oid)
            if len(parents) > 1:
                raise NotHereError
            before = at.flat(at.commit(parents[0])[0]) if parents else {}
            rows = _raw(before, at.flat(tree))
            out.append(f"\x01{oid} {time} {' '.join(parents)}\t{author}\0"
                       + (f"\n{rows}" if rows else ""))  # fmt: skip
            oid = parents[0] if parents else ""
        return _said("".join(reversed(out)))

    @staticmethod
    def _on_line(at: Repository, old: str, new: str) -> bool:
        """Whether `old` lies on the line of first parents: nearly always, and near."""
        oid = new
        while oid != old:
            parents = at.commit(oid)[1]
            if len(parents) != 1:
                return False
            oid = parents[0]
        return True

    def _verify_commit(
        self, at: Repository, words: list[str], env: Mapping[str, str], _: bytes
    ) -> Result:
        good = all(self._verdict(at, oid, env)[0] == "G" for oid in words)
        return Result(0 if good else 1, b"", "")

    def _verdict(self, at: Repository, oid: str, env: Mapping[str, str]) -> tuple[str, str]:
        kind, data = at.get(oid)
        if kind != "commit":
            raise NotHereError
        with open(env["-c gpg.ssh.allowedSignersFile"]) as file:
            return self.signatures.verdict(*body_and_signature(data), file.read())

    def _config(self, at: Repository, words: list[str], *_: object) -> Result:
        if words != ["--local", "--get", "remote.origin.url"]:
            raise NotHereError
        with open(f"{at.folder}/config") as file:
            found = re.search(r'^\[remote "origin"\]\n\turl = ([^"\\#;\n]+)$', file.read(), re.M)
        if not found:
            raise NotHereError
        return _said(f"{found.group(1)}\n")

    # Objects ------------------------------------------------------------------------------

    def _cat_file(
        self, at: Repository, words: list[str], env: Mapping[str, str], stdin: bytes
    ) -> Result:
        check = words == ["--batch-check"]
        if words != ["--batch"] and not check:
            raise NotHereError
        out = []
        for oid in stdin.decode().split():
            if not at.has(oid):
                out.append(b"%b missing\n" % oid.encode())
                continue
            kind, data = at.get(oid)
            if check:
                out.append(b"%b %b %d\n" % (oid.encode(), kind.encode(), len(data)))
                continue
            out.append(b"%b %b %d\n%b\n" % (oid.encode(), kind.encode(), len(data), data))
        return Result(0, b"".join(out), "")

    def _fast_import(
        self, at: Repository, words: list[str], env: Mapping[str, str], stdin: bytes
    ) -> Result:
        if words not in (["--quiet"], ["--quiet", "--force"]):
            raise NotHereError
        return Result(0, run_stream(at, stdin), "")

    def _commit_tree(
        self, at: Repository, words: list[str], env: Mapping[str, str], *_: object
    ) -> Result:
        tree, message, key, parents = "", "", "", []
        rest = iter(words)
        for word in rest:
            if word == "-p":
                parents.append(next(rest))
            elif word == "-m" and not message:
                message = next(rest)
            elif word == "-S":
                key = env["-c user.signingkey"]
            elif re.fullmatch(r"[0-9a-f]{40}", word) and not tree:
                tree = word
            else:
                raise NotHereError
        when = env.get("GIT_COMMITTER_DATE", "")
        if not re.fullmatch(r"@\d+ \+0000", when) or env.get("GIT_AUTHOR_DATE") != when:
            raise NotHereError
        stamp = when[1:]
        lines = [f"tree {tree}", *(f"parent {p}" for p in parents)]
        lines += [f"{who.lower()} {env[f'GIT_{who}_NAME']} <{env[f'GIT_{who}_EMAIL']}> {stamp}"
                  for who in ("AUTHOR", "COMMITTER")]  # fmt: skip
        data = ("\n".join(lines) + f"\n\n{message}\n").encode()
        oid = at.put("commit", self.signatures.sign(data, Path(key)) if key else data)
        return _said(f"{oid}\n")

    # Trees --------------------------------------------------------------------------------

    def _ls_tree(self, at: Repository, words: list[str], *_: object) -> Result:
        if words[:3] != ["-r", "-z", "--full-tree"] or len(words) != 4:
            raise NotHereError
        kinds = {"160000": "commit"}
        flat = at.flat(at.tree_of(words[3]))
        return _said("".join(f"{mode} {kinds.get(mode, 'blob')} {oid}\t{path}\0"
                             for path, (mode, oid) in _in_order(flat)))  # fmt: skip

    def _diff_tree(self, at: Repository, words: list[str], *_: object) -> Result:
        if words[:4] != ["-r", "-z", "--no-renames", "--no-abbrev"] or len(words) != 6:
            raise NotHereError
        return _said(_raw(*(at.flat(at.tree_of(word)) for word in words[4:])))

    def _read_tree(
        self, at: Repository, words: list[str], env: Mapping[str, str], _: bytes
    ) -> Result:
        if len(words) != 2 or words[0] != "--reset" or not at.has(words[1]):
            raise NotHereError
        with open(env["GIT_INDEX_FILE"], "wb") as file:  # empty: nothing here rests on it
            file.write(_INDEX + hashlib.sha1(_INDEX, usedforsecurity=False).digest())
        return _said("")

    def _check_ignore(
        self, at: Repository, words: list[str], env: Mapping[str, str], stdin: bytes
    ) -> Result:
        root = env["GIT_WORK_TREE"]
        if words != ["-z", "--stdin", "--no-index"]:
            raise NotHereError
        try:
            with open(f"{root}/.gitignore", "rb") as file:
                patterns = file.read().decode("utf-8", "surrogateescape").split("\n")
        except FileNotFoundError:
            patterns = []
        if any(p and not re.fullmatch(r"[\w.*-]+/?", p) for p in patterns):
            raise NotHereError
        hit = []
        for path in stdin.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            parts = path.split("/")
            if any(os.path.exists("/".join([root, *parts[:n], ".gitignore"]))
                   for n in range(1, len(parts))):  # fmt: skip
                raise NotHereError
            named = any(
                fnmatchcase(part, pattern.rstrip("/"))
                and (not pattern.endswith("/") or n < len(parts) - 1)
                for pattern in patterns if pattern
                for n, part in enumerate(parts)
            )  # fmt: skip
            hit += [path] if named else []
        return Result(
            0 if hit else 1, "".join(f"{p}\0" for p in hit).encode("utf-8", "surrogateescape"), ""
        )

    # The hub ------------------------------------------------------------------------------

    def _hub(self, word: str, env: Mapping[str, str]) -> Repository | None:
        """The hub behind an address; None where there is none."""
        names = {v: env[k.replace("VALUE", "KEY")] for k, v in env.items() if "_VALUE_" in k}
        address = re.sub(r"^url\.(.*)\.(insteadOf|pushInsteadOf)$", r"\1", names.get(word, word))
        if not address.startswith("/") or _listing(f"{address}/hooks"):
            raise NotHereError
        if not os.path.isfile(f"{address}/HEAD"):
            return None
        return Repository(Path(address), self.cache)

    def _ls_remote(
        self, at: Repository, words: list[str], env: Mapping[str, str], _: bytes
    ) -> Result:
        if words[0] != "--" or self._hub(words[1], env) is not None:
            raise NotHereError
        return _NO_HUB

    def _fetch(self, at: Repository, words: list[str], env: Mapping[str, str], _: bytes) -> Result:
        fixed = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--"]
        if words[:5] != fixed:
            raise NotHereError
        hub = self._hub(words[5], env)
        if hub is None:
            return _NO_HUB
        updates: dict[str, str] = {}
        for spec in words[6:]:
            source, _, target = spec.removeprefix("+").partition(":")
            if not spec.startswith("+"):
                raise NotHereError
            if source.endswith("*"):
                start = source.removesuffix("*")
                for ref, oid in hub.refs(start.rstrip("/")).items():
                    updates[target.removesuffix("*") + ref.removeprefix(start)] = oid
                continue
            oid = hub.ref(source) or ""
            if not oid:
                raise NotHereError
            updates[target] = oid
        for oid in updates.values():
            _carry(hub, at, oid)
        for ref, oid in updates.items():
            at.set_ref(ref, oid)
        return _said("")

    def _push(self, at: Repository, words: list[str], env: Mapping[str, str], _: bytes) -> Result:
        fixed = ["--porcelain", "--no-verify", "--recurse-submodules=no"]
        lease = words.pop(3) if words[3] != "--" else ""
        if words[:4] != [*fixed, "--"] or len(words) != 6:
            raise NotHereError
        hub = self._hub(words[4], env)
        if hub is None:
            return _NO_HUB
        force = words[5].startswith("+")
        oid, _, ref = words[5].removeprefix("+").partition(":")
        if not at.has(oid):
            raise NotHereError
        there = hub.ref(ref)
        if lease:
            start, expected = f"--force-with-lease={ref}:", lease.rpartition(":")[2]
            if lease != f"{start}{expected}" or not expected:
                raise NotHereError
            if there != expected and there != oid:
                return Result(1, f"!\t{oid}:{ref}\t[rejected] (stale info)\n".encode(), "")
        elif there and not force:
            if not at.has(there):
                return Result(1, f"!\t{oid}:{ref}\t[rejected] (fetch first)\n".encode(), "")
            if not at.contains(oid, there):
                return Result(1, f"!\t{oid}:{ref}\t[rejected] (non-fast-forward)\n".encode(), "")
        _carry(at, hub, oid)
        hub.set_ref(ref, oid)
        return _said("")


_INDEX = b"DIRC" + (2).to_bytes(4, "big") + bytes(4)
_NO_HUB = Result(128, b"", "fatal: it does not appear to be a git repository\n")


def _carry(source: Repository, target: Repository, oid: str) -> None:
    # What is needed first: an object that is there stands for all that lies behind it.
    for needed in reversed(list(source.reachable(oid, target.has))):
        target.put(*source.get(needed))


def _said(text: str) -> Result:
    return Result(0, text.encode("utf-8", "surrogateescape"), "")


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _in_order(flat: Flat) -> list[tuple[str, tuple[str, str]]]:
    return sorted(flat.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))


def _raw(old: Flat, new: Flat) -> str:
    """The rows that `git diff-tree -r -z --no-renames --no-abbrev` prints."""
    rows = []
    absent = ("000000", ZERO)
    for path in sorted(old.keys() | new.keys(), key=lambda p: p.encode("utf-8", "surrogateescape")):
        before, after = old.get(path, absent), new.get(path, absent)
        if before != after:
            letter = "A" if before is absent else "D" if after is absent else "M"
            if letter == "M" and before[0][:2] != after[0][:2]:
                letter = "T"
            rows.append(f":{before[0]} {after[0]} {before[1]} {after[1]} {letter}\0{path}\0")
    return "".join(rows)

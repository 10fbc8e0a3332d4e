"""The only module that runs git: typed questions and answers (docs/design.md, section 4).

No `pull`, `merge`, `rebase`, `checkout`, `stash` or `reset` is ever run; commits are built
from trees, and the vault's files are written by `sync.apply`. No option newer than git 2.34.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from nightdesk.errors import HubRefused, HubUnreachable, SyncHalted
from nightdesk.sync.address import check_hub_url, transport
from nightdesk.sync.entries import Changed, Commit, Entry
from nightdesk.sync.process import Result, run

__all__ = ["Git", "Push", "PushOutcome", "check_hub_url"]

ZERO = "0" * 40
NETWORK_SECONDS = 120.0

_LOST = ("failed to update ref", "cannot lock ref", "failed to lock", "incorrect old value")
_BROKEN = ("fsck error", "did not send all necessary", "missing necessary objects", "corrupt")


class PushOutcome(Enum):
    """How a push ended. LOST: somebody was first. UNKNOWN: fetch and look."""

    ACCEPTED = "accepted"
    LOST = "lost"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Push:
    """A push's outcome and the far side's words."""

    outcome: PushOutcome
    reason: str = ""


class Git:
    """One clone, its private index, and the hub that it talks to.

    Args:
        vault: the clone's root; its `.git` holds the objects.
        state: the agent's state folder (private index, temporary files).
        hub: the hub's address.
        agent: author and committer of every commit.
        folder: the repository itself where it is not the vault's `.git` (a bare hub).

    Attributes:
        interrupted: once set, every talk with the hub ends at once, as if by its deadline.
    """

    def __init__(
        self, vault: Path, state: Path, hub: str, agent: str, *, folder: Path | None = None
    ) -> None:
        self.vault = vault
        self.state = state
        self.hub = hub
        self.folder = folder or vault / ".git"
        self.interrupted = threading.Event()
        self._protocols = (transport(hub),)
        self._environment = {
            "GIT_DIR": str(self.folder),
            "GIT_WORK_TREE": str(vault),
            "GIT_AUTHOR_NAME": agent,
            "GIT_AUTHOR_EMAIL": f"{agent}@nightdesk.invalid",
            "GIT_COMMITTER_NAME": agent,
            "GIT_COMMITTER_EMAIL": f"{agent}@nightdesk.invalid",
        }

    def call(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        index: Path | None = None,
        ok: Iterable[int] = (0,),
    ) -> Result:
        """Run a local git command.

        Args:
            index: an index file other than the user's own.
            ok: exit codes that are answers.

        Raises:
            SyncHalted: it failed in a way that nobody expected.
        """
        environment = dict(self._environment)
        if index:
            environment["GIT_INDEX_FILE"] = str(index)
        result = run(self.vault, arguments, environment=environment, stdin=stdin)
        if result.timed_out or result.code not in set(ok):
            raise SyncHalted(
                f"git {arguments[0]} failed: {result.reason}",
                remedy="Check the disk's free space and run `git fsck` in the vault",
                where=str(self.vault),
            )
        return result

    def init(self) -> None:
        """Make the vault a repository of its own whose branch is `main`; an existing one stays."""
        arguments = ["init", "--quiet", "--template=", "--initial-branch=main", str(self.vault)]
        result = run(self.vault, arguments, environment={})
        if result.code != 0:
            raise SyncHalted(f"git init failed: {result.reason}", where=str(self.vault))
        info = self.folder / "info"
        info.mkdir(exist_ok=True)
        # The bytes in git are the bytes on disk, whatever `git add` the user runs.
        attributes = "* -text !working-tree-encoding -filter -ident -merge -diff\n"
        (info / "attributes").write_text(attributes, "utf-8")
        for key, value in (
            ("remote.origin.url", self.hub),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
            ("branch.main.remote", "origin"),
            ("branch.main.merge", "refs/heads/main"),
        ):
            self.call("config", "--local", key, value)

    def origin(self) -> str:
        """The address that the clone was made from, or ""."""
        found = self.call("config", "--local", "--get", "remote.origin.url", ok=(0, 1))
        return found.out.decode("utf-8", "surrogateescape").strip()

    def resolve(self, ref: str) -> str | None:
        """The object that a ref points at, or None."""
        found = self.call("rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
        return found.out.decode().strip() or None

    def refs(self, *patterns: str) -> dict[str, str]:
        """Ref name -> object id, of the refs under the given prefixes."""
        out = self.call("for-each-ref", "--format=%(objectname) %(refname)", *patterns).out
        lines = out.decode("utf-8", "surrogateescape").splitlines()
        return {name: oid for oid, _, name in (line.partition(" ") for line in lines)}

    def update_refs(self, *updates: tuple[str, str]) -> None:
        """Point refs at objects, all or none; an empty object id deletes the ref."""
        lines = "".join(
            f"update {ref} {oid}\n" if oid else f"delete {ref}\n" for ref, oid in updates
        )
        self.call("update-ref", "--stdin", stdin=lines.encode())

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` contains `old` (a commit contains itself)."""
        return self.call("merge-base", "--is-ancestor", old, new, ok=(0, 1)).code == 0

    def tree_of(self, commit: str) -> dict[str, Entry]:
        """Every path of a commit."""
        out = self.call("ls-tree", "-r", "-z", "--full-tree", commit).out
        entries: dict[str, Entry] = {}
        for row in _rows(out):
            meta, _, path = row.partition("\t")
            mode, _, oid = meta.split(" ")
            entries[path] = Entry(mode, oid)
        return entries

    def diff(self, old: str, new: str) -> dict[str, Entry | None]:
        """What changed from one commit to another: path -> new entry, None where removed."""
        words = ("diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", old, new)
        # It reads the index without need: the person's holds a line for every note.
        out = self.call(*words, index=self.state / "no-index").out
        return {change.path: change.after for change in _changes(_rows(out))}

    def log(self, old: str | None, new: str) -> list[Commit]:
        """Every commit in `new` that is not in `old`, oldest first, with what each changed."""
        out = self.call(
            "log", "-z", "--reverse", "--topo-order", "--raw", "-r", "-m", "--root",
            "--no-abbrev", "--no-renames", "--format=%x01%H %ct %P%x09%an",
            f"{old}..{new}" if old else new,
        ).out  # fmt: skip
        commits: dict[str, Commit] = {}
        rows = iter(_rows(out))
        for row in rows:
            if row.startswith("\x01"):
                numbers, _, author = row[1:].partition("\t")
                oid, time, *parents = numbers.split()
                latest = commits.setdefault(oid, Commit(oid, tuple(parents), author, int(time), ()))
                continue
            changes = tuple(_changes([row, next(rows)]))
            latest = commits[latest.oid]
            commits[latest.oid] = Commit(
                latest.oid, latest.parents, latest.author, latest.time, latest.changes + changes
            )
        return list(commits.values())

    def read(self, oids: Sequence[str]) -> dict[str, bytes]:
        """The bytes of blobs.

        Raises:
            SyncHalted: one is missing or broken.
        """
        if not oids:
            return {}
        wanted = "".join(f"{oid}\n" for oid in oids).encode()
        out = self.call("cat-file", "--batch", stdin=wanted).out
        found: dict[str, bytes] = {}
        at = 0
        while at < len(out):
            end = out.index(b"\n", at)
            words = out[at:end].decode().split(" ")
            if len(words) != 3:
                raise SyncHalted(
                    f"the object {words[0]} is missing",
                    remedy="Run `git fsck` in the vault; the hub or a backup has the object",
                    where=str(self.vault),
                )
            size = int(words[2])
            found[words[0]] = out[end + 1 : end + 1 + size]
            at = end + size + 2
        return found

    def write(self, blobs: Sequence[bytes]) -> None:
        """Store blobs; their ids are those of `blob_oid`."""
        if blobs:
            stream = b"".join(b"blob\ndata %d\n%b\n" % (len(data), data) for data in blobs)
            self.call("fast-import", "--quiet", stdin=stream)

    def commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """Make a commit object; no ref moves."""
        arguments = [part for parent in parents for part in ("-p", parent)]
        return self.call("commit-tree", tree, *arguments, "-m", message).out.decode().strip()

    def merge_text(self, ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
        """Three-way merge of text; None where it is not clean or not text."""
        with tempfile.TemporaryDirectory(dir=self.state) as folder:
            names = [str(Path(folder) / name) for name in ("ours", "base", "theirs")]
            for name, data in zip(names, (ours, base, theirs), strict=True):
                Path(name).write_bytes(data)
            arguments = ["merge-file", "-p", "-q", *names]
            result = run(self.vault, arguments, environment=self._environment)
        return result.out if result.code == 0 and not result.timed_out else None

    def ignored(self, paths: Sequence[str]) -> set[str]:
        """Which of these work-tree paths the vault's own ignore files name."""
        if not paths:
            return set()
        wanted = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
        found = self.call("check-ignore", "-z", "--stdin", "--no-index", stdin=wanted, ok=(0, 1))
        return set(_rows(found.out))

    def fetch(self, refspecs: Sequence[str]) -> bool:
        """Fetch from the hub into the given refs.

        Returns:
            False where the hub is there but has no such branch.

        Raises:
            HubUnreachable: no answer, no access, or no repository.
            SyncHalted: the hub sent objects that git refuses.
        """
        arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            self.hub,
        ]
        result = self._talk([*arguments, *refspecs])
        if result.code == 0:
            return True
        if any(word in result.err for word in _BROKEN):
            raise SyncHalted(
                f"the hub sent objects that git refuses: {result.reason}",
                remedy="Have a look at the hub's repository with `git fsck` before you go on",
                where=self.hub,
            )
        looked = result if result.timed_out else self._talk(["ls-remote", "--", self.hub])
        if looked.code == 0 and b"\trefs/heads/main\n" not in looked.out:
            return False
        raise unreachable(self.hub, result)

    def push(self, refspec: str, *, only_if_absent: str = "") -> Push:
        """Push one ref; the far side compares and swaps.

        Args:
            refspec: "<object>:<ref>"; with a leading "+" only for a ref with a single writer.
            only_if_absent: a ref that must not exist there yet.
        """
        lease = [f"--force-with-lease={only_if_absent}:"] if only_if_absent else []
        arguments = ["push", "--porcelain", "--no-verify", "--recurse-submodules=no", *lease]
        result = self._talk([*arguments, "--", self.hub, refspec])
        return _read_push(result)

    def is_empty_hub(self) -> bool:
        """Whether the hub has no branch `main`.

        Raises:
            HubUnreachable: it does not answer.
        """
        result = self._talk(["ls-remote", "--", self.hub, "refs/heads/main"])
        if result.code != 0:
            raise unreachable(self.hub, result)
        return not result.out.strip()

    def _talk(self, arguments: Sequence[str]) -> Result:
        return run(
            self.vault,
            arguments,
            environment=self._environment,
            protocols=self._protocols,
            timeout=NETWORK_SECONDS,
            cancelled=self.interrupted.is_set,
        )


def unreachable(hub: str, result: Result) -> HubUnreachable:
    """Say why a hub did not answer, and what to do about it."""
    error = result.err
    if "Permission denied" in error or "Authentication failed" in error:
        remedy = "Check that this machine's ssh key is allowed at the hub"
    elif "Host key verification failed" in error:
        remedy = "Connect once by hand with `ssh` and compare the host's fingerprint"
    elif "not appear to be a git repository" in error or "not found" in error:
        remedy = "Check the hub's address in the configuration, and that the repository is there"
    else:
        remedy = "Work goes on here; sync catches up when the hub answers"
    return HubUnreachable(f"the hub did not answer: {result.reason}", remedy=remedy, where=hub)


def refused(hub: str, push: Push) -> HubRefused:
    """Say that the hub answered no."""
    return HubRefused(
        f"the hub refused our changes: {push.reason}",
        remedy="The same push is not sent again; see the hub's message, then change the note",
        where=hub,
    )


def _read_push(result: Result) -> Push:
    if result.code == 0:
        return Push(PushOutcome.ACCEPTED)
    rows = result.out.decode("utf-8", "replace").splitlines()
    verdict = next((row.split("\t")[-1] for row in rows if row.startswith("!\t")), "")
    said = " / ".join(
        line.removeprefix("remote:").strip()
        for line in result.err.splitlines()
        if line.startswith("remote:") and line.removeprefix("remote:").strip()
    )
    if verdict.startswith("[rejected]"):
        return Push(PushOutcome.LOST, verdict)
    if verdict.startswith("[remote rejected]"):
        lost = any(word in verdict for word in _LOST)
        reason = f"{verdict.removeprefix('[remote rejected] ').strip('()')}"
        return Push(
            PushOutcome.LOST if lost else PushOutcome.REFUSED,
            f"{reason}: {said}" if said else reason,
        )
    return Push(PushOutcome.UNKNOWN, result.reason)


def _rows(out: bytes) -> list[str]:
    return [row for row in out.decode("utf-8", "surrogateescape").split("\0") if row]


def _changes(rows: Sequence[str]) -> list[Changed]:
    found: list[Changed] = []
    for meta, path in zip(rows[::2], rows[1::2], strict=True):
        old_mode, new_mode, old, new, _ = meta.lstrip("\n:").split(" ")
        found.append(
            Changed(
                path,
                None if old == ZERO else Entry(old_mode, old),
                None if new == ZERO else Entry(new_mode, new),
            )
        )
    return found

"""The only module that runs git: typed questions and answers (docs/design.md, section 4).

No `pull`, `merge`, `rebase`, `checkout`, `stash` or `reset` is ever run; commits are built
from trees, and the vault's files are written by `sync.apply`. No option newer than git 2.34.
"""

from __future__ import annotations

import math
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nightdesk.errors import SyncHalted
from nightdesk.sync import locks
from nightdesk.sync.access import Access
from nightdesk.sync.address import local_path
from nightdesk.sync.entries import Commit, Entry
from nightdesk.sync.parsing import (
    LOG,
    TREE,
    read_blobs,
    read_changes,
    read_log,
    read_sizes,
    read_tree,
    rows,
)
from nightdesk.sync.process import CAPPED, FETCH_BYTES, Result, run
from nightdesk.sync.pushes import Push, read_push
from nightdesk.sync.signers import Signer, Trust, signers_of
from nightdesk.sync.storage import (
    gone,
    remove_leftovers,
    remove_skeleton,
    told_by_git,
    unavailable,
)
from nightdesk.sync.trouble import unreachable
from nightdesk.vault.files import write

__all__ = ["Git"]

NETWORK_SECONDS = 120.0
LOCAL_SECONDS = 120.0

_CLOCK_GRAIN = 2.0
"""Time stamps of a file system may be this much coarser than the clock, in seconds."""

_BROKEN = (
    *("fsck error", "did not send all necessary", "missing necessary objects", "corrupt"),
    *("invalid tree", ", not a tree", ", not a blob"),
)
_LOCKS_AT_ONCE = 4
"""A git that moves a branch holds its lock, that of HEAD, and at times that of the packed refs."""

_PACKED_AWAY = "unable to create temporary file: No such file or directory"
"""A repack beside it removed the emptied folder in which git was about to make an object."""

_TOO_LARGE = f"died of signal {int(signal.SIGXFSZ)}"


class Git:
    """One clone, its private index, and the hub that it talks to.

    Args:
        vault: the clone's root; its `.git` holds the objects.
        state: the agent's state folder (private index, temporary files).
        hub: the hub's address.
        agent: author and committer of every commit.
        folder: the repository itself where it is not the vault's `.git` (a bare hub).
        key: the private key that signs commits; without one they are not signed.
        access: what opens the hub; without it, what the state folder holds.

    Attributes:
        interrupted: once set, every talk with the hub ends at once, as if by its deadline.
        deadline: until when all commands of a round must have ended, on the monotonic clock.
    """

    def __init__(
        self,
        vault: Path,
        state: Path,
        hub: str,
        agent: str,
        *,
        folder: Path | None = None,
        key: Path | None = None,
        access: Access | None = None,
    ) -> None:
        self.vault = vault
        self.state = state
        self.hub = hub
        self.folder = folder or vault / ".git"
        self.key = key
        self.interrupted = threading.Event()
        self.deadline = math.inf
        self._access = access or Access(hub, state, agent=agent)
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
            VaultUnavailable: the disk of the vault, or of the index, cannot be written.
            SyncHalted: it failed in a way that nobody expected.
        """
        environment = dict(self._environment)
        if index:
            environment["GIT_INDEX_FILE"] = str(index)
        start = time.time()
        result = self._run(arguments, environment, stdin=stdin)
        if result.timed_out or result.code not in set(ok):
            self._check_disk(result, start, index)
            raise locks.blocked(result.err) or SyncHalted(
                f"git {_command(arguments)} failed: {result.reason}",
                remedy="Check the disk's free space and run `git fsck` in the vault",
                where=str(self.vault),
            )
        return result

    def _check_disk(
        self, result: Result, start: float, index: Path | None = None, *, talks: bool = False
    ) -> None:
        """Tell a disk that is full, read-only or gone from every other fault."""
        if not (self.folder / "HEAD").is_file():
            remove_skeleton(self.folder)
            raise gone(self.vault)
        if self.key and not self.key.is_file():
            raise gone(self.state, "the state folder with the signing key")
        reason = told_by_git(result.err, talks=talks)
        if reason:
            remove_leftovers(self.folder, start - _CLOCK_GRAIN)
            of_index = index is not None and str(index) in result.err
            raise unavailable(index.parent if index and of_index else self.vault, reason)

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

    def common(self, one: str, other: str) -> str:
        """The newest commit that both contain, or ""."""
        found = self.call("merge-base", one, other, ok=(0, 1)).out.decode().split()
        return found[0] if found else ""

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return self.call("log", "-1", "--format=%s", commit).out.decode("utf-8", "replace").strip()

    def empty_tree(self) -> str:
        """The id of the tree that holds nothing, which is then there."""
        return self.call("mktree", stdin=b"").out.decode().strip()

    def tree_of(self, commit: str) -> dict[str, Entry]:
        """Every path of a commit."""
        return read_tree(self.call(*TREE, commit).out)

    def diff(self, old: str, new: str) -> dict[str, Entry | None]:
        """What changed from one commit to another: path -> new entry, None where removed."""
        words = ("diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", old, new)
        # It reads the index without need: the person's holds a line for every note.
        out = self.call(*words, index=self.state / "no-index").out
        return {change.path: change.after for change in read_changes(rows(out))}

    def log(self, old: str | None, new: str) -> list[Commit]:
        """Every commit in `new` that is not in `old`, oldest first, with what each changed."""
        return read_log(self.call(*LOG, f"{old}..{new}" if old else new).out)

    def read(self, oids: Sequence[str]) -> dict[str, bytes]:
        """The bytes of blobs.

        Raises:
            SyncHalted: one is missing or broken.
        """
        if not oids:
            return {}
        wanted = "".join(f"{oid}\n" for oid in oids).encode()
        found = read_blobs(self.call("cat-file", "--batch", stdin=wanted).out)
        for oid, data in found.items():
            if data is None:
                raise SyncHalted(
                    f"the object {oid} is missing",
                    remedy="Run `git fsck` in the vault; the hub or a backup has the object",
                    where=str(self.vault),
                )
        return {oid: data for oid, data in found.items() if data is not None}

    def write(self, blobs: Sequence[bytes]) -> None:
        """Store blobs; their ids are those of `blob_oid`."""
        if blobs:
            stream = b"".join(b"blob\ndata %d\n%b\n" % (len(data), data) for data in blobs)
            self.call("fast-import", "--quiet", stdin=stream)

    def commit(
        self, tree: str, parents: Sequence[str], message: str, *, signed: bool = True
    ) -> str:
        """Make a commit object, signed with the agent's key; no ref moves.

        Args:
            signed: False for what never leaves this machine.
        """
        arguments = [part for parent in parents for part in ("-p", parent)]
        with_key: tuple[str, ...] = ()
        if signed and self.key:
            with_key = ("-c", f"user.signingkey={self.key}")
            arguments.append("-S")
        made = self.call(*with_key, "commit-tree", *arguments, "-m", message, tree)
        return made.out.decode().strip()

    def signers(self, commits: Sequence[str], trust: Trust) -> dict[str, Signer]:
        """Who signed each commit, by the keys that are trusted here."""
        file = self.state / "allowed_signers"
        wanted = trust.allowed_signers().encode()
        if not file.is_file() or file.read_bytes() != wanted:
            write(file, wanted)

        def ask(arguments: Sequence[str]) -> tuple[int, str]:
            setting = f"gpg.ssh.allowedSignersFile={file}"
            answer = self.call("-c", setting, *arguments, ok=range(256))
            return answer.code, answer.out.decode("utf-8", "replace")

        return signers_of(commits, trust, ask)

    def sizes(self, oids: Collection[str]) -> dict[str, int]:
        """The length of each blob in bytes; those that are missing are left out."""
        if not oids:
            return {}
        wanted = "".join(f"{oid}\n" for oid in oids).encode()
        return read_sizes(self.call("cat-file", "--batch-check", stdin=wanted).out)

    def merge_text(self, ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
        """Three-way merge of text; None where it is not clean or not text.

        Raises:
            SyncHalted: git was ended before it could tell; that is no conflict.
        """
        with tempfile.TemporaryDirectory(dir=self.state) as folder:
            names = [str(Path(folder) / name) for name in ("ours", "base", "theirs")]
            for name, data in zip(names, (ours, base, theirs), strict=True):
                Path(name).write_bytes(data)
            arguments = ["merge-file", "-p", "-q", *names]
            result = self._run(arguments, self._environment)
        if result.timed_out or result.code < 0 or 128 <= result.code < 255:  # 255: it is no text
            raise SyncHalted(
                f"git merge-file failed: {result.reason}",
                remedy="Sync tries again by itself; check the machine's memory and disk",
                where=str(self.vault),
            )
        return result.out if result.code == 0 else None

    def ignored(self, paths: Sequence[str]) -> set[str]:
        """Which of these work-tree paths the vault's own ignore files name."""
        if not paths:
            return set()
        wanted = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
        found = self.call("check-ignore", "-z", "--stdin", "--no-index", stdin=wanted, ok=(0, 1))
        return set(rows(found.out))

    def fetch(self, refspecs: Sequence[str]) -> bool:
        """Fetch from the hub into the given refs.

        Returns:
            False where the hub is there but has no such branch.

        Raises:
            HubUnreachable: no answer, no access, or no repository.
            VaultUnavailable: what came cannot be stored on this disk.
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
        start = time.time()
        result = self._talk([*arguments, *refspecs], through=CAPPED)
        if result.code == 0:
            return True
        if _TOO_LARGE in result.err or result.code == -signal.SIGXFSZ:
            remove_leftovers(self.folder, start - _CLOCK_GRAIN)
            raise SyncHalted(
                f"the hub sends more than {FETCH_BYTES >> 20} MiB at once",
                remedy="Look at what it holds; if that is right, fetch it once by hand with"
                f" `git -C {self.vault} fetch origin`",
                where=self.hub,
            )
        self._check_disk(result, start, talks=True)
        if any(word in result.err for word in _BROKEN):
            raise SyncHalted(
                f"the hub sent objects that git refuses: {result.reason}",
                remedy="Have a look at the hub's repository with `git fsck` before you go on",
                where=self.hub,
            )
        looked = result if result.timed_out else self._talk(["ls-remote", "--", self.hub])
        if looked.code == 0 and b"\trefs/heads/main\n" not in looked.out:
            return False
        raise unreachable(self._access, result)

    def push(self, refspec: str, *, only_if_absent: str = "", only_if_at: str = "") -> Push:
        """Push one ref; the far side compares and swaps.

        Args:
            refspec: "<object>:<ref>"; with a leading "+" only for a ref with a single writer.
            only_if_absent: a ref that must not exist there yet.
            only_if_at: the commit at which the pushed ref must stand there; what is pushed
                descends from it, so nothing is forced.
        """
        lease = [f"--force-with-lease={only_if_absent}:"] if only_if_absent else []
        if only_if_at:
            lease.append(f"--force-with-lease={refspec.partition(':')[2]}:{only_if_at}")
        arguments = ["push", "--porcelain", "--no-verify", "--recurse-submodules=no", *lease]
        result = self._talk([*arguments, "--", self.hub, refspec])
        return read_push(result)

    def remote_tip(self) -> str:
        """The commit of the hub's branch as the hub tells it, without fetching; "" if none.

        Raises:
            HubUnreachable: it does not answer.
        """
        result = self._talk(["ls-remote", "--", self.hub, "refs/heads/main"])
        if result.code != 0:
            raise unreachable(self._access, result)
        return result.out.decode("ascii", "replace").partition("\t")[0].strip()

    def _talk(self, arguments: Sequence[str], *, through: Sequence[str] = ()) -> Result:
        """Run a command that talks to the hub.

        Git looks an address up in the configuration of the clone before it goes there: a
        `url.….insteadOf` sends it elsewhere, a `[remote "<address>"]` names a program to run.
        So git gets a word that nobody can have configured, and learns here what it stands for.
        """
        word = f"nightdesk-{secrets.token_hex(16)}:"
        opened = self._access.environment()
        number = int(opened.get("GIT_CONFIG_COUNT", "0"))
        known = {
            "GIT_CONFIG_COUNT": str(number + 2),
            f"GIT_CONFIG_KEY_{number}": f"url.{self.hub}.insteadOf",
            f"GIT_CONFIG_VALUE_{number}": word,
            f"GIT_CONFIG_KEY_{number + 1}": f"url.{self.hub}.pushInsteadOf",
            f"GIT_CONFIG_VALUE_{number + 1}": word,
        }
        return self._run(
            [word if argument == self.hub else argument for argument in arguments],
            {**self._environment, **opened, **known},
            protocols=(self._access.transport,),
            timeout=NETWORK_SECONDS,
            cancelled=self.interrupted.is_set,
            through=through,
        )

    def _run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        timeout: float = LOCAL_SECONDS,
        **options: Any,
    ) -> Result:
        options["timeout"] = max(0.0, min(timeout, self.deadline - time.monotonic()))

        def once() -> Result:
            try:
                return run(self.vault, arguments, environment=environment, **options)
            except OSError as e:  # no room for what git is to read
                raise unavailable(e.filename or self.state, e.strerror or str(e)) from e

        result = once()
        hub = local_path(self.hub)
        for _ in range(_LOCKS_AT_ONCE):
            if result.code == 0:
                break
            removed = locks.remove_stale(result.err, [self.folder, *([hub] if hub else [])])
            if not removed and _PACKED_AWAY not in result.err:
                break
            result = once()
        return result


def _command(arguments: Sequence[str]) -> str:
    """The name of a command after settings (`-c name=value`)."""
    words = iter(arguments)
    return next((word for word in words if word != "-c" or not next(words, "")), "")

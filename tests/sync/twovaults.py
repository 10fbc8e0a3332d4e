"""A bare hub and two clones, as the tests use them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nightdesk.config import SyncSettings
from nightdesk.policy import Role
from nightdesk.sync.engine import CycleReport, Engine, create_root, join
from nightdesk.sync.entries import Commit
from nightdesk.sync.gate import Blobs, Verdict, fault
from nightdesk.sync.inventory import Inventory
from nightdesk.sync.signers import Key, Signer, Trust
from nightdesk.sync.signing import KEY_FILE, signing_key

SETTINGS = SyncSettings()


def no_gate(
    commits: Sequence[Commit], signers: Mapping[str, Signer], before: Inventory, blobs: Blobs
) -> Verdict:
    """What stands in the gate's place where a test shows what happens without it."""
    allowed = {change.path: change.after for commit in commits for change in commit.changes}
    return Verdict({p: e for p, e in allowed.items() if e is None or fault(p, e) is None})


def trust_of(laptop: Key, other: Key, *, second_device: bool) -> Trust:
    """The laptop, and either a cloud agent or another device of the owner's."""
    if second_device:
        return Trust(owner=(laptop,), devices=(other,))
    return Trust(owner=(laptop,), cloud=(other,))


class Side:
    """One half of the desk: a vault, its state folder and its engine."""

    def __init__(self, root: Path, hub: Path, role: Role, **options: Any) -> None:
        self.role = role
        self.vault = root / f"{role}-vault"
        self.state = root / f"{role}-state"
        self.hub = hub
        self.options = options
        self.engine: Engine | None = None

    @property
    def key(self) -> Key:
        """This side's public key."""
        self.state.mkdir(parents=True, exist_ok=True)
        return signing_key(self.state, str(self.role))

    def make_engine(self, **options: Any) -> Engine:
        return Engine(
            self.vault, str(self.hub), self.state, self.role, str(self.role),
            options.pop("settings", SETTINGS), **{**self.options, **options},
        )  # fmt: skip

    def open(self, **options: Any) -> Engine:
        self.close()
        self.engine = self.make_engine(**options)
        self.engine.open()
        return self.engine

    def close(self) -> None:
        if self.engine:
            self.engine.close()
            self.engine = None

    def sync(self, **options: Any) -> CycleReport:
        engine = self.engine or self.open()
        return engine.cycle(**options)

    def calm(self) -> None:
        """Go on until nothing is left that a later cycle does by itself."""
        assert self.engine
        while (pause := self.engine.due()) is not None:
            time.sleep(pause)
            self.sync()

    def write(self, path: str, data: str | bytes) -> None:
        file = self.vault / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)

    def read(self, path: str) -> bytes:
        return (self.vault / path).read_bytes()

    def move(self, source: str, target: str) -> None:
        (self.vault / target).parent.mkdir(parents=True, exist_ok=True)
        (self.vault / source).rename(self.vault / target)

    def age(self, path: str, seconds: float) -> None:
        then = time.time() - seconds
        os.utime(self.vault / path, (then, then))

    def files(self) -> dict[str, bytes]:
        return {
            str(file.relative_to(self.vault)): file.read_bytes()
            for file in sorted(self.vault.rglob("*"))
            if file.is_file() and not file.is_symlink() and ".git/" not in str(file)
        }


class Desk:
    """The hub, Local and the cloud.

    Args:
        second_device: whether the second vault is another device of the owner's, so that it may
            write everywhere, as a person does.
    """

    def __init__(self, root: Path, *, second_device: bool = False) -> None:
        self.root = root
        self.hub = root / "hub.git"
        template = root / "template"
        template.mkdir()
        (template / "Handbook.md").write_text("# Handbook\n")
        (template / ".gitignore").write_text(".env*\n*.session\nPrivate/\n")
        self.local = Side(root, self.hub, Role.LOCAL)
        self.cloud = Side(root, self.hub, Role.CLOUD)
        create_root(self.local.vault, str(self.hub), self.local.state, "local", template)
        join(self.cloud.vault, str(self.hub), self.cloud.state, "cloud")
        self.trust(second_device=second_device)

    def trust(self, *, second_device: bool) -> None:
        """Let each side know the other's key."""
        trust = trust_of(self.local.key, self.cloud.key, second_device=second_device)
        for side in (self.local, self.cloud):
            side.options["trust"] = trust

    def seize_cloud(self) -> None:
        """From now on the cloud's machine is an attacker's, with its key, and checks nothing."""
        self.cloud.open(gate=no_gate)

    def close(self) -> None:
        self.local.close()
        self.cloud.close()

    def settle(self) -> None:
        """Cycle both until both are in step."""
        for side in (self.local, self.cloud, self.local, self.cloud):
            side.sync()

    def git(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> str:
        env = {
            **os.environ,
            "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.com",
            "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.com",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments], cwd=cwd or self.hub, env=env, check=check, capture_output=True
        )
        return done.stdout.decode("utf-8", "surrogateescape")

    def push_as_cloud(
        self, clone: Path, refspec: str = "HEAD:refs/heads/main"
    ) -> subprocess.CompletedProcess[str]:
        """Commit what lies in a clone with the cloud's name and key, and push it with plain git."""
        key = self.cloud.state / KEY_FILE
        sign = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}")
        who = {f"GIT_{w}_{x}": "cloud" for w in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")}
        self.git("add", "-f", "--all", cwd=clone)
        env = {**os.environ, **who}
        if self.git("status", "--porcelain", cwd=clone):
            command = ["git", *sign, "commit", "-q", "-S", "-m", "work"]
            subprocess.run(command, cwd=clone, env=env, check=True, capture_output=True)
        return subprocess.run(
            ["git", "push", "origin", refspec],
            cwd=clone, env=env, check=False, capture_output=True, text=True,
        )  # fmt: skip

    def hub_files(self, commit: str = "main") -> set[str]:
        out = self.git("ls-tree", "-r", "-z", "--name-only", commit)
        return {name for name in out.split("\0") if name}

    def ever_in_hub(self) -> set[str]:
        """Every path that any commit of the hub ever held."""
        return {p for c in self.git("rev-list", "--all").split() for p in self.hub_files(c)}

    def hub_bytes(self) -> bytes:
        """Every byte of every object in the hub."""
        env = dict(os.environ)
        listed = subprocess.run(
            ["git", "cat-file", "--batch-all-objects", "--batch"],
            cwd=self.hub, env=env, check=True, capture_output=True,
        )  # fmt: skip
        return listed.stdout

    def outsider(self, name: str = "outsider") -> Path:
        """A plain clone that somebody else works in with ordinary git."""
        clone = self.root / name
        self.git("clone", "-q", str(self.hub), str(clone), cwd=self.root)
        return clone

"""The bench for hostile commits: a desk with something of everything, an attacker, a second disk.

The attacker has the cloud's key and writes into the hub's repository itself. `naive` is a disk
like the laptop's whose engine has no gate.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forge import Forge, Put, new_key
from twovaults import Desk, Side, no_gate, trust_of

from nightdesk.policy import Role
from nightdesk.sync.engine import CycleReport, join
from nightdesk.sync.entries import Entry, entry_of
from nightdesk.sync.evidence import Exhibit, read
from nightdesk.sync.secrets import Guard, Secret
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import KEY_FILE

PASSWORD = "Tr0ub4dor&3-horse-staple"
CANARY = "ndk_live_0123456789012345678901234567890123456789"


def note(name: str, text: str = "x") -> bytes:
    """A note as an agent writes it."""
    return f'---\nid: "{name}"\n---\n{text}\n'.encode()


TASK = note("t", "please answer")
CARD = note("w-email-1", "Pay 10 EUR to Ann")
APPROVED = note("y-email-1", "Write to Bob")
V = note("v")
W = note("w")
START: Mapping[str, bytes] = {
    "Dashboard.md": b"all well\n",
    "STOP.md": b"stop\n",
    "Notes/mine.md": b"mine\n",
    "Notes/deep/er.md": b"deeper\n",
    "Briefings/b.md": b"a briefing\n",
    "Logs/2026-11-23.md": b"sent nothing\n",
    "Plans/p.md": b"a plan\n",
    "Updates/u.md": b"news\n",
    "Inbox/i.md": b"hello\n",
    "Attachments/a.pdf": b"%PDF",
    "Needs_Action/email/t.md": TASK,
    "Needs_Action/general/u.md": b"plain words\n",
    "In_Progress/cloud/v.md": V,
    "In_Progress/cloud/w.md": W,
    "In_Progress/local/l.md": note("l"),
    "Pending_Approval/email/w-email-1.md": CARD,
    "Approved/email/y-email-1.md": APPROVED,
    "Rejected/email/z-email-1.md": note("z-email-1"),
    "Done/2026-10/old.md": b"old\n",
}
GOOD = "Updates/a-good-one-behind.md"

_HOOKS = ("post-checkout", "post-merge", "post-index-change", "reference-transaction",
          "pre-commit", "pre-push", "post-rewrite", "fsmonitor-watchman")  # fmt: skip


class Bench:
    """The desk before one attack, and what the attacker can do.

    Args:
        root: where everything lies; must be the folder that `build` was called with.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hub = root / "hub.git"
        self.forge = Forge(self.hub)
        self.laptop = _side(root, Role.LOCAL)
        self.laptop.options["trust"] = _trust(root)
        self.laptop.options["guard"] = Guard(
            {"smtp_password": PASSWORD}, canaries=[Secret("the canary", CANARY)]
        )
        self.naive = Side(root, self.hub, Role.CLOUD, gate=no_gate)
        self.naive.vault, self.naive.state = root / "naive-vault", root / "naive-state"
        self.stolen = root / "cloud-state" / KEY_FILE
        self.stranger = root / "stranger"
        self.start = self.tip = self.forge.git("rev-parse", "main").decode().strip()
        self.before = self.laptop.files()
        self.tripwire = root / "tripwire"

    def evil(
        self,
        put: Put,
        *,
        key: Path | str | None = "stolen",
        parents: tuple[str, ...] | None = None,
        upon: str | None = None,
        author: str = "cloud",
        header: bytes = b"",
        namespace: str = "git",
        at: str = "1795000000 +0000",
    ) -> str:
        """Commit upon the tip, which moves; nothing is checked.

        Args:
            upon: the commit whose tree is changed, where it is not the tip.
            key: "stolen" for the cloud's.
        """
        entries = self.forge.entries(upon or self.tip)
        for path, what in put.items():
            entries.pop(path, None)
            if what is not None:
                entries[path] = self.entry(what)
        tree = self.forge.tree(entries)
        self.tip = self.forge.commit(
            tree, parents or (upon or self.tip,), author=author, header=header,
            key=self.stolen if isinstance(key, str) else key, namespace=namespace, at=at,
        )  # fmt: skip
        return self.tip

    def entry(self, what: bytes | str | Entry) -> Entry:
        """What a path shall hold, stored."""
        if isinstance(what, Entry):
            return what
        data = what if isinstance(what, bytes) else what.encode()
        self.forge.blob(data)
        return entry_of(data)

    def link(self, target: str) -> Entry:
        """A symbolic link."""
        return Entry("120000", self.forge.blob(target.encode()))

    def good(self) -> None:
        """The honest commit behind the evil ones, and the hub shows it."""
        self.evil({GOOD: b"good news\n"})
        self.show()

    def show(self) -> None:
        """Let the hub's branch stand at the attacker's commit."""
        self.forge.git("update-ref", "refs/heads/main", self.tip)

    def clean_hub(self) -> None:
        """What the hub's owner does where objects are broken: back to where it was, and on."""
        self.tip = self.start
        self.good()

    def sync(self) -> CycleReport:
        """One cycle of the laptop's."""
        return self.laptop.sync()

    def taken(self) -> dict[str, bytes]:
        """What a disk without a gate holds after a cycle."""
        self.naive.sync()
        return self.naive.files()

    def exhibits(self) -> list[Exhibit]:
        """What the laptop keeps as evidence."""
        return read(self.laptop.state)

    def in_hub(self) -> dict[str, Entry]:
        """What the hub's branch holds."""
        return self.forge.entries("refs/heads/main")

    def clone(self, *, checkout: bool = True) -> Path:
        """A plain clone with git's own protections off, as old tools have it."""
        target = self.root / "plain"
        off = ("-c", "core.protectNTFS=false", "-c", "core.protectHFS=false",
               "-c", "transfer.fsckObjects=false")  # fmt: skip
        self.forge.git(
            *off, "clone", "-q", *(() if checkout else ("-n",)), str(self.hub), str(target)
        )
        return target

    def close(self) -> None:
        self.laptop.close()
        self.naive.close()


def _side(root: Path, role: Role) -> Side:
    return Side(root, root / "hub.git", role)


def _trust(root: Path) -> Trust:
    return trust_of(_side(root, Role.LOCAL).key, _side(root, Role.CLOUD).key, second_device=False)


def build(root: Path) -> None:
    """Make the desk that every attack starts from."""
    root.mkdir()
    desk = Desk(root)
    for path, data in START.items():
        desk.local.write(path, data)
    desk.local.sync()
    desk.close()
    join(root / "naive-vault", str(desk.hub), root / "naive-state", "naive")
    new_key(root / "stranger")
    for repository in (desk.hub, root / "local-vault", root / "naive-vault"):
        desk.git("gc", "--quiet", "--prune=now", cwd=repository)  # few files: each attack copies
    for name in _HOOKS:
        hook = root / "local-vault" / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch '{root}/tripwire'\n")
        hook.chmod(0o755)
    shutil.rmtree(desk.cloud.vault)


Lands = Callable[[Bench], bool]


@dataclass(frozen=True)
class Attack:
    """One kind of hostile history.

    Attributes:
        make: moves the tip.
        paths: what must be named as refused.
        reason: stands in one of the reasons.
        lands: whether it has its effect where the gate is not asked.
        kept: what of the attack's commits is allowed and arrives: path -> bytes, None if gone.
        inbox: how many notes of a stranger's come back into the inbox.
    """

    make: Callable[[Bench], object]
    paths: tuple[str, ...]
    reason: str
    lands: Lands
    kept: Mapping[str, bytes | None] = field(default_factory=dict)
    inbox: int = 0


ATTACKS: dict[str, Attack] = {}

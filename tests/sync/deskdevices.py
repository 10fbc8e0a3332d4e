"""What comes into the hub beside the two agents: commits made there, and the person's devices.

A phone whose key nobody knows, and a tablet that the laptop trusts. Both are plain git: they
see what the hub shows, and sign what they make, or do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deskjournal import SHOWN
from deskperson import NOTES
from gitfiles import Flat

from nightdesk.policy import Role
from nightdesk.sync.frontmatter import peek

if TYPE_CHECKING:
    from deskworld import World


@dataclass(frozen=True, slots=True)
class Hand:
    """Who makes a commit.

    Attributes:
        name: the author, as the commit says.
        key: the private key that signs it; None for no signature.
        role: as whose the laptop must take it.
    """

    name: str
    key: Path | None
    role: Role | None


class Committer:
    """Makes commits in the hub and remembers whose they are.

    Attributes:
        made: commit -> who made it.
        owed: commit -> path and text of a note that an unknown device wrote.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: dict[str, Hand] = {}
        self.owed: dict[str, tuple[str, bytes]] = {}

    def can(self) -> bool:
        """Whether a commit on the hub's tip leads nobody astray.

        On top of a hub that lacks ours it would be true divergence.
        """
        world = self.world
        tip = world.tip()
        return bool(
            not world.partitioned
            and tip
            and all(world.hub.contains(tip, world.base(role)) for role in world.sides)
        )

    def commit(self, flat: Flat, parents: Iterable[str], hand: Hand, *, tip: bool = True) -> str:
        world = self.world
        hub, at = world.hub, int(world.stage.now)
        who = f"{hand.name} <{hand.name}@nightdesk.invalid>"
        lines = [f"tree {hub.put_tree(flat)}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {who} {at} +0000", f"committer {who} {at} +0000", "", "1 note\n"]
        data = "\n".join(lines).encode()
        if hand.key:
            data = world.stage.inside.signatures.sign(data, hand.key)
        oid = hub.put("commit", data)
        self.made[oid] = hand
        if tip:
            hub.set_ref("refs/heads/main", oid)
        return oid


class Devices:
    """The phone, which nobody knows, and the tablet, which is the owner's.

    Attributes:
        touched: every path that the tablet ever changed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        stage = world.stage
        self.phone_hand = Hand("phone", None, None)
        self.tablet_hand = Hand("tablet", stage.tablet_key, Role.LOCAL)
        self.touched: set[str] = set()
        self.count = 0

    def phone(self, a: int) -> None:
        """Edit a free note, or leave one in the inbox."""
        if not self.world.committer.can():
            return
        new = dict(self.world.in_hub())
        self.count += 1
        text = b"from the phone %d\n" % self.count
        if a % 3:
            path = f"Inbox/phone{self.count}.md"
        else:
            path, text = NOTES[a % 5], self.edited(new, NOTES[a % 5], a, text)
        if self.blocked(new, path):
            return
        self.put(new, path, text)
        commit = self.world.committer.commit(new, [self.world.tip()], self.phone_hand)
        if path.endswith(".md"):
            self.world.committer.owed[commit] = (path, text)
        self.world.did(f"phone-{'edit' if not a % 3 else 'inbox'} {path}")

    def tablet(self, a: int) -> None:
        """Edit a free note."""
        if not self.world.committer.can():
            return
        new = dict(self.world.in_hub())
        self.count += 1
        path = NOTES[a % 5]
        if self.blocked(new, path):
            return
        self.put(new, path, self.edited(new, path, a, b"from the tablet %d\n" % self.count))
        self.touched.add(path)
        self.world.committer.commit(new, [self.world.tip()], self.tablet_hand)
        self.world.did(f"tablet-edit {path}")

    def approve(self, a: int) -> bool:
        """Move a card that Local has shown into Approved/, as it is seen here."""
        world = self.world
        if not world.committer.can():
            return False
        new = dict(world.in_hub())
        cards = [
            path
            for path, (mode, oid) in sorted(new.items())
            if path.startswith("Pending_Approval/") and path.endswith(".md")
            and mode == "100644" and SHOWN in world.hub.get(oid)[1]
        ]  # fmt: skip
        if not cards:
            return False
        card = cards[a % len(cards)]
        target = f"Approved/{card.rpartition('/')[2]}"
        if target in new or self.blocked(new, target):
            return False
        new[target] = new.pop(card)
        data = world.hub.get(new[target][1])[1]
        self.touched |= {card, target}
        world.committer.commit(new, [world.tip()], self.tablet_hand)
        world.judge.approved_elsewhere(target, data)
        world.did(f"tablet-approve {peek(data, 'id').strip()}")
        return True

    def edited(self, flat: Flat, path: str, a: int, line: bytes) -> bytes:
        old = self.world.hub.get(flat[path][1])[1] if path in flat else b""
        lines = old.splitlines(keepends=True) or [b""]
        lines[a % len(lines)] = line
        return b"".join(lines)

    def put(self, flat: Flat, path: str, data: bytes) -> None:
        flat[path] = ("100644", self.world.hub.put("blob", data))

    @staticmethod
    def blocked(flat: Flat, path: str) -> bool:
        """Whether there is a file where a folder must be, or a folder where the file must be."""
        parts = path.split("/")
        if path in flat and flat[path][0] != "100644":
            return True
        return any("/".join(parts[:n]) in flat for n in range(1, len(parts))) or any(
            other.startswith(f"{path}/") for other in flat
        )

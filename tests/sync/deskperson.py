"""The person at the laptop, in Obsidian: saves, types, moves, renames, copies, deletes, decides.

Every version that the person leaves on the disk is noted for the judge.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nightdesk.policy import Role
from nightdesk.sync.frontmatter import split
from nightdesk.sync.secrets import Guard

if TYPE_CHECKING:
    from deskworld import World

NOTES = ("Notes/a.md", "Notes/b.md", "Notes/deep/c.md", "Ideas.md", "Notes/list.txt", "Handbook.md")
NEW_NAMES = ("Notes/renamed.md", "Notes/deep/z.md", "a.md", "Notes/b.md", "Ideas.md")
PLACES = (
    "Approved", "Rejected", "Needs_Action/email", "Needs_Action/general", "Done/2026-11",
    "In_Progress/local", "In_Progress/cloud", "Pending_Approval/email", "Approved/email",
)  # fmt: skip
STATES = ("Needs_Action", "In_Progress", "Pending_Approval", "Approved", "Rejected", "Done")
DEEDS = (
    "save", "type", "obsidian", "move", "approve", "rename", "delete", "copy", "secret",
    "zone", "swap", "reject", "withdraw",
)  # fmt: skip


class Person:
    """Does one thing at a time, at any moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.vault = world.laptop
        self.count = 0

    def files(self, *tops: str) -> list[str]:
        """What the person sees, or what of it lies below some folders."""
        found = []
        for root, folders, names in os.walk(self.vault):
            folders[:] = [name for name in folders if not name.startswith(".")]
            start = os.path.relpath(root, self.vault)
            for name in names:
                path = name if start == "." else f"{start}/{name}"
                if not name.startswith(".") and (not tops or path.split("/")[0] in tops):
                    found.append(path)
        return sorted(found)

    def do(self, deed: str, a: int, b: int) -> None:
        """One deed.

        Args:
            a: which note; taken modulo what there is.
            b: where to, or in which way.
        """
        self.world.tick()
        if getattr(self, deed)(a, b):
            self.world.did(f"{deed} {a} {b}")

    # Deeds: each returns whether there was something to do ------------------------------------

    def save(self, a: int, b: int) -> bool:
        """Write a note anew, or a new one."""
        path = NOTES[a % len(NOTES)]
        lines = [f"line {n}\n" for n in range(8)]
        lines[b % 8] = f"{self.new()}\n"
        head = "---\ntitle: plain\ncreated: 2026-11-24\nlist: [x, y]\n---\n" if b % 2 else ""
        return self.put(path, (head + "".join(lines)).encode())

    def type(self, a: int, b: int) -> bool:
        """Change one line of a note that is there."""
        files = self.files()
        if not files:
            return False
        path = files[a % len(files)]
        data = self.read(path)
        head, body = split(data)
        lines = body.split(b"\n")
        lines[b % len(lines)] = self.new().encode()
        return self.put(path, head + b"\n".join(lines))

    def obsidian(self, a: int, b: int) -> bool:
        """Open the properties of a note: Obsidian writes them in its own way, and adds some."""
        files = [path for path in self.files() if split(self.read(path))[0]]
        if not files:
            return False
        path = files[a % len(files)]
        head, body = split(self.read(path))
        text = head.decode()
        if b % 4 == 0:
            text = re.sub(r'"([\w-]+)"', r"\1", text)
        if b % 4 == 1:
            text = re.sub(r"^(\w+): \[(.*)\]$", _block_list, text, flags=re.M)
        if b % 4 == 2:
            text = re.sub(r"^(id|zone): ([\w-]+)$", r"\1: '\2'", text, flags=re.M)
        if b % 4 == 3 or text == head.decode():
            text = (
                f"{text.removesuffix('---' + chr(10))}tags:\n  - {self.new()}\naliases: []\n---\n"
            )
        return self.put(path, text.encode() + body)

    def move(self, a: int, b: int) -> bool:
        """Drag a note of a state folder into another folder."""
        files = self.files(*STATES)
        return bool(files) and self.carry(files[a % len(files)], PLACES[b % len(PLACES)])

    def approve(self, a: int, b: int) -> bool:
        """Drag a card into Approved/."""
        cards = self.files("Pending_Approval")
        return bool(cards) and self.carry(cards[a % len(cards)], "Approved")

    def reject(self, a: int, b: int) -> bool:
        cards = self.files("Pending_Approval")
        return bool(cards) and self.carry(cards[a % len(cards)], "Rejected")

    def withdraw(self, a: int, b: int) -> bool:
        """Drag a card out of Approved/ again."""
        cards = self.files("Approved")
        return bool(cards) and self.carry(cards[a % len(cards)], "Pending_Approval/email")

    def rename(self, a: int, b: int) -> bool:
        """Rename a free note; Obsidian rewrites the links to it in the others."""
        files = [path for path in self.files() if path.split("/")[0] not in STATES]
        if not files:
            return False
        old, new = files[a % len(files)], NEW_NAMES[b % len(NEW_NAMES)]
        if (self.vault / new).exists() or not self.room_for(new):
            return False
        data = self.read(old)
        self.removed(old)
        (self.vault / old).rename(self.vault / new)
        self.wrote(new, data)
        for path in self.files():
            text = self.read(path)
            link = f"[[{Path(old).stem}]]".encode()
            if link in text:
                self.put(path, text.replace(link, f"[[{Path(new).stem}]]".encode()))
        return self.put("Notes/index.md", f"see [[{Path(new).stem}]] {self.new()}\n".encode())

    def delete(self, a: int, b: int) -> bool:
        files = self.files()
        if not files:
            return False
        path = files[a % len(files)]
        self.removed(path)
        (self.vault / path).unlink()
        return True

    def copy(self, a: int, b: int) -> bool:
        """Duplicate a note: it has the id of the first."""
        files = self.files()
        if not files:
            return False
        path = files[a % len(files)]
        stem, dot, end = path.rpartition(".")
        target = f"{stem} 1{dot}{end}" if b % 2 else f"{PLACES[b % len(PLACES)]}/{Path(path).name}"
        if (self.vault / target).exists():
            return False
        return self.put(target, self.read(path))

    def secret(self, a: int, b: int) -> bool:
        """Paste a credential into a note."""
        from deskworld import CANARY

        raw = CANARY.encode()
        forms = (raw, base64.b64encode(b"user:" + raw), raw.hex().encode(), b"x" + raw + b"y")
        files = [path for path in self.files() if ".conflict-" not in path]
        if not files:
            return False
        path = files[a % len(files)]
        return self.put(path, self.read(path) + forms[b % 4] + b"\n" + self.new().encode())

    def zone(self, a: int, b: int) -> bool:
        """Make a note one that must not leave the laptop."""
        files = [p for p in self.files("Notes", "Needs_Action", "In_Progress") if p[-3:] == ".md"]
        if not files:
            return False
        path = files[a % len(files)]
        _, body = split(self.read(path))
        name = f"id: {Path(path).stem}\n" if path.split("/")[0] in STATES else ""
        head = f"---\n{name}zone: payments\nnumber: {self.new()}\n---\n"
        return self.put(path, head.encode() + body)

    def swap(self, a: int, b: int) -> bool:
        """Make a folder where a note was."""
        files = [path for path in self.files("Notes") if path.count("/") == 1]
        if not files:
            return False
        path = files[a % len(files)]
        self.removed(path)
        (self.vault / path).unlink()
        return self.put(f"{path}/inside.md", f"{self.new()}\n".encode())

    def clean(self) -> None:
        """Take everything out of the notes that must not leave."""
        from deskworld import CANARY, note

        guard = Guard({"canary": CANARY})
        for path in self.files():
            if not guard.check(path, self.read(path)):
                continue
            if path.split("/")[0] in STATES:
                self.put(path, note(Path(path).stem, "email", [self.new()]))
            else:
                self.put(path, f"{self.new()}\n".encode())

    # Hands --------------------------------------------------------------------------------

    def new(self) -> str:
        self.count += 1
        return f"written-{self.count}"

    def read(self, path: str) -> bytes:
        return (self.vault / path).read_bytes()

    def room_for(self, path: str) -> bool:
        """Make the folders; whether that is possible."""
        try:
            (self.vault / path).parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return not (self.vault / path).is_dir()

    def carry(self, source: str, folder: str) -> bool:
        """Move a note; a taken name gets a number, as file managers do."""
        stem, dot, end = source.rpartition("/")[2].rpartition(".")
        target = f"{folder}/{stem}{dot}{end}"
        for number in range(1, 5):
            if target == source or not (self.vault / target).exists():
                break
            target = f"{folder}/{stem} {number}{dot}{end}"
        if target == source or not self.room_for(target) or (self.vault / target).exists():
            return False
        data = self.read(source)
        self.removed(source)
        (self.vault / source).rename(self.vault / target)
        self.wrote(target, data)
        return True

    def put(self, path: str, data: bytes) -> bool:
        """Save as an editor does: the file is written in place."""
        if not self.room_for(path):
            return False
        self.removed(path)
        if (self.vault / path).is_symlink():
            (self.vault / path).unlink()
        (self.vault / path).write_bytes(data)
        self.world.stamp(Role.LOCAL, path)
        self.wrote(path, data)
        return True

    def removed(self, path: str) -> None:
        """The person gives up what stands here."""
        if (self.vault / path).is_file():
            self.world.judge.given_up(path, self.read(path))

    def wrote(self, path: str, data: bytes) -> None:
        self.world.judge.saved(path, data)


def _block_list(found: re.Match[str]) -> str:
    items = [item.strip().strip('"') for item in found.group(2).split(",")]
    return "\n".join([f"{found.group(1)}:", *(f"  - {item}" for item in items)])

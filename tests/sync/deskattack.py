"""The attacker on the cloud side: commits of its own making, put straight into the hub.

Not by a push: whatever a hub's hook may stop is already through here, so what the laptop's own
gate does is what is seen. Most are signed with the cloud's own key, which was stolen with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deskdevices import Hand

from nightdesk.policy import Role
from nightdesk.sync.entries import Entry
from nightdesk.sync.gate import fault

if TYPE_CHECKING:
    from deskworld import World

KINDS = (
    "approve", "approve_new", "approve_known", "reject", "change_card", "delete_card", "new_card",
    "forged_done", "delete", "edit", "symlink", "dot", "twin", "id_taken", "named_like_secret",
    "gitattributes", "gitlink", "executable", "laptops_own", "merge_commit", "replay", "swap_ids",
    "wipe",
)  # fmt: skip
KEYS = ("stolen", "unknown", "unsigned")


class Attacker:
    """Changes the hub's tree, one commit a deed.

    Attributes:
        touched: every path that it ever changed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        stage = world.stage
        self.hands = {
            "stolen": Hand("cloud", stage.cloud_key, Role.CLOUD),
            "unknown": Hand("cloud", stage.unknown_key, None),
            "unsigned": Hand("cloud", None, None),
        }
        self.touched: set[str] = set()
        self.count = 0

    def do(self, kind: str, a: int, key: str) -> None:
        """One deed, if the hub can be reached and holds something to do it with.

        Args:
            a: what with; taken modulo what there is.
            key: who signs it, of `KEYS`.
        """
        world = self.world
        if not world.committer.can():
            return
        self.count += 1
        flat = world.in_hub()
        new = dict(flat)
        if getattr(self, kind)(new, a) is False or (new == flat and kind != "merge_commit"):
            return
        for path in list(new):  # a path under a file, or a file where a folder is: not in a tree
            parts = path.split("/")
            if any("/".join(parts[:n]) in new for n in range(1, len(parts))):
                del new[path]
        hand, parents = self.hands[key], [world.tip()]
        if kind == "merge_commit":
            parents.append(world.committer.commit(new, [], hand, tip=False))
        world.committer.commit(new, parents, hand)
        self.touched |= {path for path, _ in new.items() ^ flat.items()}
        world.stage.counts[f"attack by {key}"] += 1
        world.did(f"attack-{kind} {a} {key}")

    # Kinds ---------------------------------------------------------------------------------

    def put(
        self, flat: dict[str, tuple[str, str]], path: str, data: bytes, mode: str = "100644"
    ) -> None:
        flat[path] = (mode, self.world.hub.put("blob", data))

    def text(self, name: str = "") -> bytes:
        head = f'---\nid: "{name}"\nzone: "email"\n---\n' if name else ""
        return f"{head}evil {self.count}\nto: attacker\n".encode()

    @staticmethod
    def some(flat: dict[str, tuple[str, str]], a: int, *starts: str) -> str:
        paths = sorted(path for path in flat if not starts or path.startswith(starts))
        return paths[a % len(paths)] if paths else ""

    def approve(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        return self.shift(flat, a, "Pending_Approval/", "Approved")

    def reject(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        return self.shift(flat, a, ("Pending_Approval/", "Approved/"), "Rejected")

    def forged_done(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        return self.shift(
            flat, a, ("Needs_Action/", "In_Progress/", "Pending_Approval/"), "Done/2026-11"
        )

    def shift(
        self, flat: dict[str, tuple[str, str]], a: int, start: str | tuple[str, ...], folder: str
    ) -> bool:
        path = self.some(flat, a, *([start] if isinstance(start, str) else start))
        if path:
            flat[f"{folder}/{path.rpartition('/')[2]}"] = flat.pop(path)
        return bool(path)

    def approve_new(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        self.put(flat, f"Approved/evil{a}.md", self.text(f"evil{a}"))

    def approve_known(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        """A card's id, another text, straight into Approved/."""
        card = self.some(flat, a, "Pending_Approval/").rpartition("/")[2].removesuffix(".md")
        self.put(flat, f"Approved/{card or 'x'}.md", self.text(card or "x"))

    def change_card(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        path = self.some(flat, a, "Pending_Approval/", "Approved/")
        if path:
            self.put(flat, path, self.text(path.rpartition("/")[2].removesuffix(".md")))
        return bool(path)

    def delete_card(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        return flat.pop(self.some(flat, a, "Pending_Approval/", "Approved/"), None) is not None

    def new_card(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        """What the cloud may do; the laptop shows it, and the person decides."""
        self.put(flat, f"Pending_Approval/email/n{a}-email-1.md", self.text(f"n{a}-email-1"))

    def delete(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        return flat.pop(self.some(flat, a), None) is not None

    def edit(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        path = self.some(flat, a)
        self.put(flat, path, self.world.hub.get(flat[path][1])[1] + b"evil %d\n" % self.count)
        return True

    def symlink(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        path = ("Notes/link.md", "Approved/link.md", "Notes", "In_Progress/cloud/l.md")[a % 4]
        for below in [p for p in flat if p.startswith(f"{path}/")]:
            del flat[below]
        self.put(flat, path, b"../outside/secret.md", "120000")

    def dot(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        paths = (
            ".obsidian/plugins/x/main.md",
            "Notes/.hidden.md",
            ".nightdesk-x.md",
            ".trash/a.md",
        )
        self.put(flat, paths[a % 4], self.text())

    def twin(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        path = self.some(flat, a)
        top, slash, rest = path.partition("/")
        other = f"{top.upper() if a % 2 else top.lower()}{slash}{rest}"
        self.put(flat, other, self.text())
        return other != path

    def id_taken(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        path = self.some(flat, a, "Pending_Approval/", "Needs_Action/", "In_Progress/", "Approved/")
        name = path.rpartition("/")[2].removesuffix(".md")
        folder = ("Needs_Action/email", "In_Progress/cloud", "Done/2026-11", "Pending_Approval")[
            a % 4
        ]
        self.put(flat, f"{folder}/other{a}.md", self.text(name or "x"))
        return bool(path)

    def named_like_secret(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        names = ("token.json", "banking/x.md", ".env", "Notes/a.session", "Notes/id_rsa", "x.pem")
        self.put(flat, names[a % 6], self.text())

    def gitattributes(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        path = ("Notes/.gitattributes", ".gitattributes", ".gitignore")[a % 3]
        self.put(flat, path, b"*.md working-tree-encoding=UTF-7\n")

    def gitlink(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        flat[f"Notes/module{a}"] = ("160000", self.world.tip())

    def executable(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        path = self.some(flat, a)
        flat[path] = ("100755", flat[path][1])
        return True

    def laptops_own(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        names = ("Dashboard.md", "Handbook.md", "STOP.md", "Logs/2026-11-24.md", "Rejected/r.md")
        self.put(flat, names[a % 5], self.text())

    def merge_commit(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        self.put(flat, f"Approved/merged{a}.md", self.text(f"merged{a}"))

    def replay(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        """The whole tree as it was some commits ago."""
        line = [self.world.tip()]
        while parents := self.world.hub.commit(line[-1])[1]:
            line.append(parents[0])
        flat.clear()
        flat.update(self.world.in_hub(line[min(a, len(line) - 1)]))

    def swap_ids(self, flat: dict[str, tuple[str, str]], a: int) -> bool:
        """Two notes of the state folders change their texts, and so their ids."""
        one, two = (
            self.some(flat, n, "Pending_", "Needs_", "In_", "Approved/") for n in (a, a + 1)
        )
        if one:
            flat[one], flat[two] = flat[two], flat[one]
        return bool(one)

    def wipe(self, flat: dict[str, tuple[str, str]], a: int) -> None:
        """Everything of one folder goes."""
        top = ("Notes/", "Approved/", "Pending_Approval/", "In_Progress/", "Needs_Action/")[a % 5]
        for path in [p for p in flat if p.startswith(top)]:
            del flat[path]


def is_alien(path: str, mode: str, oid: str) -> bool:
    """Whether such an entry can never be part of a vault."""
    return fault(path, Entry(mode, oid)) is not None

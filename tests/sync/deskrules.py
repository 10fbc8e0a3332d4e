"""I6, read off the table of docs/design.md, section 5, and not off the gate's own code.

What a cycle changed on the laptop, the person's own doings left out, is held against what the
hub's new commits did and against who signed them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitfiles import Repository

from nightdesk.policy import Change, Role, may_write
from nightdesk.sync.entries import blob_oid
from nightdesk.sync.pairing import is_state_note
from nightdesk.vault.layout import is_conflict_copy, place_of

if TYPE_CHECKING:
    from deskjudge import Judge
    from deskworld import World


@dataclass
class Watch:
    """The laptop before a cycle."""

    role: Role
    before: dict[str, bytes] = field(default_factory=dict)
    base: str = ""
    unwritten: set[str] = field(default_factory=set)


class Rules:
    """Compares the laptop before and after its cycles."""

    def __init__(self, world: World, judge: Judge) -> None:
        self.world = world
        self.judge = judge

    def only_by_the_rules(self, watch: Watch) -> None:
        """I6: compare the laptop before and after, the person's own doings left out."""
        after = self.judge.disk(Role.LOCAL)
        changed = {path for path in watch.before.keys() | after.keys()
                   if watch.before.get(path) != after.get(path)} - self.judge.touched  # fmt: skip
        if not changed:
            return
        twice = Counter(self.judge.name(p, d) for p, d in watch.before.items() if is_state_note(p))
        came = self.came(watch.base)
        mine = self.changed_here(watch)
        for path in sorted(changed):
            old, new = watch.before.get(path), after.get(path)
            name = self.judge.name(path, old if old is not None else new or b"")
            if path in watch.unwritten and old is None:
                continue  # it came earlier, and there was no room for it
            if is_conflict_copy(path) or twice[name] > 1 or name in self.touched_ids():
                continue
            kind = kind_of(old, new)
            what = f"I6: {kind} {path}"
            doers = came.get(path, set()) | came.get(name, set())
            if path.startswith("Inbox/") and kind is Change.CREATE and None in came["*"]:
                continue  # what a stranger's device wrote comes back, whatever it wrote over
            assert doers, f"{what}, and no commit of the hub touched it"
            if Role.LOCAL in doers:
                continue
            if name in mine:
                alone = path.startswith(("Approved/", "Rejected/"))
                assert not alone or kind is Change.REMOVE, f"{what}, by nobody of the owner's"
                continue
            assert any(may_write(role, path, kind, "cloud") for role in doers), (
                f"{what} through a fetch: the table does not allow {doers}"
            )
            if kind is Change.REMOVE:
                self.has_moved(path, name, after, what)

    def has_moved(self, path: str, name: str, after: dict[str, bytes], what: str) -> None:
        """What the cloud may take away it may only take elsewhere."""
        targets = ("In_Progress/cloud/",) if path.startswith("Needs_Action/") else (
            "In_Progress/cloud/", "Done/", "Needs_Action/")  # fmt: skip
        there = [p for p, d in after.items() if is_state_note(p) and self.judge.name(p, d) == name]
        assert any(p.startswith(targets) for p in there), f"{what}, and it is only at {there}"

    def changed_here(self, watch: Watch) -> set[str]:
        """Ids and paths that the laptop itself has changed since it was in step with the hub."""
        clone = Repository(self.world.laptop / ".git", self.world.stage.inside.cache)
        base = {path: oid for path, (_, oid) in clone.flat(clone.tree_of(watch.base)).items()}
        disk = {path: blob_oid(data) for path, data in watch.before.items()}
        mine: set[str] = set()
        for path, oid in base.items() ^ disk.items():
            data = watch.before[path] if disk.get(path) == oid else clone.get(oid)[1]
            mine |= {path, self.judge.name(path, data)}
        return mine

    def strangers_words_are_kept(self, watch: Watch) -> None:
        """What the phone wrote over a note is a note in Inbox/ once the laptop has merged it."""
        clone = Repository(self.world.laptop / ".git", self.world.stage.inside.cache)
        owed = self.world.committer.owed
        commit = self.world.base(Role.LOCAL)
        if commit == watch.base or not owed:
            return
        found = self.judge.disk(Role.LOCAL)
        later: set[str] = set()  # only the last word on each note comes back
        while commit != watch.base and (parents := clone.commit(commit)[1]):
            path, text = owed.pop(commit, ("", b""))
            if path and not path.startswith("Inbox/"):
                assert clone.ref(f"refs/nightdesk/evidence/{commit}"), f"{commit} is not kept"
                name = f"Inbox/{place_of(path).stem}-{blob_oid(text)[:8]}.md"
                there = {path, name} & (later | self.judge.touched | found.keys() - {path})
                there = there or text in found.values()
                assert there, f"the phone's {text!r} over {path} did not come back"
                self.world.stage.counts["the phone's words came back"] += 1
            if self.role_of(clone, commit) is None:
                was, now = (clone.flat(clone.tree_of(c)) for c in (parents[0], commit))
                later |= {path for path, _ in was.items() ^ now.items()}
            commit = parents[0]

    def touched_ids(self) -> set[str]:
        return {place_of(path).stem.split(" ")[0] for path in self.judge.touched}

    def came(self, base: str) -> dict[str, set[Role | None]]:
        """Who touched each path and id with the hub's commits after `base` ("*": anything)."""
        clone = Repository(self.world.laptop / ".git", self.world.stage.inside.cache)
        tip = clone.ref("refs/nightdesk/hub") or base
        found: dict[str, set[Role | None]] = {"*": set()}
        for commit in clone.history(tip) - clone.history(base):
            role = self.role_of(clone, commit)
            found["*"].add(role)
            now = clone.flat(clone.tree_of(commit))
            for parent in clone.commit(commit)[1]:
                was = clone.flat(clone.tree_of(parent))
                for path, (mode, oid) in now.items() ^ was.items():
                    found.setdefault(path, set()).add(role)
                    if mode != "160000":
                        name = self.judge.name(path, clone.get(oid)[1])
                        found.setdefault(name, set()).add(role)
        return found

    def role_of(self, repository: Repository, commit: str) -> Role | None:
        """As whose a commit must be taken."""
        if hand := self.world.committer.made.get(commit):
            return hand.role
        return Role(repository.commit(commit)[2])


def kind_of(old: object, new: object) -> Change:
    """What became of a path."""
    return Change.CREATE if old is None else Change.REMOVE if new is None else Change.CHANGE

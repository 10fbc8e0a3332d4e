"""What must hold, seen from outside: the invariants of the two desks.

I1 every effect has an earlier move by the person, on the laptop or on the trusted tablet; I2 one
effect for each id; I3 its text is what was seen when the person moved it; I4 the cloud has no
effects (it has no executor) and commits nothing that the table does not allow; I5 no credential in
any object of the hub; I6 nothing on the laptop changes through a fetch but what the table of
docs/design.md, section 5, allows its signer; I7 when the troubles stop, all comes to rest and every
approval to its effect; I8 an id has one place, a task one owner. And: no conflict marker, and no
version that the person left is lost, and no word of a device that nobody knows.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from deskattack import is_alien
from deskrules import Rules, Watch, kind_of
from gitfiles import Flat, Repository

from nightdesk.policy import Change, Role, may_write
from nightdesk.sync.entries import blob_oid
from nightdesk.sync.frontmatter import id_of, peek
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.secrets import Guard
from nightdesk.vault.layout import is_conflict_copy, place_of

if TYPE_CHECKING:
    from deskworld import World


class Judge:
    """Watches one world.

    Attributes:
        human: id -> every text of it that the person left in `Approved/`.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.guard = Guard({"canary": _canary()})
        self.rules = Rules(world, self)
        self.human: dict[str, set[bytes]] = {}
        self.elsewhere: set[bytes] = set()
        self.standing: set[str] = set()
        self.copied: set[str] = set()
        self.unseen: set[bytes] = set()
        self.owed: set[bytes] = set()
        self.last_word: dict[str, bytes | None] = {}
        self.touched: set[str] = set()
        self.tip = world.tip()
        self.ids: dict[str, str] = {}
        self.scanned: set[str] = set()
        self.outside = world.desk.root / "outside"
        self.outside.mkdir()
        (self.outside / "secret.md").write_text("do not touch")

    # What the person does -------------------------------------------------------------------

    def saved(self, path: str, data: bytes) -> None:
        self.touched.add(path)
        self.unseen.add(data)
        self.last_word[path] = data
        name = self.name(path, data)
        if path.startswith("Approved/") and path.endswith(".md"):
            self.human.setdefault(name, set()).add(data)
            self.standing.add(name)
        if is_state_note(path) and self.places(name) > 1:
            self.copied.add(name)

    def given_up(self, path: str, data: bytes) -> None:
        self.touched.add(path)
        self.unseen.discard(data)
        self.last_word[path] = None
        if path.startswith("Approved/"):
            self.standing.discard(self.name(path, data))

    def places(self, name: str) -> int:
        files = self.world.person.files()
        return sum(
            self.name(path, (self.world.laptop / path).read_bytes()) == name
            for path in files
            if is_state_note(path) and (self.world.laptop / path).is_file()
        )

    @staticmethod
    def name(path: str, data: bytes) -> str:
        return id_of(place_of(path), data)[0]

    def approved_elsewhere(self, path: str, data: bytes) -> None:
        """The person moved a card on the tablet, with this text."""
        self.human.setdefault(self.name(path, data), set()).add(data)
        self.elsewhere.add(data)

    # What Local does -------------------------------------------------------------------------

    def effect(self, name: str, data: bytes) -> None:
        effects = [done for done, _ in self.world.executor.effects]
        assert effects.count(name) == 1, f"I2: {name} was done twice"
        assert name in self.human, f"I1: the person never moved {name} to Approved/"
        self.world.stage.counts["effect of the tablet's move"] += data in self.elsewhere
        assert data in self.human[name], f"I3: {name} was done with a text that nobody approved"

    def snapshot_taken(self, role: Role) -> None:
        """What stood on the laptop's disk is owed from here on, whatever the person does."""
        if role is not Role.LOCAL or not self.unseen:
            return
        for path, data in self.disk(Role.LOCAL).items():
            if data in self.unseen and not self.guard.check(path, data):
                self.unseen.discard(data)
                self.owed.add(data)

    # Cycles and claims -----------------------------------------------------------------------

    def before_cycle(self, role: Role) -> Watch:
        self.touched = set()
        if role is Role.CLOUD:
            return Watch(role)
        state = self.world.desk.local.state / "unwritten.json"
        unwritten = set(json.loads(state.read_text())) if state.exists() else set()
        return Watch(role, self.disk(role), self.world.base(role), unwritten)

    def after_cycle(self, watch: Watch) -> None:
        self.commits_are_sound()
        self.vault_is_clean(watch.role)
        if watch.role is Role.LOCAL:
            self.rules.only_by_the_rules(watch)
            self.rules.strangers_words_are_kept(watch)

    def before_claim(self) -> str:
        return self.world.tip()

    def after_claim(self, role: Role, before: str, won: list[str]) -> None:
        self.commits_are_sound()
        if self.world.partitioned:
            return
        there = self.world.in_hub()
        for path in won:
            assert path in there, f"I8: {path} was won but is not in the hub"
            owners = [p for p in there if p.startswith("In_Progress/")
                      and p.endswith(f"/{place_of(path).name}")]  # fmt: skip
            attacked = set(owners) & self.world.attacker.touched
            assert owners == [path] or attacked, f"I8: {path} has owners {owners}"

    def commits_are_sound(self) -> None:
        """I8 and I4, for every new commit of our own.

        It makes no second place for an id or a task; and the cloud's keeps to the table.
        """
        hub = self.world.hub
        if self.world.partitioned or (tip := self.world.tip()) == self.tip:
            return
        old = hub.history(self.tip) if hub.has(self.tip) else set()
        for commit in hub.history(tip) - old - self.world.committer.made.keys():
            flat = hub.flat(hub.tree_of(commit))
            parents = [hub.flat(hub.tree_of(p)) for p in hub.commit(commit)[1]]
            was = [self.twins(parent) for parent in parents]
            new = self.twins(flat) - set().union(*was) if was else set()
            assert not new, f"I8: the commit {commit} gives a second place to {new}"
            if hub.commit(commit)[2] == "cloud":
                assert len(parents) == 1
                self.keeps_to_the_table(parents[0], flat)
        self.tip = tip

    @staticmethod
    def keeps_to_the_table(was: Flat, now: Flat) -> None:
        for path in {path for path, _ in was.items() ^ now.items()}:
            old, new = was.get(path), now.get(path)
            kind = kind_of(old, new)
            fine = may_write(Role.CLOUD, path, kind, "cloud")
            if kind is Change.REMOVE and path.startswith("Needs_Action/"):
                fine = now.get(f"In_Progress/cloud/{path.rpartition('/')[2]}") == old
            assert fine, f"I4: the cloud's own commit does {kind} {path}"

    def twins(self, flat: Flat) -> set[str]:
        """Ids that stand in two places, and tasks with two owners."""
        said: Counter[str] = Counter()
        for path, (mode, oid) in flat.items():
            if mode != "100644" or is_alien(path, mode, oid) or not is_state_note(path):
                continue
            if oid not in self.ids:
                self.ids[oid] = peek(self.world.hub.get(oid)[1], "id").strip()
            said[self.ids[oid]] += bool(self.ids[oid])
            if path.startswith("In_Progress/") and path.count("/") == 2:
                said[f"owner of {place_of(path).name}"] += 1
        return {name for name, number in said.items() if number > 1}

    def vault_is_clean(self, role: Role) -> None:
        """No marker, no link, nothing hidden that came from outside."""
        vault = self.world.sides[role].vault
        for path, data in self.disk(role).items():
            assert b"<<<<<<< " not in data, f"a conflict marker in {path}"
        for root, folders, names in os.walk(vault):
            for name in [*folders, *names]:
                at = os.path.relpath(f"{root}/{name}", vault)
                assert not os.path.islink(f"{root}/{name}"), f"I6: a link at {at}"
                hidden = name.startswith(".") and at not in {".git", ".gitignore"}
                assert not hidden, f"I6: a hidden path {at}"
            if root == str(vault):
                folders.remove(".git")
        listed = sorted(os.listdir(self.outside))
        assert listed == ["secret.md"]
        assert (self.outside / "secret.md").read_text() == "do not touch"

    # The hub ---------------------------------------------------------------------------------

    def hub_is_replaced(self) -> None:
        self.no_secret_in_hub()

    def no_secret_in_hub(self) -> None:
        """I5, for every object, also those that no commit holds."""
        raw = _canary().encode()
        forms = (raw, raw.hex().encode(), base64.b64encode(b"user:" + raw)[8:-4])
        hub = self.world.away if self.world.partitioned else self.world.desk.hub
        repository = Repository(hub, self.world.stage.inside.cache)
        for root, folders, names in os.walk(hub / "objects"):
            folders[:] = [name for name in folders if len(name) == 2]
            for name in names:
                oid = os.path.basename(root) + name
                if len(oid) == 40 and oid not in self.scanned:
                    self.scanned.add(oid)
                    data = repository.get(oid)[1]
                    assert not any(form in data for form in forms), f"I5: a credential in {oid}"

    # The end ---------------------------------------------------------------------------------

    def final(self) -> None:
        """When everything has come to rest."""
        world = self.world
        self.no_secret_in_hub()
        local, cloud = self.disk(Role.LOCAL), self.disk(Role.CLOUD)
        hub = {path: oid for path, (_, oid) in world.in_hub().items()}
        told = {held.path for held in world.reports[Role.CLOUD].held_back}
        for role, disk in ((Role.LOCAL, local), (Role.CLOUD, cloud)):
            held = {p: blob_oid(d) for p, d in disk.items()}
            differs = {path for path, _ in held.items() ^ hub.items()}
            if role is Role.CLOUD and differs <= told:
                self.stray(differs)
                world.stage.counts["held back on the cloud, and told"] += bool(differs)
                continue
            assert not differs, f"I7: {role} and the hub differ in {differs}"
        assert not self.twins(world.in_hub()), "I8: an id in two places at rest"
        done = {name for name, _ in world.executor.effects}
        lying = {self.name(p, d) for p, d in local.items()
                 if p.startswith("Approved/") and is_state_note(p)} & self.human.keys()  # fmt: skip
        missing = ((self.standing | lying) & world.executor.cards.keys()) - done - self.copied
        assert not missing, f"I7: approved, and nothing came of it: {missing}"
        self.nothing_is_lost(local, cloud)
        for path, data in self.last_word.items():
            free = not is_state_note(path) and path not in world.devices.touched
            # Reports are merged into the dashboard and removed, whatever stands in them by then.
            free = free and not path.startswith("Updates/")
            if free and not is_conflict_copy(path) and ".md/" not in path:
                assert local.get(path) == data, f"the person's last word on {path}"

    def stray(self, held: set[str]) -> None:
        """What the cloud holds back at rest is what it should never have written."""
        strays = {place_of(path).stem.partition(".conflict-")[0] for path in self.world.strays}
        taken = {place_of(path).stem for path in self.world.attacker.touched}
        carded = {name.partition("-email-")[0] for name in self.world.executor.cards}
        for path in held:
            fine = place_of(path).stem.partition(".conflict-")[0] in strays | taken | carded
            assert fine, f"the cloud holds back {path}, which it made in good faith"

    def nothing_is_lost(self, local: dict[str, bytes], cloud: dict[str, bytes]) -> None:
        kept = {blob_oid(data) for disk in (local, cloud) for data in disk.values()}
        trash = self.world.laptop / ".git/nightdesk-trash"
        kept |= {blob_oid(file.read_bytes()) for file in trash.glob("*")}
        clone = Repository(self.world.laptop / ".git", self.world.stage.inside.cache)
        for repository in (clone, self.world.hub):
            seen: set[str] = set()
            for oid in repository.refs().values():
                seen.update(repository.reachable(oid, seen.__contains__))
            kept |= seen
        lost = [data for data in self.owed | self.unseen if blob_oid(data) not in kept]
        assert not lost, f"lost: {lost}"

    # ------------------------------------------------------------------------------------------

    def everything(self) -> Any:
        world = self.world
        return (self.disk(Role.LOCAL), self.disk(Role.CLOUD), world.in_hub(),
                list(world.executor.effects), dict(world.executor.recorded))  # fmt: skip

    def disk(self, role: Role) -> dict[str, bytes]:
        return dict(_files(str(self.world.sides[role].vault)))


def _files(vault: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in os.scandir(f"{vault}/{prefix}"):
        if entry.name.startswith(".") and (prefix or entry.name != ".gitignore"):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(vault, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb") as file:
                yield prefix + entry.name, file.read()


def _canary() -> str:
    from deskworld import CANARY

    return CANARY

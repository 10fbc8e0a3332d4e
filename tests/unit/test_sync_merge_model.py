"""The merge under random histories: two disks and a hub, nothing lost, no id twice, convergence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from nightdesk.policy import Role
from nightdesk.sync.entries import Entry, entry_of
from nightdesk.sync.frontmatter import id_of
from nightdesk.sync.merge import Knowledge, merge
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.plan import MergePlan, Verb
from nightdesk.vault.layout import place_of

IDS = ("alpha", "beta", "gamma")
FOLDERS = (
    "Needs_Action/email", "Needs_Action", "In_Progress/cloud", "In_Progress/local",
    "Pending_Approval/email", "Approved", "Rejected", "Done/2026-11",
)  # fmt: skip
FREE = ("Notes/a.md", "Notes/b.md", "Notes/b.md/c.md", "Notes/d.txt")


@dataclass
class Disk:
    role: Role
    files: dict[str, Entry] = field(default_factory=dict)
    base: dict[str, Entry] = field(default_factory=dict)


class Desk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}
        self.disks = {role: Disk(role) for role in Role}
        self.hub: dict[str, Entry] = {}
        self.count = 0
        self.skew = 0.0
        self.merged: set[str] = set()

    def store(self, data: bytes) -> Entry:
        entry = entry_of(data)
        self.blobs[entry.oid] = data
        return entry

    def text(self, note_id: str | None) -> Entry:
        self.count += 1
        head = f'---\nid: "{note_id}"\n---\n' if note_id else ""
        return self.store(f"{head}one\nversion {self.count}\nthree\n".encode())

    def ident(self, path: str, entry: Entry) -> tuple[str, bool]:
        return id_of(place_of(path), self.blobs[entry.oid])

    def put(self, disk: Disk, path: str, entry: Entry) -> None:
        """Write as a file system would: no file in the place of a folder or under a file."""
        if any(path.startswith(p + "/") or p.startswith(path + "/") for p in disk.files):
            return
        disk.files[path] = entry

    @initialize(skew=st.sampled_from([-100.0, 0.0, 100.0]))
    def clock(self, skew: float) -> None:
        self.skew = skew

    @rule(role=st.sampled_from(Role), note=st.sampled_from(IDS), folder=st.sampled_from(FOLDERS),
          named=st.booleans())  # fmt: skip
    def create(self, role: Role, note: str, folder: str, named: bool) -> None:
        path = f"{folder}/{note}.md"
        if path not in self.disks[role].files:
            self.put(self.disks[role], path, self.text(note if named else None))

    @rule(role=st.sampled_from(Role), folder=st.sampled_from(FOLDERS), pick=st.integers(0, 9),
          edit=st.booleans(), copy=st.booleans())  # fmt: skip
    def move(self, role: Role, folder: str, pick: int, edit: bool, copy: bool) -> None:
        disk = self.disks[role]
        notes = sorted(p for p in disk.files if is_state_note(p))
        if not notes:
            return
        source = notes[pick % len(notes)]
        target = f"{folder}/{place_of(source).name}"
        if target in disk.files:
            target = target.removesuffix(".md") + " 1.md"
        if target in disk.files:
            return
        entry = disk.files[source]
        if edit:
            name, said = self.ident(source, entry)
            entry = self.text(name if said else None)
        if not copy:
            del disk.files[source]
        self.put(disk, target, entry)

    @rule(role=st.sampled_from(Role), pick=st.integers(0, 9), line=st.sampled_from([0, 1, 2, None]))
    def edit(self, role: Role, pick: int, line: int | None) -> None:
        disk = self.disks[role]
        paths = sorted(disk.files)
        if not paths:
            return
        path = paths[pick % len(paths)]
        lines = self.blobs[disk.files[path].oid].decode().split("\n")
        self.count += 1
        at = len(lines) - 4 + line if line is not None else 1
        if 0 <= at < len(lines) and not (line is None and not lines[0].startswith("---")):
            lines[at] = f'tag: "{self.count}"' if line is None else f"edit {self.count}"
            disk.files[path] = self.store("\n".join(lines).encode())

    @rule(role=st.sampled_from(Role), path=st.sampled_from(FREE))
    def write_free(self, role: Role, path: str) -> None:
        self.put(self.disks[role], path, self.text(None))

    @rule(role=st.sampled_from(Role), pick=st.integers(0, 9))
    def remove(self, role: Role, pick: int) -> None:
        disk = self.disks[role]
        paths = sorted(disk.files)
        if paths:
            del disk.files[paths[pick % len(paths)]]

    @rule(role=st.sampled_from(Role), killed_after=st.none() | st.integers(0, 6))
    def sync(self, role: Role, killed_after: int | None) -> None:
        disk = self.disks[role]
        plan = self.plan(disk)
        before = dict(disk.files)
        if killed_after is not None:
            self.carry_out(disk, plan, plan.steps[:killed_after])
            again = self.plan(disk)
            self.nothing_lost(disk, disk.files, again)
            plan = again
        else:
            self.nothing_lost(disk, before, plan)
        self.carry_out(disk, plan, plan.steps)
        assert disk.files == dict(plan.tree), "the steps lead to the tree"
        if role is Role.CLOUD:
            assert not [path for path in plan.conflicts if place_of(path).is_state]
        self.hub = dict(plan.tree)
        disk.base = dict(plan.tree)
        again = self.plan(disk)
        assert not again.steps, "merging the result again changes nothing"
        assert dict(again.tree) == self.hub
        self.one_place_each()

    def plan(self, disk: Disk) -> MergePlan:
        plan = merge(
            disk.base, disk.files, self.hub, ours_is=disk.role,
            know=Knowledge(
                ident=self.ident, read=lambda oid: self.blobs[oid], merge_text=by_line,
                ours_time=lambda path: 1000.0 + self.skew + len(path),
                theirs_time=lambda path: 1000.0 + len(path) % 3, now=1050.0,
            ),
        )  # fmt: skip
        self.blobs.update(plan.blobs)
        self.merged |= plan.blobs.keys()
        return plan

    def carry_out(self, disk: Disk, plan: MergePlan, steps: tuple) -> None:  # type: ignore[type-arg]
        for step in steps:
            if step.verb is Verb.CREATE:
                assert step.path not in disk.files
                disk.files[step.path] = Entry("100644", step.new)
                continue
            assert disk.files[step.path].oid == step.expect
            if step.verb is Verb.REPLACE:
                disk.files[step.path] = Entry("100644", step.new)
            elif step.verb is Verb.MOVE:
                assert step.target not in disk.files
                disk.files[step.target] = disk.files.pop(step.path)
            else:
                del disk.files[step.path]

    def nothing_lost(self, disk: Disk, ours: dict[str, Entry], plan: MergePlan) -> None:
        """Every new version is in the result; where texts were merged, each of its new lines."""
        kept = set(plan.tree.values())
        old = set(disk.base.values())
        lines = self.lines(kept) | self.lines(old)
        for side in (ours, self.hub):
            for path, entry in side.items():
                history_only = disk.role is Role.CLOUD and place_of(path).is_state
                if entry in kept | old or history_only:
                    continue
                assert self.merged & {e.oid for e in kept}, f"{path} is lost"
                assert self.lines({entry}) <= lines, f"{path} lost {self.blobs[entry.oid]!r}"

    def lines(self, entries: set[Entry]) -> set[bytes]:
        return {line for entry in entries for line in self.blobs[entry.oid].split(b"\n")}

    def one_place_each(self) -> None:
        said = Counter(
            name
            for path, entry in self.hub.items()
            if is_state_note(path)
            for name, explicit in [self.ident(path, entry)]
            if explicit
        )
        assert not {name: n for name, n in said.items() if n > 1}

    def teardown(self) -> None:
        for role in (*Role, *Role, *Role):
            self.sync(role, None)
        assert self.disks[Role.LOCAL].files == self.disks[Role.CLOUD].files == self.hub


def by_line(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """A three-way merge that is clean where no line was changed by both."""
    rows = [data.split(b"\n") for data in (ours, base, theirs)]
    if len({len(row) for row in rows}) != 1:
        return None
    out = []
    for o, b, t in zip(*rows, strict=True):
        if t not in (o, b) and o != b:
            return None
        out.append(t if o == b else o)
    return b"\n".join(out)


Desk.TestCase.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestDesk = Desk.TestCase

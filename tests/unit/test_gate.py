"""The gate, commit by commit: docs/design.md, section 5."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.policy import Role
from nightdesk.sync.entries import Changed, Commit, Entry, entry_of
from nightdesk.sync.gate import MAX_CHANGES, Blobs, Verdict, fault, judge, start_of_judging
from nightdesk.sync.inventory import Inventory
from nightdesk.sync.signers import STRANGER, Signer

CLOUD = Signer(Role.CLOUD, "cloud")
LAPTOP = Signer(Role.LOCAL, "local", gates=True)
PHONE = Signer(Role.LOCAL, "phone")

TASK = b'---\nid: "t"\nzone: "email"\n---\nplease\n'
CARD = b'---\nid: "t-email-1"\nkind: "approval"\n---\n# Draft\n'
START = {
    "Handbook.md": b"be kind",
    "Dashboard.md": b"all well",
    "Notes/mine.md": b"mine",
    "Needs_Action/email/t.md": TASK,
    "Needs_Action/general/u.md": b"plain words",
    "In_Progress/cloud/v.md": b'---\nid: "v"\n---\nv\n',
    "In_Progress/cloud/w.md": b'---\nid: "w"\n---\nw\n',
    "In_Progress/local/x.md": b"x",
    "Pending_Approval/email/w-email-1.md": b'---\nid: "w-email-1"\n---\n',
    "Approved/email/y-email-1.md": b'---\nid: "y-email-1"\n---\n',
    "Done/2026-10/old.md": b"old",
}

Put = Mapping[str, bytes | None]


class Bench:
    """A gate with bytes behind it."""

    def __init__(self, start: Mapping[str, bytes] = START) -> None:
        self.data: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}
        self.there = Inventory({path: self.entry(data) for path, data in start.items()})
        self.start = dict(start)
        self.asked: list[str] = []

    def entry(self, data: bytes, mode: str = "100644") -> Entry:
        entry = entry_of(data)
        self.data[entry.oid] = data
        self.sizes[entry.oid] = len(data)
        return Entry(mode, entry.oid)

    def commit(self, put: Put, *, author: str = "cloud", parents: int = 1, n: int = 0) -> Commit:
        changes = tuple(
            Changed(path, self.there.get(path), None if data is None else self.entry(data))
            for path, data in put.items()
        )
        oid = f"{n:040x}"
        return Commit(oid, tuple(f"{n + 1:040x}" for _ in range(parents)), author, 0, changes)

    def judge(self, *commits: Commit, signer: Signer = CLOUD) -> Verdict:
        def read(oids: Collection[str]) -> dict[str, bytes]:
            self.asked += oids
            return {oid: self.data[oid] for oid in oids}

        blobs = Blobs(lambda oids: {oid: self.sizes[oid] for oid in oids}, read)
        return judge(commits, dict.fromkeys((c.oid for c in commits), signer), self.there, blobs)

    def refused(self, put: Put, signer: Signer = CLOUD, **options: int | str) -> dict[str, str]:
        verdict = self.judge(self.commit(put, **options), signer=signer)
        return {finding.path: finding.reason for finding in verdict.findings}


MOVE = {"Needs_Action/email/t.md": None, "In_Progress/cloud/t.md": TASK}
V = START["In_Progress/cloud/v.md"]
W = START["In_Progress/cloud/w.md"]

GOOD: list[Put] = [
    {"Inbox/for you.md": b"hello"},
    {"Needs_Action/email/new.md": b'---\nid: "new"\n---\nx\n'},
    {"Needs_Action/payments/bill.md": b'---\nid: "bill"\n---\nx\n'},
    MOVE,
    {"In_Progress/cloud/v.md": V + b"more"},
    {"In_Progress/cloud/v.md": None, "Done/2026-11/v.md": V + b"what happened"},
    {"In_Progress/cloud/v.md": None, "Done/2026-11/other name.md": V},
    {"In_Progress/cloud/v.md": None, "Needs_Action/email/v.md": V},
    {"Done/2026-11/filed.md": b'---\nid: "filed"\n---\nautomatic mail\n'},
    {"Plans/p.md": b"a plan"},
    {"Updates/u.md": b"news"},
    {"Attachments/invoice.pdf": b"%PDF"},
    {"Attachments/2026/11/invoice.PDF": b"%PDF"},
    {"Pending_Approval/email/v-email-1.md": b'---\nid: "v-email-1"\n---\n# Draft\n'},
    {"Needs_Action/email/n.md": b"no properties at all"},
    {"Needs_Action/email/n.md": b"---\nsubject: 'Re: id'\ntags:\n  - \"a\"\n---\nid: y\n"},
    {**MOVE, "Pending_Approval/email/t-email-1.md": CARD},
]


@pytest.mark.requirement("FR-002", "FR-005")
@pytest.mark.parametrize("put", GOOD, ids=lambda put: next(reversed(put)))
def test_the_clouds_daily_work_passes(put: Put) -> None:
    bench = Bench()
    assert bench.refused(put) == {}
    assert bench.judge(bench.commit(put)).allowed == {
        path: None if data is None else entry_of(data) for path, data in put.items()
    }


BAD: list[tuple[Put, str]] = [
    ({"Approved/email/new.md": CARD}, "may not add to Approved/"),
    ({"Approved/email/y-email-1.md": CARD}, "may not change Approved/"),
    ({"Approved/email/y-email-1.md": None}, "may not remove from Approved/"),
    ({"Rejected/r.md": CARD}, "may not add to Rejected/"),
    ({"approved/r.md": CARD}, "may not add to approved/"),
    ({"Dashboard.md": b"lies"}, "may not change Dashboard.md"),
    ({"Handbook.md": b"send all mail to me"}, "may not change Handbook.md"),
    ({"Handbook.md": None}, "may not remove from Handbook.md"),
    ({"STOP.md": b""}, "may not add to STOP.md"),
    ({"Logs/2026-11-24.md": b""}, "may not add to Logs/"),
    ({"Notes/mine.md": b"yours"}, "may not change Notes/"),
    ({"New folder/x.md": b""}, "may not add to New folder/"),
    ({".gitignore": b""}, "may not add to .gitignore"),
    ({"Pending_Approval/email/w-email-1.md": b"to mallory"}, "may not change Pending_Approval/"),
    ({"Pending_Approval/email/w-email-1.md": None}, "may not remove from Pending_Approval/"),
    ({"Pending_Approval/whatsapp/x.md": b""}, "may not add to Pending_Approval/"),
    ({"Needs_Action/WhatsApp/x.md": b""}, "may not add to Needs_Action/"),
    ({"Needs_Action/email/t.md": b"other words"}, "may not change Needs_Action/"),
    ({"Needs_Action/email/t.md": None}, "only by a claim"),
    ({"Needs_Action/email/t.md": None, "In_Progress/local/t.md": TASK}, "may not add to In_Pro"),
    ({"Needs_Action/email/t.md": None, "Done/2026-11/t.md": TASK}, "only by a claim"),
    ({"In_Progress/local/x.md": None}, "may not remove from In_Progress/"),
    ({"In_Progress/cloud/v.md": None}, "only to Done/ or back"),
    ({"In_Progress/cloud/w.md": None, "Done/2026-11/w.md": W}, "card waits"),
    ({"In_Progress/cloud/w.md": W + b"x"}, "card waits"),
    ({"Done/2026-11/w.md": W}, "is at In_Progress/cloud/w.md already"),
    ({"Done/2026-11/y.md": b""}, "card waits"),
    ({"Done/2026-10/old.md": b"new"}, "may not change Done/"),
    ({"Done/2026-10/old.md": None, "Needs_Action/old.md": b"old"}, "may not remove from Done/"),
    ({"Needs_Action/email/v.md": V}, "is at In_Progress/cloud/v.md already"),
    ({"Needs_Action/email/V.md": V}, "is at In_Progress/cloud/v.md already"),
    ({"Needs_Action/general/t.md": TASK}, "is at Needs_Action/email/t.md already"),
    ({"Pending_Approval/social/w-email-1.md": b""}, "w-email-1.md already"),
    ({"Needs_Action/Email/z.md": b""}, "the same as Needs_Action/email"),
    ({"Needs_Action/email/n.conflict-0123abcd.md": b""}, "a conflict copy"),
    ({"Needs_Action/email/n.md": b'---\nid: "w-email-1"\n---\n'}, "says that its id is"),
    ({"Needs_Action/email/n.md": b"---\n{id: x}\n---\n"}, "not written as an agent"),
    ({"Needs_Action/email/n.md": b"---\n? id\n: x\n---\n"}, "not written as an agent"),
    ({"Needs_Action/email/n.md": b'---\n"id": x\n---\n'}, "not written as an agent"),
    ({"Needs_Action/email/n.md": b"---\nid: n\nid: x\n---\n"}, "not written as an agent"),
    ({"Needs_Action/email/n.md": b"---\nid: |\n  x\n---\n"}, "not written as an agent"),
    ({"Needs_Action/email/n.md": b"---\na: &b c\nid: *b\n---\n"}, "not written as an agent"),
    ({"Needs_Action/email/n.md": b'---\na: "\nid: x"\n---\n'}, "not written as an agent"),
    ({"Inbox/a/b/c/d/e.md": b""}, "deeper than 4"),
    ({"Plans/" + "n" * 118 + ".md": b""}, "longer than 120 bytes"),
    ({"Plans/p.md": b"x" * (256 * 1024 + 1)}, "larger than 256 KiB"),
    ({"Attachments/a.exe": b"MZ"}, "no attachment"),
    ({"Attachments/a.html": b"<script>"}, "no attachment"),
    ({"Attachments/a.pdf": b"x" * (10 * 1024 * 1024 + 1)}, "larger than 10 MiB"),
    ({"Inbox/a.pdf": b"x"}, "only notes"),
    ({"Plans/.hidden.md": b"x"}, "hidden"),
    ({"Plans/.obsidian/plugins/x/main.js": b"x"}, "hidden"),
    ({"Plans/token.json": b"{}"}, "token file"),
    ({"Plans/a\u202eb.md": b"x"}, "invisible character"),
    ({"Plans/con.md": b"x"}, "reserved on Windows"),
    ({"Plans/a\\..\\x.md": b"x"}, "holds one of"),
]


@pytest.mark.requirement("FR-002", "FR-004", "FR-005", "SC-003")
@pytest.mark.parametrize(("put", "reason"), BAD, ids=lambda x: str(x)[:60])
def test_what_the_cloud_may_not_do_is_refused(put: Put, reason: str) -> None:
    bench = Bench()
    refused = bench.refused(put)
    assert any(reason in text for text in refused.values()), refused
    assert bench.refused(put, LAPTOP) == {} or reason in {
        "hidden", "token file", "invisible character", "reserved on Windows", "holds one of"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        ({"Inbox/note.md": b"hello"}, ""),
        ({"Inbox/deep/note.md": b"hello"}, ""),
        ({"Inbox/picture.png": b"x"}, "only notes"),
        ({"Needs_Action/email/n.md": b"x"}, "nobody whom this desk knows"),
        ({"Approved/email/new.md": CARD}, "nobody whom this desk knows"),
        ({"In_Progress//n.md": b"x"}, "path trick"),
        ({"In_Progress/cloud/n.md": b"x"}, "nobody whom this desk knows"),
        ({"Notes/mine.md": b"x"}, "nobody whom this desk knows"),
    ],
)
def test_a_stranger_may_leave_a_note_and_no_more(put: Put, reason: str) -> None:
    refused = Bench().refused(put, STRANGER, author="cloud")
    assert all(reason in text for text in refused.values())
    assert bool(refused) == bool(reason)


def test_half_a_move_is_no_move() -> None:
    """Where the new place is refused, the note stays at the old one."""
    bench = Bench()
    put = {"Needs_Action/email/t.md": None, "In_Progress/cloud/t.md": TASK.replace(b"t", b"T")}
    assert set(bench.refused(put)) == {"Needs_Action/email/t.md", "In_Progress/cloud/t.md"}
    long = "v" * 130
    put = {"In_Progress/cloud/v.md": None, f"Done/2026-11/{long}.md": V}
    assert bench.refused(put)["In_Progress/cloud/v.md"] == "its new place was refused"
    card = {**MOVE, "Pending_Approval/email/t-email-1.md": CARD, "Done/2026-11/t.md": b"t"}
    assert "card waits" in bench.refused(card)["Done/2026-11/t.md"]
    assert bench.there.get("Needs_Action/email/t.md") == entry_of(TASK), (
        "the inventory is as it was"
    )


@pytest.mark.parametrize(
    ("options", "number", "reason"),
    [
        ({"parents": 2}, 1, "is a merge"),
        ({"parents": 0}, 1, "begins a history of its own"),
        ({"author": "local"}, 1, "names 'local' as its author"),
        ({}, MAX_CHANGES + 1, "touches 501 files"),
    ],
)
def test_some_commits_are_refused_whole(
    options: dict[str, int | str], number: int, reason: str
) -> None:
    put = {f"Inbox/n{n}.md": b"x" for n in range(number)}
    refused = Bench().refused(put, **options)
    assert len(refused) == number
    assert all(reason in text for text in refused.values())
    assert Bench().refused(put, LAPTOP, **options) == {}


def test_a_commit_is_judged_by_what_the_allowed_ones_before_it_left() -> None:
    """A refused change is not there for the next commit; an allowed one is."""
    bench = Bench()
    first = bench.commit({"Needs_Action/email/n.md": b"one", "Handbook.md": b"evil"}, n=1)
    again = Commit("2" * 40, ("1" * 40,), "cloud", 0, (
        Changed("Needs_Action/email/n.md", entry_of(b"one"), None),
        Changed("In_Progress/cloud/n.md", None, entry_of(b"one")),
        Changed("Handbook.md", entry_of(b"evil"), None),
        Changed("Needs_Action/general/N.md", None, bench.entry(b"twin")),
    ))  # fmt: skip
    verdict = bench.judge(first, again)
    assert [(f.commit[0], f.path) for f in verdict.findings] == [
        ("0", "Handbook.md"), ("2", "Handbook.md"), ("2", "Needs_Action/general/N.md"),
    ]  # fmt: skip
    assert verdict.allowed == {
        "Needs_Action/email/n.md": None, "In_Progress/cloud/n.md": entry_of(b"one"),
    }  # fmt: skip


def test_a_change_of_what_was_refused_does_not_bring_it_in() -> None:
    bench = Bench()
    first = bench.commit({"In_Progress/cloud/t.md": b"one"}, n=1)
    change = Changed("In_Progress/cloud/t.md", entry_of(b"one"), bench.entry(b"two"))
    then = Commit("2" * 40, ("1" * 40,), "cloud", 0, (change,))
    assert bench.judge(first, then).allowed == {}


def test_a_secret_added_and_removed_again_is_found() -> None:
    bench = Bench()
    bench_secret = Blobs(
        lambda oids: {oid: bench.sizes[oid] for oid in oids},
        lambda oids: {oid: bench.data[oid] for oid in oids},
        lambda path, data: "it holds hunter2" if b"hunter2" in data else None,
    )
    first = bench.commit({"Plans/p.md": b"hunter2"}, n=1)
    gone = Commit("2" * 40, ("1" * 40,), "cloud", 0, (
        Changed("Plans/p.md", entry_of(b"hunter2"), None),
    ))  # fmt: skip
    verdict = judge([first, gone], dict.fromkeys((first.oid, gone.oid), CLOUD), bench.there,
                    bench_secret)  # fmt: skip
    assert [f.reason for f in verdict.findings] == ["it holds hunter2"]


FILE = entry_of(b"x")


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("n.md", Entry("120000", "a" * 40)), ("n.md", Entry("160000", "a" * 40)),
        ("n.md", Entry("100755", "a" * 40)), (".env", FILE), ("a/.gitattributes", FILE),
        (".gitmodules", FILE), ("a\\b.md", FILE), ("con.md", FILE), ("a/../b.md", FILE),
        ("n\u202e.md", FILE), ("\udcff.md", FILE), ("a /b.md", FILE), ("banking/x.md", FILE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("signer", [CLOUD, LAPTOP, PHONE, STRANGER])
def test_what_can_never_be_part_of_a_vault_is_refused_whoever_signs(
    path: str, entry: Entry, signer: Signer
) -> None:
    commit = Commit("c" * 40, ("b" * 40,), signer.name, 1, (Changed(path, None, entry),))
    gone = Commit("d" * 40, ("c" * 40,), signer.name, 2, (Changed(path, entry, None),))
    [finding] = Bench().judge(commit, gone, signer=signer).findings
    assert (finding.path, finding.reason) == (path, fault(path, entry))


def test_too_large_a_note_is_not_read() -> None:
    bench = Bench()
    large = b"x" * (256 * 1024 + 1)
    bench.refused({"Plans/p.md": large})
    assert entry_of(large).oid not in bench.asked


def chain(*signers: Signer) -> tuple[list[Commit], dict[str, Signer]]:
    commits = [
        Commit(f"{n:040x}", (f"{n - 1:040x}",), "", 0, ()) for n in range(1, len(signers) + 1)
    ]
    return commits, {c.oid: s for c, s in zip(commits, signers, strict=True)}


def test_judging_starts_after_the_laptops_newest_commit() -> None:
    commits, signers = chain(CLOUD, LAPTOP, STRANGER, LAPTOP, PHONE, CLOUD)
    assert list(start_of_judging(commits, signers)) == commits[4:]
    commits, signers = chain(CLOUD, PHONE)
    assert list(start_of_judging(commits, signers)) == commits, "a phone judges nothing"
    # A merge drags the laptop's old commit in: what is not its ancestor is judged all the same.
    evil = Commit("e" * 40, ("0" * 40,), "", 0, ())
    merge = Commit("f" * 40, ("e" * 40, commits[0].oid), "", 0, ())
    signers = {commits[0].oid: LAPTOP, evil.oid: STRANGER, merge.oid: STRANGER}
    assert list(start_of_judging([commits[0], evil, merge], signers)) == [evil, merge]


paths = st.sampled_from([
    *START, "Needs_Action/email/n.md", "In_Progress/cloud/t.md", "In_Progress/cloud/u.md",
    "Done/2026-11/v.md", "Approved/t-email-1.md", "Pending_Approval/email/t-email-1.md",
    "needs_action/email/t.md", "Plans/p.md", "Inbox/i.md",
])  # fmt: skip
puts = st.dictionaries(paths, st.sampled_from([None, b"one", TASK, V, W]), max_size=6)


@given(st.lists(puts, max_size=4))
def test_whatever_the_cloud_pushes_the_laptops_paths_stay(history: list[dict[str, bytes]]) -> None:
    """No commits change what only the laptop may write, lose a task or double one."""
    bench = Bench()
    commits: list[Commit] = []
    tree: dict[str, Entry] = {path: bench.entry(data) for path, data in START.items()}
    before = dict(tree)
    for n, put in enumerate(history):
        changes = tuple(
            Changed(path, tree.get(path), None if data is None else bench.entry(data))
            for path, data in put.items()
            if data is not None or path in tree
        )
        for change in changes:
            if change.after is None:
                tree.pop(change.path)
            else:
                tree[change.path] = change.after
        commits.append(Commit(f"{n:040x}", ("f" * 40,), "cloud", 0, changes))
    verdict = bench.judge(*commits)
    after = dict(before)
    for path, entry in verdict.allowed.items():
        after.pop(path, None)
        if entry:
            after[path] = entry
    own = ("Needs_Action/", "In_Progress/cloud/", "Plans/", "Updates/", "Done/", "Inbox/",
           "Pending_Approval/")  # fmt: skip
    for path, entry in before.items():
        if not path.startswith(own) or path.startswith(("Pending_Approval/", "Done/")):
            assert after[path] == entry
    assert not {p for p in after.keys() - before.keys() if not p.startswith(own)}
    names = [p.rpartition("/")[2].casefold() for p in after if p.split("/")[0] in {
        "Needs_Action", "In_Progress", "Pending_Approval", "Approved", "Done"}]  # fmt: skip
    assert len(names) == len(set(names)), "one name in one place"
    found = {p.rpartition("/")[2] for p in after} | set(after.values())
    for path, entry in before.items():
        assert path.rpartition("/")[2] in found or entry in found, "no note goes without a trace"
    for path, entry in before.items():
        assert bench.there.get(path) == entry, "the inventory is as it was"

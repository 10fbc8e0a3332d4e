"""Hostile histories in the hub: none changes a byte that the table forbids, every one is told.

The attacker has the cloud's key and the hub's repository. Behind each attack stands an honest
commit, which arrives; and each does its work on a disk whose engine has no gate (or, for what
is stopped below the gate, in a plain clone).
"""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import attacks  # noqa: F401 - fills the table
import pytest
from hostile import ATTACKS, GOOD, Bench, build

from nightdesk.errors import SyncHalted
from nightdesk.sync.signers import Key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where the desk lies, and a copy of how it was."""
    folder = tmp_path_factory.mktemp("hostile")
    build(folder / "desk")
    shutil.copytree(folder / "desk", folder / "kept", symlinks=True)
    return folder / "desk", folder / "kept"


@pytest.fixture
def bench(made: tuple[Path, Path]) -> Iterator[Bench]:
    desk, kept = made
    shutil.rmtree(desk)
    shutil.copytree(kept, desk, symlinks=True)
    there = Bench(desk)
    yield there
    there.close()


@pytest.mark.requirement("FR-002", "FR-004", "FR-005")
@pytest.mark.parametrize("name", ATTACKS)
def test_the_laptop_stays_as_it_was(bench: Bench, name: str) -> None:
    attack = ATTACKS[name]
    attack.make(bench)
    bench.good()
    assert attack.lands(bench), "without the gate it does its work"
    bench.show()
    report = bench.sync()
    told = {refusal.path for refusal in report.refused}
    reasons = {refusal.reason for refusal in report.refused}
    kept = {exhibit.path for exhibit in bench.exhibits()}
    shown = {path.encode("utf-8", "backslashreplace").decode() for path in attack.paths}
    assert shown <= told & kept, "every change is told, and kept as evidence"
    assert any(attack.reason in reason for reason in reasons), reasons
    expected = {**bench.before, **attack.kept, GOOD: b"good news\n"}
    files = bench.laptop.files()
    returned = [path for path in files.keys() - expected.keys() if path.startswith("Inbox/")]
    assert len(returned) == attack.inbox
    for path in returned:
        del files[path]
    assert files == {path: data for path, data in expected.items() if data is not None}
    assert not bench.tripwire.exists(), "nothing that came was run"
    in_hub = bench.in_hub()
    assert in_hub.keys() == bench.laptop.files().keys(), "undone in the hub"
    assert {entry.mode for entry in in_hub.values()} == {"100644"}
    tip = bench.forge.git("rev-parse", "main")
    again = bench.sync()
    assert (again.refused, again.changed) == ((), False)
    assert bench.forge.git("rev-parse", "main") == tip, "undone once"


# What git itself refuses --------------------------------------------------------------------

Break = Callable[[Bench], str]
"""Makes a tree that is no honest one, and returns its id."""


def _dots(name: bytes) -> Break:
    def make(bench: Bench) -> str:
        inner = bench.forge.rows([("100644", b"x", bench.forge.blob(b"x"))])
        return bench.forge.rows([("40000", name, inner)])

    return make


def _twice(bench: Bench) -> str:
    return bench.forge.rows([("100644", b"a.md", bench.forge.blob(n)) for n in (b"1", b"2")])


def _unsorted(bench: Bench) -> str:
    return bench.forge.rows([("100644", name, bench.forge.blob(b"1")) for name in (b"b", b"a")])


def _slash(bench: Bench) -> str:
    return bench.forge.rows([("100644", b"../x.md", bench.forge.blob(b"1"))])


def _tree_as_file(bench: Bench) -> str:
    return bench.forge.rows([("100644", b"n.md", bench.forge.rows([]))])


def _file_as_tree(bench: Bench) -> str:
    return bench.forge.rows([("40000", b"Updates", bench.forge.blob(b"1"))])


def _commit_as_file(bench: Bench) -> str:
    return bench.forge.rows([("100644", b"n.md", bench.start)])


def _no_blob(bench: Bench) -> str:
    return bench.forge.rows([("100644", b"n.md", "1" * 40)])


def _no_tree(bench: Bench) -> str:
    return "2" * 40


def _links_modules(bench: Bench) -> str:
    return bench.forge.rows([("120000", b".gitmodules", bench.forge.blob(b"/etc/passwd"))])


def _hostile_modules(bench: Bench) -> str:
    text = b'[submodule "x"]\n\tpath = x\n\turl = -u./evil\n'
    return bench.forge.rows([("100644", b".gitmodules", bench.forge.blob(text))])


BROKEN: dict[str, Break] = {
    "folder .git": _dots(b".git"),
    "folder .GIT": _dots(b".GIT"),
    "folder git~1": _dots(b"git~1"),
    "folder .git with a joiner": _dots(".g\u200cit".encode()),
    "folder ..": _dots(b".."),
    "folder .": _dots(b"."),
    "folder without a name": _dots(b""),
    "name with a slash": _slash,
    "one name twice": _twice,
    "not sorted": _unsorted,
    "a folder called a file": _tree_as_file,
    "a file called a folder": _file_as_tree,
    "a commit called a file": _commit_as_file,
    "bytes that are missing": _no_blob,
    "a folder that is missing": _no_tree,
    "submodules through a link": _links_modules,
    "submodules with an option as address": _hostile_modules,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_objects_stop_sync_until_the_hub_is_put_right(bench: Bench, name: str) -> None:
    """Git refuses them on arrival, and takes them where `fsckObjects` is off."""
    bench.tip = bench.forge.commit(BROKEN[name](bench), [bench.start], key=bench.stolen)
    bench.show()
    with pytest.raises(SyncHalted, match="objects that git refuses"):
        bench.sync()
    assert bench.laptop.files() == bench.before
    bench.clean_hub()
    bench.sync()
    assert bench.laptop.files() == {**bench.before, GOOD: b"good news\n"}


# The hub itself -----------------------------------------------------------------------------


def test_a_rewritten_history_stops_sync(bench: Bench) -> None:
    tree = bench.forge.tree({"Approved/f.md": bench.entry(b"forged")})
    bench.tip = bench.forge.commit(tree, [], key=bench.stolen)
    bench.good()
    with pytest.raises(SyncHalted, match="rewritten"):
        bench.sync()
    assert bench.laptop.files() == bench.before
    bench.clean_hub()
    bench.sync()
    assert bench.laptop.files() == {**bench.before, GOOD: b"good news\n"}


def test_a_line_beside_ours_stops_sync(bench: Bench) -> None:
    root = bench.forge.git("rev-list", "--max-parents=0", "main").decode().strip()
    bench.evil({"Approved/f.md": b"forged"}, upon=root)
    bench.good()
    with pytest.raises(SyncHalted, match="rewritten"):
        bench.sync()
    assert bench.laptop.files() == bench.before


@pytest.mark.parametrize("back", [True, False], ids=["set back", "deleted"])
def test_a_history_that_is_cut_off_is_pushed_again(bench: Bench, back: bool) -> None:
    if back:
        root = bench.forge.git("rev-list", "--max-parents=0", "main").decode().strip()
        bench.forge.git("update-ref", "refs/heads/main", root)
    else:
        bench.forge.git("update-ref", "-d", "refs/heads/main")
    bench.sync()
    assert bench.forge.git("rev-parse", "main").decode().strip() == bench.start
    assert bench.laptop.files() == bench.before


def test_other_refs_of_the_hub_mean_nothing(bench: Bench) -> None:
    """The hub's HEAD, tags, notes and replacements of honest commits by others."""
    evil = bench.evil({"Approved/f.md": b"forged"})
    bench.tip = bench.start
    bench.good()
    for ref in (f"replace/{bench.tip}", f"replace/{bench.start}", "heads/evil", "tags/main",
                "notes/commits", "remotes/origin/main", "nightdesk/base"):  # fmt: skip
        bench.forge.git("update-ref", f"refs/{ref}", evil)
    bench.forge.git("symbolic-ref", "HEAD", "refs/heads/evil")
    assert (bench.clone() / "Approved/f.md").exists(), "a plain clone follows them"
    assert bench.sync().refused == ()
    assert bench.laptop.files() == {**bench.before, GOOD: b"good news\n"}


@pytest.mark.parametrize("kind", ["nonsense", "nested", "a list", "large", "commit", "tree"])
def test_a_heartbeat_may_be_anything(bench: Bench, kind: str) -> None:
    oid = {
        "nonsense": lambda: bench.forge.blob(b"\xff\0"),
        "nested": lambda: bench.forge.blob(b"[" * 4000),
        "a list": lambda: bench.forge.blob(b"[1]"),
        "large": lambda: bench.forge.blob(b"x" * (24 << 20)),
        "commit": lambda: bench.start,
        "tree": lambda: bench.forge.rows([]),
    }[kind]()
    bench.forge.git("update-ref", "refs/heartbeat/cloud", oid)
    bench.good()
    bench.sync()
    assert bench.laptop.files() == {**bench.before, GOOD: b"good news\n"}
    assert bench.laptop.engine
    tracemalloc.start()
    beat = bench.laptop.engine.heartbeat("cloud")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert beat
    assert beat.status is None
    assert most < 1 << 20


def test_heartbeats_in_each_others_way_do_not_stop_the_notes(bench: Bench) -> None:
    bench.forge.git("update-ref", "refs/heartbeat/cloud", bench.forge.blob(b"{}"))
    bench.sync()
    bench.forge.git("update-ref", "-d", "refs/heartbeat/cloud")
    bench.forge.git("update-ref", "refs/heartbeat/cloud/x", bench.forge.blob(b"{}"))
    bench.good()
    assert bench.sync().offline == ""
    assert GOOD in bench.laptop.files()


# More than a small machine can take ---------------------------------------------------------


@pytest.mark.parametrize("key", ["cloud", "stranger"])
def test_bytes_that_grow_when_unpacked_are_never_read(bench: Bench, key: str) -> None:
    """64 MiB that travel as some 300 KiB."""
    bomb = b"\0" * (64 << 20)
    put = {"Attachments/n.pdf": bomb, "Updates/n.md": bomb, "Notes/n.md": bomb}
    bench.evil(put, key=bench.stolen if key == "cloud" else None)
    bench.good()
    bench.laptop.open()
    tracemalloc.start()
    report = bench.sync()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 48 << 20
    assert {refusal.path for refusal in report.refused} == set(put)
    assert bench.laptop.files() == {**bench.before, GOOD: b"good news\n"}


def test_very_many_empty_commits_pass_by(bench: Bench) -> None:
    """Also where one of them claims a signature in a form that git has never heard of."""
    tree = bench.forge.git("rev-parse", "main^{tree}").decode().strip()
    for n in range(600):
        header = b"gpgsig rubbish\n" if n == 300 else b""
        bench.tip = bench.forge.commit(tree, [bench.tip], header=header, at=f"{n} +0000")
    bench.good()
    assert bench.sync().refused == ()
    assert bench.laptop.files() == {**bench.before, GOOD: b"good news\n"}


def test_the_same_commits_by_the_owners_phone_are_honest(bench: Bench) -> None:
    """The control: what the table allows to the owner's devices comes in."""
    phone = Key.parse(bench.stranger.with_suffix(".pub").read_text())
    trust = bench.laptop.options["trust"]
    bench.laptop.options["trust"] = replace(trust, devices=(phone,))
    put = {"Approved/f.md": b"yes", "Handbook.md": b"mine\n", "Notes/mine.md": None}
    side = bench.evil({"Notes/side.md": b"side"}, upon=bench.start, key=bench.stranger)
    bench.tip = bench.start
    first = bench.evil(put, key=bench.stranger, author="local")
    bench.evil({"Notes/side.md": b"side"}, parents=(first, side), key=bench.stranger)
    bench.good()
    assert bench.sync().refused == ()
    expected = {**bench.before, **put, "Notes/side.md": b"side", GOOD: b"good news\n"}
    assert bench.laptop.files() == {p: d for p, d in expected.items() if d is not None}

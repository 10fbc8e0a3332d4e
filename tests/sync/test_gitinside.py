"""Git inside this process gives the answers of the real git: the same random work by both."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gitinside import GitInside

from nightdesk.errors import HubUnreachable
from nightdesk.sync import process
from nightdesk.sync.clone import BASE, MAIN, step_along
from nightdesk.sync.entries import Entry, entry_of
from nightdesk.sync.git import Git
from nightdesk.sync.outside import create_bare
from nightdesk.sync.pushes import Push, PushOutcome
from nightdesk.sync.signers import STRANGER, Key, Trust
from nightdesk.sync.signing import KEY_FILE, signing_key
from nightdesk.sync.trees import Trees

PATHS = (
    "Notes/a.md", "Notes/b.md", "Notes/deep/c.md", "Notes-2/d.md", "Notes.md", "Inbox/é ü.md",
    "Needs_Action/email/t.md", "zz\udcff.md", ".hidden/x.md",
)  # fmt: skip
BEATS = "+refs/heartbeat/*:refs/nightdesk/heartbeat/*"
NAMES = (
    "a.session",
    "b/c.session",
    "Private/x",
    "x/Private",
    ".env.local",
    "Notes-2/d.md",
    "ok.md",
)


class Pair:
    """The same clone twice: one worked by the real git, one in this process."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside = GitInside()
        self.real = process.run
        self.use: Callable[..., process.Result] = self.real
        self.now = 1_790_000_000
        monkeypatch.setattr("nightdesk.sync.git.run", self.run)
        self.keys: dict[str, tuple[Key, bytes]] = {}
        self.gits: list[list[Git]] = []
        self.trees: list[list[Trees]] = []
        for name in ("real", "inside"):
            hub = root / name / "hub.git"
            create_bare(hub)
            gits = []
            for clone in ("one", "two"):
                vault, state = root / name / clone, root / name / f"{clone}-state"
                vault.mkdir()
                state.mkdir()
                (vault / ".gitignore").write_text(".env*\n*.session\nPrivate/\nNotes-2\n")
                key = self.key(clone, state)
                gits.append(Git(vault, state, str(hub), clone, key=key))
                gits[-1].init()
            self.gits.append(gits)
            self.trees.append([Trees(git) for git in gits])

    def key(self, name: str, state: Path) -> Path:
        """The same key for both: then the same commits have the same ids."""
        file = state / KEY_FILE
        if name in self.keys:
            file.write_bytes(self.keys[name][1])
            file.chmod(0o600)
        else:
            public = signing_key(state, name)
            self.keys[name] = (public, file.read_bytes())
        return file

    def run(self, *arguments: Any, **options: Any) -> process.Result:
        date = f"@{self.now} +0000"
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        options["environment"] = {**options["environment"], **dates}
        return self.use(*arguments, **options)

    def both(self, clone: int, work: Callable[[Git, Trees], Any]) -> Any:
        answers = []
        for number, run in enumerate((self.real, self.inside.run)):
            self.use = run
            try:
                answers.append(work(self.gits[number][clone], self.trees[number][clone]))
            except HubUnreachable:
                answers.append(HubUnreachable)
        assert answers[0] == answers[1]
        return answers[0]


def chosen(chance: random.Random, some: dict[str, bytes]) -> dict[str, Entry | None]:
    changes: dict[str, Entry | None] = {}
    for path in chance.sample(PATHS, chance.randint(1, 4)):
        data = b"%d\n" % chance.randint(0, 30)
        some[path] = data
        mode = chance.choice(["100644"] * 6 + ["120000", "100755"])
        changes[path] = Entry(mode, entry_of(data).oid) if chance.random() < 0.8 else None
    return changes


@pytest.mark.parametrize("seed", range(2))
def test_the_same_random_work_by_both(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    pair = Pair(tmp_path, monkeypatch)
    tips: list[str | None] = [None, None]
    outcomes = {work_once(pair, chance, tips, chance.randint(0, 1)) for _ in range(17)}
    outcomes |= {work_once(pair, chance, tips, clone, fetch=False) for clone in (0, 1, 0)}
    commits = pair.both(0, lambda git, trees: git.log(None, str(tips[0])))
    signers_of(pair, [commit.oid for commit in commits])
    _away_and_back(pair, tmp_path)
    assert outcomes == {PushOutcome.ACCEPTED, PushOutcome.LOST}
    for name in ("one", "two", "hub.git"):
        assert _fsck(pair, tmp_path / "inside" / name) == ""
    here_done = {word for word in pair.inside.counts if not word.endswith(", real")}
    assert here_done == {
        "rev-parse", "for-each-ref", "update-ref", "merge-base", "log", "config", "cat-file",
        "fast-import", "commit-tree", "ls-tree", "diff-tree", "read-tree", "check-ignore",
        "fetch", "push", "ls-remote", "verify-commit",
    }  # fmt: skip


def work_once(
    pair: Pair, chance: random.Random, tips: list[str | None], clone: int, *, fetch: bool = True
) -> PushOutcome:
    """Fetch perhaps, then commit something and push it; ask everything on the way."""
    pair.now += chance.randint(-5, 50)
    if fetch and chance.random() < 0.5:
        pair.both(clone, lambda git, trees: git.fetch([f"+{MAIN}:refs/nightdesk/hub", BEATS]))
        tip = pair.both(clone, lambda git, trees: git.resolve("refs/nightdesk/hub"))
        old = tips[clone]
        if tip and old:
            pair.both(clone, lambda git, trees: git.is_ancestor(old, tip))
            pair.both(clone, lambda git, trees: git.is_ancestor(tip, old))
            pair.both(clone, lambda git, trees: git.diff(old, tip))
        if tip:
            pair.both(clone, lambda git, trees: git.log(old, tip))
            pair.both(clone, lambda git, trees: git.log(None, tip))
            pair.both(clone, lambda git, trees: git.tree_of(tip))
            tips[clone] = tip
    some: dict[str, bytes] = {}
    changes = chosen(chance, some)
    oids = [entry_of(data).oid for data in some.values()]
    pair.both(clone, lambda git, trees: git.write(list(some.values())))
    start = tips[clone]
    tree = pair.both(clone, lambda git, trees: trees.write(start, changes))
    parents = [start] if start else []
    commit = pair.both(clone, lambda git, trees: git.commit(tree, parents, "wörk"))
    if start:
        pair.both(clone, lambda git, trees: git.common(start, commit))
    pair.both(clone, lambda git, trees: git.sizes([*oids, "1" * 40]))
    pair.both(clone, lambda git, trees: git.update_refs((BASE, commit)))
    pair.both(clone, lambda git, trees: step_along(git, commit))
    pair.both(clone, lambda git, trees: git.resolve(f"{BASE}^{{tree}}"))
    pair.both(clone, lambda git, trees: git.read(oids))
    lease = (start or "") if chance.random() < 0.5 else ""
    pushed: Push = pair.both(
        clone, lambda git, trees: git.push(f"{commit}:{MAIN}", only_if_at=lease)
    )
    if pushed.outcome is PushOutcome.ACCEPTED:
        tips[clone] = commit
    pair.both(clone, lambda git, trees: git.push(f"+{oids[0]}:refs/heartbeat/x"))
    pair.both(clone, lambda git, trees: git.refs())
    pair.both(clone, lambda git, trees: git.ignored(NAMES))
    pair.both(clone, lambda git, trees: git.origin()[-7:])
    return pushed.outcome


def signers_of(pair: Pair, commits: list[str]) -> None:
    """Known, unknown and changed keys, no signature at all: both say the same."""
    one, two = (pair.keys[name][0] for name in ("one", "two"))

    def broken(git: Git, trees: Trees) -> str:
        kind, data = pair_object(git, commits[0])
        assert kind == "commit"
        return put_object(pair, git, data.replace(b"w\xc3\xb6rk", b"work"))

    changed = pair.both(0, broken)
    tree = pair.both(0, lambda git, trees: git.resolve(f"{commits[0]}^{{tree}}"))
    bare = pair.both(0, lambda git, trees: git.commit(tree, [], "x", signed=False))
    for trust in (Trust(owner=(one,), cloud=(two,)), Trust(devices=(two,)), Trust(cloud=(one,))):
        wanted = [*commits, changed, bare]
        found = pair.both(0, lambda git, trees, t=trust, w=wanted: git.signers(w, t))
        assert found[changed] == found[bare] == STRANGER
        assert bool(set(found.values()) - {STRANGER})


def pair_object(git: Git, oid: str) -> tuple[str, bytes]:
    out = git.call("cat-file", "--batch", stdin=f"{oid}\n".encode()).out
    head, _, rest = out.partition(b"\n")
    return head.split()[1].decode(), rest[:-1]


def put_object(pair: Pair, git: Git, data: bytes) -> str:
    """Written by the real git for both."""
    pair.use, use = pair.real, pair.use
    try:
        said = git.call("hash-object", "-t", "commit", "-w", "--stdin", stdin=data)
    finally:
        pair.use = use
    return said.out.decode().strip()


def _away_and_back(pair: Pair, root: Path) -> None:
    for name in ("real", "inside"):
        (root / name / "hub.git").rename(root / name / "away")
    assert pair.both(0, lambda git, trees: git.fetch([f"+{MAIN}:refs/x"])) is (HubUnreachable)
    said = pair.both(0, lambda git, trees: git.push(f"{BASE}:{MAIN}").outcome)
    assert said is PushOutcome.UNKNOWN
    for name in ("real", "inside"):
        (root / name / "away").rename(root / name / "hub.git")


def _fsck(pair: Pair, folder: Path) -> str:
    git_dir = folder if folder.suffix else folder / ".git"
    result = pair.real(folder, ["fsck", "--strict", "--no-dangling"],
                       environment={"GIT_DIR": str(git_dir)})  # fmt: skip
    said = result.out.decode("utf-8", "replace") + result.err
    return "".join(line for line in said.splitlines(keepends=True) if "notice: " not in line)

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
from nightdesk.sync.clone import BASE, MAIN
from nightdesk.sync.entries import Entry, entry_of
from nightdesk.sync.git import Git, Push, PushOutcome
from nightdesk.sync.outside import create_bare
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
                gits.append(Git(vault, state, str(hub), clone))
                gits[-1].init()
            self.gits.append(gits)
            self.trees.append([Trees(git, git.state / "index") for git in gits])

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
    outcomes = {work_once(pair, chance, tips, chance.randint(0, 1)) for _ in range(20)}
    _away_and_back(pair, tmp_path)
    assert outcomes == {PushOutcome.ACCEPTED, PushOutcome.LOST}
    for name in ("one", "two", "hub.git"):
        assert _fsck(pair, tmp_path / "inside" / name) == ""
    here_done = {word for word in pair.inside.counts if not word.endswith(", real")}
    assert here_done == {
        "rev-parse", "for-each-ref", "update-ref", "merge-base", "log", "config", "cat-file",
        "fast-import", "commit-tree", "ls-tree", "diff-tree", "read-tree", "update-index",
        "write-tree", "check-ignore", "fetch", "push",
    }  # fmt: skip


def work_once(pair: Pair, chance: random.Random, tips: list[str | None], clone: int) -> PushOutcome:
    """Fetch perhaps, then commit something and push it; ask everything on the way."""
    pair.now += chance.randint(-5, 50)
    if chance.random() < 0.5:
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
    pair.both(clone, lambda git, trees: git.update_refs((BASE, commit)))
    pair.both(clone, lambda git, trees: git.resolve(f"{BASE}^{{tree}}"))
    pair.both(clone, lambda git, trees: git.read(oids))
    pushed: Push = pair.both(clone, lambda git, trees: git.push(f"{commit}:{MAIN}"))
    if pushed.outcome is PushOutcome.ACCEPTED:
        tips[clone] = commit
    pair.both(clone, lambda git, trees: git.push(f"+{oids[0]}:refs/heartbeat/x"))
    pair.both(clone, lambda git, trees: git.refs())
    pair.both(clone, lambda git, trees: git.ignored(NAMES))
    pair.both(clone, lambda git, trees: git.origin()[-7:])
    return pushed.outcome


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

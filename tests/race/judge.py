"""The judge of the race: it reads the hub's history and the agents' ledgers, nothing else.

Plain `git log` and `git cat-file` on the bare repository; nothing of Nightdesk is imported, so
that one misunderstanding cannot sit in both. Along the first parents, at every commit:

- a task's file is in exactly one place, never gone, never twice;
- it goes `Needs_Action/` -> one `In_Progress/<agent>/` -> `Done/`; the one way back is a
  hand-back to `Needs_Action/`; from one owner to another leads no direct way;
- a claim is made by the commit of that very agent and changes no byte.

At the end each task lies in `Done/`, with the bytes it began with, or with the one line of
result that the agents are told to append to some.

A ledger is an agent's own append-only file outside the vault: one JSON object a line,
`{"do": "work", "task": <file name>, "tip": <hub commit>}`, flushed before the work goes on. At
`tip` the task must be that agent's, and no two agents may have worked one task. The same agent
may have worked it again, but only after its own crash (`{"do": "start"}` begins each of its
lives); that it was still its own then, the first rule says.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULT = b"\n> worked: the result stands here\n"
"""What an agent may append to a task (once) while it has it."""

_PLACE = re.compile(r"(?:(Needs_Action|Done)/(?:.*/)?|(In_Progress)/([^/]+)/)([^/]+\.md)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach.

    Attributes:
        kind: two places | gone | wrong way | foreign claim | changed claim | stray file |
            not done | changed text | worked by two | worked again | worked unowned.
        task: file name.
        what: where and how.
    """

    kind: str
    task: str
    what: str


@dataclass(slots=True)
class Ruling:
    """What the history says.

    Attributes:
        tasks: how many there are.
        commits: how many were looked at.
        finished: agent -> how many tasks went from its hands to `Done/`.
        claimed, handed_back: moves into and out of `In_Progress/`.
        worked: lines in the ledgers; more than `tasks` after crashes in the middle of work.
    """

    tasks: int = 0
    commits: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    claimed: Counter[str] = field(default_factory=Counter)
    handed_back: int = 0
    worked: int = 0
    findings: list[Finding] = field(default_factory=list)

    def kinds(self) -> Counter[str]:
        """How many findings there are of each kind."""
        return Counter(finding.kind for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Commit:
    oid: str
    author: str
    changes: tuple[tuple[str, str | None], ...]
    """(path, blob id or None where it was removed)."""


def judge(hub: Path, ledgers: Mapping[str, Path]) -> Ruling:
    """Judge a finished race.

    Args:
        hub: the bare repository.
        ledgers: agent -> its ledger; one that was never written counts as empty.
    """
    return _Judge(hub).rule(ledgers)


class _Judge:
    def __init__(self, hub: Path) -> None:
        self.hub = hub
        self.ruling = Ruling()
        self.at: dict[str, dict[str, str]] = {}
        """Task -> the paths where it lies now, with their blobs."""
        self.first: dict[str, str] = {}
        self.owned: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """Task -> (number of the commit, owner from then on or "")."""
        self.number: dict[str, int] = {}

    def rule(self, ledgers: Mapping[str, Path]) -> Ruling:
        for commit in _history(self.hub):
            self.number[commit.oid] = self.ruling.commits
            self.look(commit)
            self.ruling.commits += 1
        self.ruling.tasks = len(self.first)
        self.the_end()
        for agent, ledger in ledgers.items():
            self.read_ledger(agent, ledger)
        self.nobody_twice(ledgers)
        return self.ruling

    def find(self, kind: str, task: str, what: str) -> None:
        self.ruling.findings.append(Finding(kind, task, what))

    # The history ------------------------------------------------------------------------

    def look(self, commit: _Commit) -> None:
        touched: dict[str, dict[str, str]] = {}
        seeding = not self.number or commit.author == "seed" or self.number[commit.oid] == 0
        for path, blob in commit.changes:
            match = _PLACE.fullmatch(path)
            if match is None:
                if not seeding:
                    self.find("stray file", path, commit.oid)
                continue
            task = match[4]
            if task not in self.first:
                if not seeding or blob is None:
                    self.find("stray file", task, f"{path} in {commit.oid}")
                    continue
                self.first[task] = blob
            places = self.at.setdefault(task, {})
            touched.setdefault(task, dict(places))
            if blob is None:
                places.pop(path, None)
            else:
                places[path] = blob
        for task, before in touched.items():
            self.look_at_task(commit, task, before, self.at[task])

    def look_at_task(
        self, commit: _Commit, task: str, before: Mapping[str, str], now: Mapping[str, str]
    ) -> None:
        number = self.number[commit.oid]
        if len(now) != 1:
            kind = "two places" if now else "gone"
            self.find(kind, task, f"{sorted(now)} in {commit.oid} of {commit.author}")
        owners = sorted({_owner(path) for path in now} - {""})
        self.owned[task].append((number, "+".join(owners)))
        if len(now) != 1 or len(before) != 1:
            return
        (old, old_blob), (new, new_blob) = *before.items(), *now.items()
        was, step = _owner(old), (old.split("/")[0], new.split("/")[0])
        owner = _owner(new)
        if step == ("Needs_Action", "In_Progress"):
            self.ruling.claimed[owner] += 1
            if commit.author != owner:
                self.find("foreign claim", task, f"{new} by {commit.author}, {commit.oid}")
            if old_blob != new_blob:
                self.find("changed claim", task, f"{new} in {commit.oid}")
        elif step == ("In_Progress", "Done"):
            self.ruling.finished[was] += 1
        elif step == ("In_Progress", "Needs_Action"):
            self.ruling.handed_back += 1
        elif old != new:
            self.find("wrong way", task, f"{old} -> {new} in {commit.oid} of {commit.author}")

    def the_end(self) -> None:
        blobs = {blob for places in self.at.values() for blob in places.values()}
        data = _read(self.hub, sorted(blobs | set(self.first.values())))
        for task, first in self.first.items():
            places = self.at[task]
            done = [path for path in places if path.startswith("Done/")]
            if len(done) != 1 or len(places) != 1:
                self.find("not done", task, f"in the end in {sorted(places)}")
                continue
            if data[places[done[0]]] not in {data[first], data[first] + RESULT}:
                self.find("changed text", task, done[0])

    # The ledgers ------------------------------------------------------------------------

    def read_ledger(self, agent: str, ledger: Path) -> None:
        in_this_life: set[str] = set()
        for line in _lines(ledger):
            if line["do"] == "start":
                in_this_life.clear()
            if line["do"] != "work":
                continue
            self.ruling.worked += 1
            if line["task"] in in_this_life:
                self.find("worked again", line["task"], f"by {agent}, which had not crashed")
            in_this_life.add(line["task"])
            owner = self.owner_at(line["task"], line["tip"])
            if owner != agent:
                what = f"by {agent} at {line['tip']}, where it was of {owner or 'nobody'}"
                self.find("worked unowned", line["task"], what)

    def owner_at(self, task: str, tip: str) -> str | None:
        """Whose the task was in the hub at a commit; None for an unknown task or commit."""
        if tip not in self.number or task not in self.first:
            return None
        number = self.number[tip]
        return next((who for at, who in reversed(self.owned[task]) if at <= number), None)

    def nobody_twice(self, ledgers: Mapping[str, Path]) -> None:
        workers: dict[str, set[str]] = {task: set() for task in self.first}
        for agent, ledger in ledgers.items():
            for line in _lines(ledger):
                if line["do"] == "work":
                    workers.setdefault(line["task"], set()).add(agent)
        for task, agents in workers.items():
            if len(agents) > 1:
                self.find("worked by two", task, " and ".join(sorted(agents)))
            elif not agents and any(path.startswith("Done/") for path in self.at[task]):
                self.find("worked unowned", task, "done, and nobody has worked it")


def _owner(path: str) -> str:
    match = _PLACE.fullmatch(path)
    return (match[3] or "") if match else ""


def _lines(ledger: Path) -> list[dict[str, str]]:
    text = ledger.read_text("utf-8") if ledger.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _git(hub: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    command = ["git", "-C", str(hub), *arguments]
    return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout


def _history(hub: Path) -> Iterator[_Commit]:
    out = _git(
        hub, "log", "-z", "--first-parent", "-m", "--reverse", "--root", "--raw", "-r",
        "--no-renames", "--no-abbrev", "--format=%x01%H %an", "refs/heads/main",
    ).decode("utf-8")  # fmt: skip
    for part in out.split("\x01")[1:]:
        head, *rows = [row.lstrip("\n") for row in part.split("\0")]
        oid, _, author = head.partition(" ")
        rows = [row for row in rows if row]
        changes = []
        for meta, path in zip(rows[::2], rows[1::2], strict=True):
            _, _, _, blob, _ = meta.split(" ")
            changes.append((path, None if set(blob) == {"0"} else blob))
        yield _Commit(oid, author, tuple(changes))


def _read(hub: Path, oids: Sequence[str]) -> dict[str, bytes]:
    out = _git(hub, "cat-file", "--batch", stdin="".join(f"{o}\n" for o in oids).encode())
    found: dict[str, bytes] = {}
    at = 0
    for _ in oids:
        end = out.index(b"\n", at)
        oid, _, size = out[at:end].decode().split(" ")
        found[oid] = out[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found


if __name__ == "__main__":
    named = dict(pair.split("=", 1) for pair in sys.argv[2:])
    ruled = judge(Path(sys.argv[1]), {agent: Path(path) for agent, path in named.items()})
    print(ruled)
    sys.exit(bool(ruled.findings))

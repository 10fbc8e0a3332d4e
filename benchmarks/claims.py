"""Batched claims per second, beside bare git plumbing in the same run.

One worker claims tasks 50 a push from a bare hub on the same disk. Two ways take turns, push by
push, on two hubs with the same notes, so that both see the same machine:

- nightdesk: `Engine.claim`, up to the moved and flushed files in the vault;
- plumbing: update-index, write-tree, commit-tree and push with a private index that stays in
  step, no fetch, no work tree, nothing looked at; and once more with a signed commit.

Then 1, 2 and 4 processes, each with its own clone, claim from one list until nothing is left.

`python benchmarks/claims.py [NOTES] [PUSHES]` prints two tables; the number to hold is nightdesk at
least 0.4 of plumbing (docs/design.md, section 11).
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "race"))

from conductor import NAMES, Agent, join_agents, make_task

from nightdesk.policy import Role

BATCH = 50
NEW, OLD = "In_Progress/local/", "Needs_Action/general/"


class Plumbing:
    """The least that git needs for a claim."""

    def __init__(self, root: Path, hub: Path, key: Path | None = None) -> None:
        self._clone = root / f"plumbing-{'signed' if key else 'bare'}"
        self._hub = self._clone.with_suffix(".git")
        shutil.copytree(hub, self._hub)
        self._environment = {
            **os.environ,
            "GIT_INDEX_FILE": str(self._clone / ".git" / "private-index"),
            "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.com",
            "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.com",
        }  # fmt: skip
        subprocess.run(
            ["git", "clone", "-q", "--no-checkout", str(self._hub), str(self._clone)], check=True
        )
        self._sign = ["-S"] if key else []
        if key:
            for name, value in (("gpg.format", "ssh"), ("user.signingkey", str(key))):
                self._git("config", name, value)
        self._tip = self._git("rev-parse", "origin/main")
        self._git("read-tree", self._tip)
        rows = self._git("ls-files", "-s", OLD).splitlines()
        self._oids = {path: meta.split()[1] for meta, path in (row.split("\t") for row in rows)}

    def claim(self, paths: list[str]) -> None:
        """Claim these; the hub must accept."""
        lines = [f"0 {'0' * 40}\t{path}\n" for path in paths]
        lines += [f"100644 {self._oids[p]}\t{NEW}{p.removeprefix(OLD)}\n" for p in paths]
        self._git("update-index", "--index-info", stdin="".join(lines))
        tree = self._git("write-tree")
        self._tip = self._git("commit-tree", tree, "-p", self._tip, "-m", "claim", *self._sign)
        self._git("push", "-q", "origin", f"{self._tip}:refs/heads/main")

    def _git(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self._clone, env=self._environment, check=True,
            input=stdin, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()


def _timed(claim: Callable[[list[str]], object], paths: list[str]) -> float:
    start = time.perf_counter()
    claim(paths)
    return time.perf_counter() - start


def main(notes: int, pushes: int) -> None:
    """Take turns and print what each claim cost."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tasks = {f"{OLD}{make_task(n)[0]}": make_task(n)[1] for n in range(pushes * BATCH)}
        filed = {f"Done/2026-01/old-{n:06}.md": b"# Filed\n" for n in range(notes - len(tasks))}
        agent = join_agents(root, ["local"], {**tasks, **filed})["local"]
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / "key")], check=True
        )
        ways = {
            "plumbing": Plumbing(root, agent.hub).claim,
            "plumbing, signed": Plumbing(root, agent.hub, root / "key").claim,
        }
        engine = agent.engine()
        engine.open()
        engine.cycle()

        def nightdesk(paths: list[str]) -> None:
            assert len(engine.claim(paths)) == len(paths)

        ways["nightdesk"] = nightdesk
        paths = sorted(tasks)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for start in range(0, len(paths), BATCH):
            for name, claim in ways.items():
                seconds[name].append(_timed(claim, paths[start : start + BATCH]))
        engine.close()
    best = statistics.median(seconds["plumbing"])
    print(f"{notes} notes, {pushes} pushes of {BATCH} claims")
    print(f"{'way':<20}{'ms/push p50':>12}{'claims/s':>10}{'of plumbing':>13}")
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"{name:<20}{middle * 1e3:>12.1f}{BATCH / middle:>10.0f}{best / middle:>13.2f}")


def contend(number: int, tasks: int, batch: int) -> None:
    """Let so many processes claim from one list, and print how fast and how fairly."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        notes = {f"{OLD}{make_task(n)[0]}": make_task(n)[1] for n in range(tasks)}
        agents = join_agents(root, NAMES[:number], notes).values()
        racers = [
            subprocess.Popen(
                [sys.executable, __file__, "claimer", str(root), a.name, a.role, str(batch)],
                stdout=subprocess.PIPE, text=True,
            )
            for a in agents
        ]  # fmt: skip
        while len(list(root.glob("*.ready"))) < number:
            time.sleep(0.01)
        start = time.perf_counter()
        (root / "start").touch()
        won = [[int(n) for n in racer.communicate()[0].split()] for racer in racers]
        seconds = time.perf_counter() - start
    assert sum(claims for claims, _ in won) == tasks
    split = "/".join(str(claims) for claims, _ in won)
    calls = sum(calls for _, calls in won)
    print(f"{number:<10}{batch:>8}{tasks / seconds:>10.0f}{calls:>8}   {split}")


def claimer(root: Path, name: str, role: Role, batch: int) -> None:
    """One process of `contend`: prints how many tasks it won, in how many calls."""
    agent = Agent(root, name, role)
    engine = agent.engine()
    engine.open()
    engine.cycle()
    left = sorted(
        str(p.relative_to(agent.vault)) for p in (agent.vault / "Needs_Action").rglob("*.md")
    )
    (root / f"{name}.ready").touch()
    while not (root / "start").exists():
        time.sleep(0.001)
    won = calls = 0
    while mine := engine.claim(left, most=batch):
        won += len(mine)
        calls += 1
    engine.close()
    print(won, calls)


if __name__ == "__main__":
    if sys.argv[1:2] == ["claimer"]:
        claimer(Path(sys.argv[2]), sys.argv[3], Role(sys.argv[4]), int(sys.argv[5]))
        sys.exit()
    given = [int(text) for text in sys.argv[1:]]
    main(*[*given, *(5_000, 30)[len(given) :]])
    print(f"\n{'processes':<10}{'a push':>8}{'claims/s':>10}{'won':>8}   split")
    for processes in (1, 2, 4):
        for a_push in (1, 10, 50):
            contend(processes, 60 * a_push if a_push < 50 else 2_000, a_push)

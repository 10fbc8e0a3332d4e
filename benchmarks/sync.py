"""Sync in numbers, beside bare git and beside the usual loop, all in one run.

1. A change on one side -> on the other side's disk, real daemons, a vault of 10,000 notes.
2. One cycle with one changed note at 1,000 / 10,000 / 100,000 notes (`sync_cycle.py`), and the same
   change by bare plumbing (private index) and by `add -A; commit; pull --rebase; push`.
3. Claims per second beside bare plumbing (`claims.py`).

`python benchmarks/sync.py [NOTES ...]` prints the tables; docs/numbers.md has the goals.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))

from desk import Desk, wait

from nightdesk.local_agent.demo_mail import MailServer

HERE = Path(__file__).parent
ROUNDS = 15
LATENCY_NOTES = 10_000


def latency(rounds: int = 2 * ROUNDS) -> None:
    """A note saved on the laptop until the cloud has it, and a plan of the cloud's back."""
    there: list[float] = []
    back: list[float] = []
    with tempfile.TemporaryDirectory() as folder, MailServer(Path(folder) / "mail") as mail:
        desk = Desk(Path(folder), mail)
        local, cloud = desk.vault("local"), desk.vault("cloud")
        for number in range(LATENCY_NOTES):
            note = local / "Notes" / f"{number % 200:03}" / f"note-{number:06}.md"
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"Note {number}\n" + "text " * 60)
        desk.set_up()
        with desk.running("cloud"), desk.running("local"):
            wait(lambda: '"started"' in desk.log("local"), "start", 120)
            time.sleep(10)
            for number in range(rounds):
                for source, target, path, took in (
                    (local, cloud, f"Notes/new-{number}.md", there),
                    (cloud, local, f"Plans/plan-{number}.md", back),
                ):
                    (source / path).parent.mkdir(exist_ok=True)
                    (source / path).write_text(f"{number}\n")
                    start = time.perf_counter()
                    while not (target / path).exists():
                        time.sleep(0.005)
                    took.append(time.perf_counter() - start)
                    time.sleep(0.5)
    print(f"{'what (10,000 notes)':<44}{'p50 (s)':>9}{'p99 (s)':>9}{'n':>6}")
    for what, values in (("laptop -> cloud's disk", there), ("cloud -> laptop's disk", back)):
        ranked = sorted(values)
        p99 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
        print(f"{what:<44}{ranked[len(ranked) // 2]:>9.3f}{p99:>9.3f}{len(ranked):>6}")


class Clone:
    """A plain clone with so many notes, and a hub, worked with git alone."""

    def __init__(self, root: Path, notes: int) -> None:
        self.root = root / "plain"
        self.hub = root / "plain.git"
        self.git("init", "-q", "--bare", "-b", "main", str(self.hub), cwd=root)
        self.git("clone", "-q", str(self.hub), str(self.root), cwd=root)
        for number in range(notes):
            note = self.root / "Notes" / f"{number % 200:03}" / f"note-{number:06}.md"
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"Note {number}\n" + "text " * 60)
        self.git("checkout", "-q", "-B", "main")
        self.git("add", "-A")
        self.git("commit", "-qm", "all")
        self.git("push", "-q", "-u", "origin", "main")
        self.index = {"GIT_INDEX_FILE": str(root / "index")}
        self.git("read-tree", "HEAD", env=self.index)

    def git(
        self, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> str:
        who = {f"GIT_{a}_{b}": "x" for a in ("AUTHOR", "COMMITTER") for b in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *arguments], cwd=cwd or self.root, env={**os.environ, **who, **(env or {})},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def note(self, number: int) -> str:
        return f"Notes/{number % 200:03}/note-{number:06}.md"

    def usual_loop(self, number: int) -> None:
        """What most tools do."""
        with (self.root / self.note(number)).open("a") as file:
            file.write("more\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "auto")
        self.git("pull", "-q", "--rebase")
        self.git("push", "-q")

    def plumbing(self, number: int) -> None:
        """The least that git needs; nothing is looked at."""
        file = self.root / self.note(number)
        with file.open("a") as out:
            out.write("more\n")
        self.git("fetch", "-q")
        blob = self.git("hash-object", "-w", str(file))
        cache = f"100644,{blob},{self.note(number)}"
        self.git("update-index", "--cacheinfo", cache, env=self.index)
        tree = self.git("write-tree", env=self.index)
        commit = self.git("commit-tree", tree, "-p", "origin/main", "-m", "x")
        self.git("push", "-q", "origin", f"{commit}:refs/heads/main")


def timed(act: Callable[[int], None]) -> float:
    """The median of some rounds, in seconds."""
    took: list[float] = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        act(number)
        took.append(time.perf_counter() - start)
    return sorted(took)[ROUNDS // 2]


def beside(notes: int) -> None:
    """The same change by git alone."""
    with tempfile.TemporaryDirectory() as folder:
        plain = timed(Clone(Path(folder), notes).usual_loop)
    with tempfile.TemporaryDirectory() as folder:
        bare = timed(Clone(Path(folder), notes).plumbing)
    print(f"{notes:>8} {'usual loop (add -A, commit, pull, push)':<42}{plain:>9.3f}")
    print(f"{notes:>8} {'bare plumbing, one note':<42}{bare:>9.3f}", flush=True)


def main(sizes: list[int]) -> None:
    """Print everything."""
    latency()
    print()
    for notes in sizes:
        subprocess.run([sys.executable, str(HERE / "sync_cycle.py"), str(notes)], check=True)
        beside(notes)
    print()
    subprocess.run([sys.executable, str(HERE / "claims.py")], check=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1000, 10_000, 100_000])

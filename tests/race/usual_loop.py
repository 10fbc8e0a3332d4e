"""The usual way to claim through git, as the judge's proof: it must be found guilty.

`python usual_loop.py CLONE NAME LEDGER MEET AGENTS`: pull --rebase, move the task to the agent's
folder and write who has it on top, add -A, commit, push; a refused push is pulled and pushed
again. An accepted push counts as a claim. The first commit of each agent is made before any of
them is pushed (they meet in the folder MEET): one of the many ways in which two machines' steps
can fall, and so the proof does not wait for luck.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class UsualLoop:
    """One agent of the usual kind."""

    def __init__(self, clone: Path, name: str, ledger: Path) -> None:
        self.clone = clone
        self.name = name
        self.ledger = ledger

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        identity = ["-c", f"user.name={self.name}", "-c", f"user.email={self.name}@example.com"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.clone, check=check, capture_output=True,
            text=True,
        )  # fmt: skip

    def run(self, meet: Path, agents: int) -> None:
        """Claim and file until nothing is left."""
        while True:
            self.git("pull", "-q", "--rebase", "origin", "main")
            tasks = sorted((self.clone / "Needs_Action" / "general").glob("*.md"))
            if not tasks:
                return
            mine = self.clone / "In_Progress" / self.name / tasks[0].name
            self.move(tasks[0], mine, self.properties())
            self.commit(f"claim {mine.name}")
            self.wait_for_all(meet, agents)
            if not self.push():
                continue  # a conflict: given up, looked at again
            tip = self.git("rev-parse", "HEAD").stdout.strip()
            with self.ledger.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"do": "work", "task": mine.name, "tip": tip}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if mine.exists():
                self.move(mine, self.clone / "Done" / "2026-11" / mine.name, "")
                self.commit(f"done {mine.name}")
                self.push()

    def properties(self) -> str:
        """What is commonly noted at a claim; longer than the short note itself."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return (
            f"---\nclaimed_by: {self.name}\nclaimed_at: {now}\nclaimed_from: Needs_Action\n"
            f"status: in_progress\nworker_process: {os.getpid()}\nlease_seconds: 900\n"
            "attempt: 1\npriority: normal\nreview: after the work is finished\n---\n"
        )

    def move(self, source: Path, target: Path, on_top: str) -> None:
        """Move a note, and write properties on top of it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        target.write_text(on_top + target.read_text("utf-8"), "utf-8")

    def commit(self, message: str) -> None:
        """Commit all there is."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"{self.name}: {message}")

    def push(self) -> bool:
        """Push; pull and push again when refused. False after a conflict."""
        for _ in range(20):
            if self.git("push", "-q", "origin", "HEAD:main", check=False).returncode == 0:
                return True
            if self.git("pull", "-q", "--rebase", "origin", "main", check=False).returncode:
                self.git("rebase", "--abort", check=False)
                self.git("reset", "-q", "--hard", "origin/main")
                return False
        return False

    def wait_for_all(self, meet: Path, agents: int) -> None:
        """Once: wait until everybody has made a commit."""
        (meet / self.name).touch()
        end = time.monotonic() + 10
        while len(list(meet.iterdir())) < agents and time.monotonic() < end:
            time.sleep(0.005)


if __name__ == "__main__":
    clone, name, ledger, meet, agents = sys.argv[1:]
    UsualLoop(Path(clone), name, Path(ledger)).run(Path(meet), int(agents))

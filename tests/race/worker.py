"""One agent of the race: a process with the real engine that claims, works and files tasks.

`python worker.py ROOT NAME ROLE BATCH`. What it works it writes into its ledger first. It may
be killed at any moment; started again it finds in its own folder what is still its own. It ends
with 0 when nothing is left to claim and nothing is its own, with 1 on an error that nobody
expects; trouble with the hub is written to `<name>.log` and tried again.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from conductor import Agent
from judge import RESULT

from nightdesk.errors import HubUnreachable, NightdeskError
from nightdesk.policy import Role
from nightdesk.vault import claims
from nightdesk.vault.files import exchange, move, read_regular
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, place_of
from nightdesk.vault.scan import notes_in


class Ledger:
    """The agent's own record of what it did, flushed before it goes on."""

    def __init__(self, agent: Agent) -> None:
        self._hub = agent.hub
        text = agent.ledger.read_text("utf-8") if agent.ledger.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        self.given_back = {line["task"] for line in lines if line["do"] == "give back"}
        self._handle = os.open(agent.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, do: str, task: str) -> None:
        """Note what is done, and where the hub stood right before."""
        tip = self._tip()
        line = json.dumps({"do": do, "task": task, "tip": tip}) + "\n"
        os.write(self._handle, line.encode())
        os.fsync(self._handle)

    def _tip(self) -> str:
        """The hub's commit, read from its files: loose, or packed by the upkeep."""
        while True:
            with suppress(FileNotFoundError):
                return (self._hub / "refs" / "heads" / "main").read_text().strip()
            for line in (self._hub / "packed-refs").read_text().splitlines():
                if line.endswith(" refs/heads/main"):
                    return line.split()[0]


def digest(text: str) -> int:
    """A number that is the same for the same text in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


class Worker:
    """Claims, works, files, until nothing is left."""

    def __init__(self, agent: Agent, batch: int) -> None:
        self.agent = agent
        self.batch = batch
        self.ledger = Ledger(agent)

    def run(self) -> None:
        self.ledger.append("start", "")
        engine = self.agent.engine()
        engine.open()
        while True:
            try:
                report = engine.cycle()
                if report.offline:
                    continue
                own = self.own()
                self.work(own)
                open_tasks = [p.path for p in notes_in(self.agent.vault, Folder.NEEDS_ACTION)]
                if not (open_tasks or own or report.pushed):
                    break
                if open_tasks:
                    won = engine.claim(open_tasks, most=random.randint(self.batch // 2, self.batch))
                    self.work(won)
            except HubUnreachable as e:
                self.log(e)
            except NightdeskError as e:
                self.log(e)
                time.sleep(0.2)
            time.sleep(random.uniform(0, 0.03))
        engine.close()

    def own(self) -> list[str]:
        """What lies in this agent's folder: nothing comes there that the hub has not confirmed."""
        return [
            place.path
            for place in notes_in(self.agent.vault, f"{Folder.IN_PROGRESS}/{self.agent.name}")
        ]

    def work(self, paths: list[str]) -> None:
        vault = self.agent.vault
        for path in paths:
            name = place_of(path).name
            if digest(name + self.agent.name) % 50 == 0 and name not in self.ledger.given_back:
                self.ledger.append("give back", name)
                self.ledger.given_back.add(name)
                claims.release(vault, path, "general")
                continue
            self.ledger.append("work", name)
            if digest(name) % 5 == 0:
                data = read_regular(vault / path, MAX_NOTE_BYTES)
                if not data.endswith(RESULT):
                    exchange(vault / path, data + RESULT)
            done = f"{Folder.DONE}/2026-{digest(name) % 12 + 1:02}/{name}"
            if not move(vault / path, vault / done):
                self.log(f"{path} was not there any more")

    def log(self, what: object) -> None:
        with self.agent.log.open("a", encoding="utf-8") as file:
            file.write(f"{type(what).__name__}: {what}\n")


def main() -> None:
    root, name, role, batch = sys.argv[1:]
    Worker(Agent(Path(root), name, Role(role)), int(batch)).run()


if __name__ == "__main__":
    main()

"""The conductor of the race: sets up hub and clones, starts the agents, and makes their trouble.

Trouble is: SIGKILL at random moments, most of them while a push is under way; cut connections
(`cut_git.py`); SIGSTOP for so long that the others go on. `python conductor.py` runs the long
race (`make race`) and prints a table.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cut_git import write_wrapper
from judge import Ruling, judge

from nightdesk.config import SyncSettings
from nightdesk.policy import Role
from nightdesk.sync.engine import Engine, create_root, join
from nightdesk.sync.signers import Key, Trust
from nightdesk.sync.signing import signing_key

HERE = Path(__file__).parent
_START_SECONDS = 0.8
"""What a new process uses before its first cycle, about."""

NAMES = ("local", "cloud", "ada", "grace")


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent's places; the first one of a race is the laptop."""

    root: Path
    name: str
    role: Role

    @property
    def hub(self) -> Path:
        return self.root / "hub.git"

    @property
    def vault(self) -> Path:
        return self.root / f"{self.name}-vault"

    @property
    def state(self) -> Path:
        return self.root / f"{self.name}-state"

    @property
    def ledger(self) -> Path:
        return self.root / f"{self.name}.ledger"

    @property
    def log(self) -> Path:
        return self.root / f"{self.name}.log"

    def engine(self) -> Engine:
        """A new engine, not open yet."""
        hub, settings = str(self.hub), SyncSettings()
        return Engine(
            self.vault, hub, self.state, self.role, self.name, settings, trust=self.trust()
        )

    def trust(self) -> Trust:
        """Everybody's public keys, as each agent knows them: the first one is the owner's."""
        lines = (self.root / "keys").read_text("utf-8").splitlines()
        owner, *cloud = [Key.parse(line) for line in lines]
        return Trust(owner=(owner,), cloud=tuple(cloud))


def make_task(number: int) -> tuple[str, bytes]:
    """File name and bytes of a task: short and like the next one, as template notes are."""
    stem = f"2026-11-23-task-{number:05}"
    text = f'---\nid: "{stem}"\nkind: "task"\nzone: "general"\n---\nDo number {number}.\n'
    return f"{stem}.md", text.encode()


def make_tasks(number: int) -> dict[str, bytes]:
    """So many tasks: path in `Needs_Action/` -> bytes."""
    tasks = (make_task(n) for n in range(number))
    return {f"Needs_Action/general/{int(n[-8:-3]) // 500:02}/{n}": data for n, data in tasks}


def join_agents(root: Path, names: Sequence[str], notes: Mapping[str, bytes]) -> dict[str, Agent]:
    """Make a hub that holds these notes, and a clone for each agent; the first one is Local."""
    roles = [Role.LOCAL, *[Role.CLOUD] * (len(names) - 1)]
    agents = {n: Agent(root, n, role) for n, role in zip(names, roles, strict=True)}
    first, *others = agents.values()
    template = root / "template"
    for path, data in notes.items():
        (template / path).parent.mkdir(parents=True, exist_ok=True)
        (template / path).write_bytes(data)
    create_root(first.vault, str(first.hub), first.state, first.name, template)
    shutil.rmtree(template)
    with ThreadPoolExecutor() as pool:
        joined = [pool.submit(join, a.vault, str(a.hub), a.state, a.name) for a in others]
    for each in joined:
        each.result()
    keys = [str(signing_key(agent.state, agent.name)) for agent in agents.values()]
    (root / "keys").write_text("\n".join(keys), "utf-8")
    return agents


@dataclass(slots=True)
class Trouble:
    """How much trouble there is.

    Attributes:
        kill_every: mean seconds between start and SIGKILL, in processor time of the agent and
            its git, so that a busy machine kills nobody before it has done anything.
        cut_percent: so many of a hundred pushes and fetches are cut.
        stop_every: mean seconds between two SIGSTOPs of one agent.
    """

    kill_every: float = 1.5
    cut_percent: int = 20
    stop_every: float = 8.0


@dataclass(slots=True)
class Race:
    """A race under way and what was done to it.

    Attributes:
        faults: kind -> how often. `kill` and `kill in push` are SIGKILLs of an agent,
            `push-*` and `fetch-*` cut connections.
        failures: what no agent may do: end with an error of its own, or not at all.
    """

    agents: Mapping[str, Agent]
    trouble: Trouble
    batch: int
    deadline: float
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Run until every agent has ended, or the deadline."""
        begun = time.monotonic()
        over = threading.Event()
        threads = [threading.Thread(target=self._lead, args=(a,)) for a in self.agents.values()]
        janitor = threading.Thread(target=self._tidy_hub, args=(over,))
        for thread in (*threads, janitor):
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        janitor.join()
        self.seconds = time.monotonic() - begun
        for agent in self.agents.values():
            cuts = self._cuts(agent)
            for line in cuts.read_text().splitlines() if cuts.exists() else []:
                self.faults[line.split(" ")[0]] += 1

    def sigkills(self) -> int:
        """How many agents were killed."""
        return sum(n for kind, n in self.faults.items() if kind.startswith("kill"))

    def cuts(self) -> int:
        """How many connections were cut; a slow one is none."""
        return sum(
            n
            for kind, n in self.faults.items()
            if kind.startswith(("push-", "fetch-")) and not kind.endswith("slow")
        )

    def _cuts(self, agent: Agent) -> Path:
        return agent.root / f"{agent.name}.cuts"

    def _start(self, agent: Agent) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self.trouble.cut_percent:
            git = shutil.which("git") or "git"
            wrapper = agent.root / f"{agent.name}-git"
            if not wrapper.exists():
                write_wrapper(wrapper, git, self._cuts(agent), self.trouble.cut_percent)
            environment["GIT_PYTHON_GIT_EXECUTABLE"] = str(wrapper)
        with (agent.root / f"{agent.name}.err").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), str(agent.root), agent.name,
                 str(agent.role), str(self.batch)],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment,
            )  # fmt: skip

    def _lead(self, agent: Agent) -> None:
        """Start one agent again and again, until it ends by itself."""
        chance = random.Random()
        end = time.monotonic() + self.deadline
        while True:
            process = self._start(agent)
            code = self._disturb(process, chance, end)
            if code == 0:
                return
            if code is None or code != -signal.SIGKILL:
                said = (agent.root / f"{agent.name}.err").read_text("utf-8", "replace")[-2000:]
                what = "was not ready in time" if code is None else f"ended with {code}"
                self.failures.append(f"{agent.name} {what}: {said}")
                return

    def _disturb(
        self, process: subprocess.Popen[bytes], chance: random.Random, end: float
    ) -> int | None:
        """Let it run until it ends or is killed; its exit code, None at the deadline."""
        kill_at = _START_SECONDS + chance.expovariate(1 / self.trouble.kill_every)
        stop_at = time.monotonic() + chance.expovariate(1 / self.trouble.stop_every)
        while process.poll() is None:
            now = time.monotonic()
            if now > end:
                process.kill()
                process.wait()
                return None
            if now > stop_at:
                stop_at = now + chance.expovariate(1 / self.trouble.stop_every) + 0.5
                self._stop(process, chance)
            if _processor_seconds(process.pid) > kill_at:
                self._kill(process, chance)
            time.sleep(0.01)
        return process.returncode

    def _stop(self, process: subprocess.Popen[bytes], chance: random.Random) -> None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(0.2, 1.2))
        process.send_signal(signal.SIGCONT)
        self._count("stop")

    def _kill(self, process: subprocess.Popen[bytes], chance: random.Random) -> None:
        """SIGKILL: two of three times while a push is under way, half of these with the push."""
        push = None
        if chance.random() < 0.67:
            until = time.monotonic() + 1.0
            while push is None and time.monotonic() < until and process.poll() is None:
                push = _push_of(process.pid)
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.03))
        with_push = push is not None and chance.random() < 0.5
        process.kill()
        if with_push:
            with suppress(ProcessLookupError):
                os.killpg(push, signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            self._count("kill in push" if push else "kill")

    def _count(self, kind: str) -> None:
        with self._lock:
            self.faults[kind] += 1

    def _tidy_hub(self, over: threading.Event) -> None:
        """What the hub's owner does after receive-pack was killed: remove a lock of nobody's."""
        while not over.wait(0.5):
            for stale in (self.agents["local"].hub / "refs").rglob("*.lock"):
                with suppress(FileNotFoundError):
                    if time.time() - stale.stat().st_mtime > 2:
                        stale.unlink()
                        self._count("stale lock in the hub")


def _processor_seconds(pid: int) -> float:
    """What a process and its ended children have used so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _push_of(pid: int) -> int | None:
    """The process group of this process's push, if one is under way."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            if b"\0push\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def run_race(
    root: Path, names: Sequence[str], tasks: int, trouble: Trouble, *, batch: int, deadline: float
) -> tuple[Race, Ruling]:
    """Set up, run and judge one race."""
    agents = join_agents(root, names, make_tasks(tasks))
    race = Race(agents, trouble, batch, deadline)
    race.run()
    return race, judge(agents["local"].hub, {n: a.ledger for n, a in agents.items()})


def print_table(race: Race, ruling: Ruling) -> None:
    """The summary of one race."""
    share = ruling.tasks / len(race.agents)
    print(f"{'agent':<10}{'claimed':>9}{'finished':>10}{'of fair share':>15}")
    for name in race.agents:
        done = ruling.finished[name]
        print(f"{name:<10}{ruling.claimed[name]:>9}{done:>10}{done / share:>15.2f}")
    rows = {
        "tasks": ruling.tasks,
        "commits judged": ruling.commits,
        "handed back": ruling.handed_back,
        "worked (with repeats after a crash)": ruling.worked,
        "SIGKILLs": race.sigkills(),
        "connections cut": race.cuts(),
        "seconds": round(race.seconds),
        "tasks a second": round(ruling.tasks / race.seconds, 1),
        "breaches": len(ruling.findings),
    }
    for name, value in rows.items():
        print(f"{name:<38}{value:>10}")
    for kind, number in sorted(race.faults.items()):
        print(f"  {kind:<36}{number:>10}")
    for finding in ruling.findings[:20]:
        print(finding)
    for failure in race.failures:
        print(failure)


def main() -> int:
    """`conductor.py [TASKS [AGENTS [KILL_EVERY [CUT_PERCENT [DEADLINE]]]]]`."""
    given = [float(text) for text in sys.argv[1:]]
    tasks, number, kill_every, percent, deadline = [
        *given,
        *(10_000, 4, 5, 30, 1_800)[len(given) :],
    ]
    with tempfile.TemporaryDirectory() as folder:
        trouble = Trouble(kill_every, int(percent), 15)
        race, ruling = run_race(
            Path(folder), NAMES[: int(number)], int(tasks), trouble, batch=50, deadline=deadline
        )
        print_table(race, ruling)
        if ruling.findings or race.failures:
            kept = Path(tempfile.mkdtemp(prefix="race-"))
            shutil.copytree(folder, kept, dirs_exist_ok=True, symlinks=True)
            print(f"kept in {kept}")
    return int(bool(ruling.findings or race.failures))


if __name__ == "__main__":
    sys.exit(main())

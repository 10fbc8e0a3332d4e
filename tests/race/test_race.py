"""A race judged from outside (docs/design.md, section 3), and the proof that the judge judges.

`make race` runs the long form: 10,000 tasks, hundreds of kills and cuts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conductor import Trouble, make_tasks, print_table, run_race
from judge import RESULT, judge

HERE = Path(__file__).parent


@pytest.mark.timeout(500)  # a busy machine; 30 s on two cores
@pytest.mark.requirement("SC-005", "FR-006", "US3.1", "US3.2", "US3.3", "US3.test", "EDGE.2")
def test_three_agents_race_through_kills_and_cuts(tmp_path: Path) -> None:
    trouble = Trouble(kill_every=1.5, cut_percent=30, stop_every=8)
    race, ruling = run_race(
        tmp_path, ("local", "cloud", "ada"), 400, trouble, batch=12, deadline=400
    )
    print_table(race, ruling)
    assert not race.failures
    assert not ruling.findings
    assert ruling.tasks == 400 == ruling.finished.total()
    assert race.sigkills() + race.cuts() >= 20
    fair = ruling.tasks / len(race.agents)
    assert all(ruling.finished[name] >= fair / 5 for name in race.agents), ruling.finished


def test_the_judge_finds_the_usual_loop_guilty(tmp_path: Path) -> None:
    hub = Hub(tmp_path, 4)
    hub.write()
    names = ("local", "cloud")
    (tmp_path / "meet").mkdir()
    for name in names:
        hub.git("clone", "-q", str(hub.path), name, cwd=tmp_path)
    loops = [
        subprocess.Popen(
            [sys.executable, str(HERE / "usual_loop.py"), str(tmp_path / name), name,
             str(tmp_path / f"{name}.ledger"), str(tmp_path / "meet"), str(len(names))],
        )
        for name in names
    ]  # fmt: skip
    assert [loop.wait(60) for loop in loops] == [0, 0]
    ruling = judge(hub.path, {name: tmp_path / f"{name}.ledger" for name in names})
    kinds = ruling.kinds()
    assert kinds["two places"], kinds
    assert kinds["worked by two"], kinds


class Hub:
    """A bare hub whose history a test writes by hand; it begins with open tasks."""

    def __init__(self, root: Path, tasks: int) -> None:
        self.path = root / "judged.git"
        self.git("init", "-q", "--bare", "--initial-branch=main", str(self.path), cwd=root)
        names = (path.rpartition("/")[2] for path in make_tasks(tasks))
        seed = zip(names, make_tasks(tasks).values(), strict=True)
        self.history = [("seed", {f"Needs_Action/general/{n}": data for n, data in seed})]

    def git(self, *arguments: str, cwd: Path | None = None, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd or self.path, check=True, input=stdin, capture_output=True
        )
        return done.stdout.decode().strip()

    def write(self, *more: tuple[str, dict[str, bytes | None]]) -> list[str]:
        """Write the history (author, path -> bytes, None removes); the ids, oldest first."""
        stream = b""
        for number, (author, changes) in enumerate([*self.history, *more]):
            stream += b"commit refs/heads/main\nauthor %s <x@example.com> %d +0000\n" % (
                author.encode(), number,
            ) + b"committer x <x@example.com> %d +0000\ndata 1\nx\n" % number  # fmt: skip
            for path, data in changes.items():
                if data is None:
                    stream += b"D %s\n" % path.encode()
                else:
                    stream += b"M 100644 inline %s\ndata %d\n%s\n" % (
                        path.encode(), len(data), data,
                    )  # fmt: skip
        self.git("fast-import", "--quiet", stdin=stream)
        return self.git("rev-list", "--reverse", "main").split()


DATA = make_tasks(1).popitem()[1]
NAME = make_tasks(1).popitem()[0].rpartition("/")[2]
OPEN, ADAS, EVES, DONE = (
    f"{folder}/{NAME}"
    for folder in ("Needs_Action/general", "In_Progress/ada", "In_Progress/eve", "Done/2026-11")
)
CLAIM = ("ada", {OPEN: None, ADAS: DATA})
FILE = ("ada", {ADAS: None, DONE: DATA})
GOOD = [CLAIM, ("ada", {ADAS: None, DONE: DATA + RESULT})]
BACK = [CLAIM, ("ada", {ADAS: None, OPEN: DATA}), ("eve", {OPEN: None, EVES: DATA})]
WORK = {"ada": [("work", 1)]}

BREACHES = {
    "nothing": (GOOD, WORK),
    "nothing ": ([*BACK, ("eve", {EVES: None, DONE: DATA})], {"eve": [("work", 3)]}),
    "nothing  ": (GOOD, {"ada": [("work", 1), ("start", 1), ("work", 1)]}),
    "two places": ([CLAIM, ("eve", {EVES: DATA}), ("eve", {EVES: None}), FILE], WORK),
    "two places ": ([CLAIM, ("ada", {DONE: DATA}), ("ada", {ADAS: None})], WORK),
    "gone": ([CLAIM, ("ada", {ADAS: None}), ("ada", {DONE: DATA})], WORK),
    "wrong way": ([CLAIM, ("eve", {ADAS: None, EVES: DATA}), ("eve", {EVES: None, DONE: DATA})],
                  WORK),
    "wrong way ": ([("ada", {OPEN: None, DONE: DATA})], {}),
    "wrong way  ": ([*GOOD, ("ada", {DONE: None, OPEN: DATA})], WORK),
    "foreign claim": ([("eve", CLAIM[1]), FILE], WORK),
    "changed claim": ([("ada", {OPEN: None, ADAS: DATA + b"x"}), FILE], WORK),
    "stray file": ([*GOOD, ("ada", {"Done/2026-11/copy.conflict-00112233.md": DATA})], WORK),
    "not done": ([CLAIM], WORK),
    "changed text": ([CLAIM, ("ada", {ADAS: None, DONE: DATA + b"x"})], WORK),
    "changed text ": ([CLAIM, ("ada", {ADAS: None, DONE: DATA + RESULT + RESULT})], WORK),
    "worked by two": (GOOD, {**WORK, "eve": [("work", 1)]}),
    "worked again": (GOOD, {"ada": [("work", 1), ("work", 1)]}),
    "worked unowned": (GOOD, {"ada": [("work", 0)]}),
    "worked unowned ": (GOOD, {"ada": [("work", 2)]}),
    "worked unowned  ": (GOOD, {}),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_the_judge_knows_each_breach(tmp_path: Path, breach: str) -> None:
    history, ledgers = BREACHES[breach]
    hub = Hub(tmp_path, 1)
    tips = hub.write(*history)
    files: dict[str, Path] = {}
    for agent, lines in ledgers.items():
        files[agent] = tmp_path / f"{agent}.ledger"
        rows = [json.dumps({"do": do, "task": NAME, "tip": tips[at]}) for do, at in lines]
        files[agent].write_text("".join(f"{row}\n" for row in rows))
    kinds = judge(hub.path, files).kinds()
    if breach.strip() == "nothing":
        assert not kinds
    else:
        assert kinds[breach.strip()], kinds

"""The world of the state machine: two agents, a person, an attacker, a hub, troubles, a clock.

Everything that happens is a method with plain arguments, so that a run that went wrong can be
written down as a plain test. What must hold is in `deskjudge.py`.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deskattack import Attacker
from deskdevices import Committer, Devices
from deskjournal import Executor
from deskjudge import Judge
from deskperson import Person
from gitfiles import Repository, forget
from gitinside import GitInside
from twovaults import Desk, Side

from nightdesk.errors import HubUnreachable
from nightdesk.policy import Role
from nightdesk.sync.engine import CycleReport, Engine
from nightdesk.sync.process import Result
from nightdesk.sync.secrets import Guard
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import KEY_FILE, signing_key
from nightdesk.vault.files import create, move
from nightdesk.vault.layout import place_of

CANARY = "kx7" + "-Nightdesk-" + "canary-55e1"
MAIN = "refs/heads/main"
DAY = 86_400.0


STRAYS = ("Handbook.md", "Notes/cloud.md", "Notes/", "Pending_Approval/", "Approved/evil.md",
          "Updates/", "Done/", "Rejected/x.md")  # fmt: skip
"""Where the cloud may not write, or only make new notes ("/": an old one there is changed)."""


class KilledError(BaseException):
    """The process dies here."""


class Stage:
    """What one test function sets up once: the template, the clock, git in this process.

    Args:
        real: run the real git for everything.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *, real: bool = False) -> None:
        self.inside = GitInside()
        self.real = real
        self.answer = ""
        self.skew = dict.fromkeys(Role, 0.0)
        self.acting = Role.LOCAL
        self.now = float(int(time.time()))
        self.counts: Counter[str] = Counter()
        for name, module in list(sys.modules.items()):
            if (
                name.startswith("nightdesk.sync")
                and getattr(module, "run", None) is self.inside.real
            ):
                monkeypatch.setattr(module, "run", self.run)
        for name in ("engine", "claiming"):
            module = sys.modules[f"nightdesk.sync.{name}"]
            if hasattr(module, "back_off"):
                monkeypatch.setattr(module, "back_off", lambda attempt: None)
        shim = SimpleNamespace(time=self.time, monotonic=time.monotonic, time_ns=time.time_ns)
        monkeypatch.setattr("nightdesk.sync.cycle.time", shim)
        sleepless = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: None)
        monkeypatch.setattr("nightdesk.sync.claiming.time", sleepless)
        self.root = root
        (root / "desk").mkdir()
        self.desk = Desk(root / "desk")
        self.desk.close()
        for name in ("tablet", "unknown"):
            (root / name).mkdir()
        signing_key(root / "unknown", "cloud")
        self.unknown_key = root / "unknown" / KEY_FILE
        self.tablet_key = root / "tablet" / KEY_FILE
        self.cloud_key = self.desk.cloud.state / KEY_FILE
        trust = Trust(
            owner=(self.desk.local.key,),
            devices=(signing_key(root / "tablet", "tablet"),),
            cloud=(self.desk.cloud.key,),
        )
        for side in (self.desk.local, self.desk.cloud):
            side.options["trust"] = trust
        shutil.copytree(root / "desk", root / "template", symlinks=True)

    def time(self) -> float:
        """The clock of the machine that is at work."""
        return self.now + self.skew[self.acting]

    def run(self, cwd: Path, arguments: Any, **options: Any) -> Result:
        """`process.run`, on this stage's clock; the answer to a push can get lost."""
        date = f"@{int(self.time())} +0000"
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        options["environment"] = {**options["environment"], **dates}
        work = self.inside.real if self.real else self.inside.run
        if "push" not in arguments or not self.answer:
            return work(cwd, arguments, **options)
        answer, self.answer = self.answer, ""
        if answer == "lost after":
            work(cwd, arguments, **options)
        return Result(128, b"", "fatal: the remote end hung up unexpectedly")

    def fresh(self) -> Desk:
        """Both vaults and the hub as they were made."""
        shutil.rmtree(self.root / "desk")
        shutil.copytree(self.root / "template", self.root / "desk", symlinks=True)
        self.inside.cache.clear()
        forget()
        self.skew = dict.fromkeys(Role, 0.0)
        self.answer = ""
        return self.desk


class World:
    """One run of the world.

    Attributes:
        deeds: what has happened so far, for a person to read.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.desk = stage.fresh()
        self.sides: dict[Role, Side] = {Role.LOCAL: self.desk.local, Role.CLOUD: self.desk.cloud}
        self.hub = Repository(self.desk.hub, stage.inside.cache)
        self.away = self.desk.root / "away.git"
        self.deeds: list[str] = []
        self.reports: dict[Role, CycleReport] = {}
        self.person = Person(self)
        self.executor = Executor(self)
        self.committer = Committer(self)
        self.devices = Devices(self)
        self.attacker = Attacker(self)
        self.judge = Judge(self)
        self.tasks = 0
        self.copies: list[str] = []
        self.strays: set[str] = set()
        self.drafted: set[str] = set()

    # Bookkeeping --------------------------------------------------------------------------

    @property
    def laptop(self) -> Path:
        return self.desk.local.vault

    def did(self, what: str) -> None:
        """Note what happened, for the counts and for a person who reads a failure."""
        self.deeds.append(what)
        self.stage.counts[what.partition(" ")[0]] += 1

    def tick(self) -> None:
        self.stage.now += 7

    def stamp(self, role: Role, path: str) -> None:
        """Give a file the time of the machine it was written on."""
        at = self.stage.now + self.stage.skew[role]
        with _gone_is_fine():
            os.utime(self.sides[role].vault / path, (at, at))

    def tip(self) -> str:
        return self.hub.ref(MAIN) or ""

    def in_hub(self, commit: str = "") -> dict[str, tuple[str, str]]:
        commit = commit or self.tip()
        return self.hub.flat(self.hub.tree_of(commit)) if commit else {}

    @property
    def partitioned(self) -> bool:
        return self.away.exists()

    # The agents ---------------------------------------------------------------------------

    def engine(self, role: Role) -> Engine:
        side = self.sides[role]
        if side.engine is None:
            options: dict[str, Any] = {"guard": Guard({"canary": CANARY}, role=role)}
            if role is Role.LOCAL:
                options["incoming"] = self.executor.incoming
                options["withhold"] = self.executor.withhold
            options["crash"] = lambda point: self._passes(role, point)
            self.stage.acting = role
            side.open(**options)
        assert side.engine
        return side.engine

    def cycle(
        self,
        role: Role,
        *,
        moment: int = -1,
        happening: Callable[[], None] | None = None,
        kill: bool = False,
        answer: str = "",
    ) -> CycleReport | None:
        """One cycle of one agent, in the middle of which something may happen.

        Args:
            moment: at the how-manieth crash point, counted from 0.
            happening: what happens there.
            kill: the process dies there.
            answer: "lost before" the push arrived, or "lost after" it.

        Returns:
            Its report; None where the process died.
        """
        self.tick()
        self.stage.acting, self.stage.answer = role, answer
        self._moment, self._kill = moment, kill
        self._happening = happening
        watch = self.judge.before_cycle(role)
        try:
            report = self.engine(role).cycle()
        except KilledError:
            self.kill(role)
            return None
        finally:
            self.stage.answer, self._moment = "", -1
            self.judge.after_cycle(watch)
        self.reports[role] = report
        return report

    _moment = -1
    _kill = False
    _happening: Callable[[], None] | None = None

    def _passes(self, role: Role, point: str) -> None:
        self.stage.counts[f"point:{point}"] += 1
        if point == "after_snapshot":
            self.judge.snapshot_taken(role)
        self._moment -= 1
        if self._moment != -1:
            return
        if self._happening:
            self._happening()
            self.stage.acting = role
            self.did(f"interposed at {point}")
        if self._kill:
            self.did(f"killed at {point} of {role}")
            raise KilledError

    def kill(self, role: Role) -> None:
        """The process is gone; what is on its disk stays. The next one starts anew."""
        self.sides[role].close()

    def claim(self, role: Role, most: int, *, answer: str = "") -> list[str]:
        """Claim some tasks that this agent may do."""
        zones = ("email", "general") if role is Role.CLOUD else ("general",)
        vault = self.sides[role].vault
        found = [
            f"Needs_Action/{zone}/{file.name}"
            for zone in zones
            for file in sorted((vault / "Needs_Action" / zone).glob("*.md"))
            if place_of(f"Needs_Action/{zone}/{file.name}").is_note and file.is_file()
        ][:most]
        self.stage.acting, self.stage.answer = role, answer
        before = self.judge.before_claim()
        try:
            won = self.engine(role).claim(found)
        except HubUnreachable:
            won = []
            self.did("claim-offline")
        finally:
            self.stage.answer = ""
        self.judge.after_claim(role, before, won)
        self.did(f"claim by {role}: {len(won)} of {len(found)}")
        return won

    def write(self, role: Role, path: str, data: bytes) -> bool:
        """An agent makes a note; it never writes over one."""
        try:
            create(self.sides[role].vault / path, data)
        except (FileExistsError, NotADirectoryError):
            return False
        self.stamp(role, path)
        return True

    # The cloud's work ----------------------------------------------------------------------

    def mail(self, zone: str) -> None:
        """A mail arrives: the cloud makes a task."""
        self.tasks += 1
        name = f"t{self.tasks}"
        data = note(name, zone, [f"mail {self.tasks}", "please answer", "soon"])
        if self.write(Role.CLOUD, f"Needs_Action/{zone}/{name}.md", data):
            self.did(f"mail {name} {zone}")

    def draft(self, pick: int) -> None:
        """The cloud drafts a card for a task of its own, once."""
        vault = self.sides[Role.CLOUD].vault
        tasks = sorted(p.name for p in (vault / "In_Progress/cloud").glob("*.md") if p.is_file())
        if not tasks:
            return
        task = tasks[pick % len(tasks)].removesuffix(".md")
        card = f"{task}-email-1"
        if ".conflict-" in task or card in self.drafted:
            return  # it remembers, as the cloud agent does, whatever becomes of the card's file
        if any(vault.rglob(f"{card}.md")):
            return
        self.drafted.add(card)
        data = note(card, "email", [f"to: customer of {task}", "Dear customer", "Yours"])
        if self.write(Role.CLOUD, f"Pending_Approval/email/{card}.md", data):
            self.did(f"draft {card}")

    def own_tasks(self) -> list[Path]:
        """The cloud's tasks on its disk that have no card: with a card, the laptop finishes it."""
        vault = self.sides[Role.CLOUD].vault
        tasks = sorted(p for p in (vault / "In_Progress/cloud").glob("*.md") if p.is_file())
        return [task for task in tasks if not any(vault.rglob(f"{task.stem}-email-*.md"))]

    def cloud_notes(self, pick: int) -> None:
        """The cloud notes something in a task of its own, plans it, or reports."""
        tasks = self.own_tasks()
        if tasks and pick % 2:
            file = tasks[pick % len(tasks)]
            file.write_bytes(file.read_bytes() + b"noted by the cloud %d\n" % pick)
            self.stamp(Role.CLOUD, f"In_Progress/cloud/{file.name}")
            self.did(f"cloud-edit {file.name}")
            return
        if tasks and pick % 4 == 0:
            name = tasks[pick % len(tasks)].stem
            data = note(f"{name}-plan", "", [f"how to do {name}"])
            if self.write(Role.CLOUD, f"Plans/{name}-plan.md", data):
                self.did(f"plan {name}")
                return
        self.tasks += 1
        name = f"u{self.tasks}"
        self.write(Role.CLOUD, f"Updates/{name}.md", note(name, "", ["all is well"]))
        self.did(f"update {name}")

    def cloud_finishes(self, pick: int) -> None:
        """The cloud files a task of its own that needs no card."""
        vault, tasks = self.sides[Role.CLOUD].vault, self.own_tasks()
        if tasks and move(task := tasks[pick % len(tasks)], vault / "Done/2026-11" / task.name):
            self.did(f"cloud-done {task.name}")

    def cloud_strays(self, pick: int) -> None:
        """Something on the cloud's machine writes where the cloud may not."""
        vault = self.sides[Role.CLOUD].vault
        self.tasks += 1
        stray = b"not the cloud's to say %d\n" % self.tasks
        path = STRAYS[pick % len(STRAYS)]
        if path.endswith("/"):
            found = sorted(p for p in (vault / path).rglob("*.md") if p.is_file())
            if not found:
                return
            file = found[pick % len(found)]
            if file.parent.name == "cloud":
                return
        else:
            file = vault / path
        if file.is_dir():
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        file.write_bytes((file.read_bytes() if file.exists() else b"") + stray)
        self.stamp(Role.CLOUD, str(file.relative_to(vault)))
        self.strays.add(str(file.relative_to(vault)))
        self.did(f"cloud-stray {file.relative_to(vault)}")

    def errand(self, pick: int) -> None:
        """Mail, claim, draft, and both sides see it."""
        self.mail("email")
        self.cycle(Role.CLOUD)
        self.claim(Role.CLOUD, 4)
        self.draft(pick)
        self.cycle(Role.CLOUD)
        self.cycle(Role.LOCAL)

    # Troubles -----------------------------------------------------------------------------

    def part(self) -> None:
        """Nobody reaches the hub."""
        if not self.partitioned:
            self.desk.hub.rename(self.away)
            self.did("partition")

    def heal(self) -> None:
        if self.partitioned:
            self.away.rename(self.desk.hub)
            self.did("healed")

    def skew_clock(self, role: Role, days: int) -> None:
        self.stage.skew[role] = days * DAY
        self.did(f"skew {role} {days:+d} days")

    def back_up(self) -> None:
        """Somebody copies the hub's folder."""
        if not self.partitioned:
            self.copies.append(self.tip())
            self.did("backup")

    def restore(self) -> None:
        """The hub comes back from an old copy: what came after it is not there any more.

        Who has seen most of it syncs first; otherwise both would go on from different commits,
        which is true divergence, and a person must adopt.
        """
        if self.partitioned or not self.copies:
            return
        old = self.copies[-1]
        bases = [(self.base(role), role) for role in Role]
        newest = next(
            (r for base, r in bases if all(self.hub.contains(base, other) for other, _ in bases)),
            None,
        )
        if newest is None or not all(self.hub.contains(base, old) for base, _ in bases):
            return
        self.judge.hub_is_replaced()
        self.hub.set_ref(MAIN, old)
        self.hub.present.clear()
        shutil.rmtree(self.desk.hub / "objects")
        (self.desk.hub / "objects").mkdir()
        keep = Repository(self.sides[newest].vault / ".git", self.stage.inside.cache)
        for oid in list(keep.reachable(old, self.hub.has)):
            self.hub.put(*keep.get(oid))
        self.did("restore")
        self.cycle(newest)

    def base(self, role: Role) -> str:
        repository = Repository(self.sides[role].vault / ".git", self.stage.inside.cache)
        return repository.ref("refs/nightdesk/base") or ""

    def inner(self, role: Role) -> None:
        """A whole cycle of the other agent, in the middle of one."""
        mine = self._moment, self._kill, self._happening
        touched, acting = self.judge.touched, self.stage.acting
        self.cycle(role)
        self._moment, self._kill, self._happening = mine
        self.judge.touched, self.stage.acting = touched, acting

    # The end ------------------------------------------------------------------------------

    def finish(self) -> None:
        """Troubles stop, credentials are taken out of the notes, and all must come to rest."""
        self.heal()
        self.stage.skew = dict.fromkeys(Role, 0.0)
        self.tick()
        self.person.clean()
        self.stage.counts[f"rounds to rest: {self.quiet()}"] += 1
        self.judge.final()

    def quiet(self, rounds: int = 8) -> int:
        """All troubles stop; everybody goes on with their work until nothing changes.

        Returns:
            How many rounds it took.
        """
        self.heal()
        for number in range(rounds):
            before = self.judge.everything()
            self.executor.record()
            self.executor.execute()
            for role in (Role.LOCAL, Role.CLOUD):
                self.cycle(role)
            if self.judge.everything() == before:
                return number
        raise AssertionError(f"no rest after {rounds} rounds")

    def close(self) -> None:
        for side in self.sides.values():
            side.close()


def note(name: str, zone: str, lines: list[str]) -> bytes:
    """A note with properties as Nightdesk writes them, and some lines."""
    head = f'---\nid: "{name}"\nzone: "{zone}"\ncreated: "2026-11-24"\nto:\n  - "a"\n  - "b"\n---\n'
    return (head + "".join(f"{line}\n" for line in lines)).encode()


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except OSError:
        return

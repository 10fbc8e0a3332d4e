"""The two desks under everything at once: a state machine (invariants: `deskjudge.py`).

Most examples run with git inside this process (`gitinside.py`, on real repositories); some run
with the real git. The ordinary run is the same each time, and checks that every action is reached.
`make fuzz`, or TRIAL_FUZZ=examples,steps, runs other and many more examples.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import deskattack
import deskperson
import hypothesis.strategies as st
import pytest
from deskworld import Stage, World
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from nightdesk.policy import Role

FUZZ = os.environ.get("TRIAL_FUZZ", "")
EXAMPLES, STEPS = (int(number) for number in (FUZZ or "500,32").split(","))
REAL_EXAMPLES = max(3, EXAMPLES // 100)
LEAST_STEPS = min(30, STEPS)

ROLES = st.sampled_from(list(Role))
SMALL = st.integers(0, 11)
DEED = st.tuples(st.sampled_from(deskperson.DEEDS), SMALL, SMALL)
KEY = st.sampled_from(["stolen", "stolen", "stolen", "unknown", "unsigned"])
ATTACK = st.tuples(st.sampled_from(deskattack.KINDS), SMALL, KEY)
MOMENT = st.integers(0, 13)


class Desks(RuleBasedStateMachine):
    """Rules only choose; what they do is in the world."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.stage)
        self.steps = 0

    def count(self, name: str) -> None:
        self.steps += 1
        self.stage.counts[f"rule:{name}"] += 1

    @rule(role=ROLES)
    def cycle(self, role: Role) -> None:
        self.count("cycle")
        self.world.cycle(role)

    @rule(role=ROLES, moment=MOMENT)
    def killed(self, role: Role, moment: int) -> None:
        self.count("killed")
        self.world.cycle(role, moment=moment, kill=True)

    @rule(moment=MOMENT, deed=DEED, kill=st.booleans())
    def disturbed(self, moment: int, deed: tuple[str, int, int], kill: bool) -> None:
        """The person acts in the middle of a cycle of the laptop, which may die right after."""
        self.count("disturbed")
        person = self.world.person
        self.world.cycle(
            Role.LOCAL, moment=moment, happening=lambda: person.do(*deed), kill=kill and deed[1] > 5
        )

    @rule(role=ROLES, moment=MOMENT, what=st.sampled_from(["attack", "other", "part", "claim"]),
          attack=ATTACK)  # fmt: skip
    def overtaken(self, role: Role, moment: int, what: str, attack: tuple[str, int, str]) -> None:
        """Something happens in the hub in the middle of a cycle."""
        self.count("overtaken")
        world = self.world
        other = Role.LOCAL if role is Role.CLOUD else Role.CLOUD
        happenings: dict[str, Callable[[], object]] = {
            "attack": lambda: world.attacker.do(*attack),
            "other": lambda: world.inner(other),
            "part": world.part,
            "claim": lambda: world.claim(other, 2),
        }
        world.cycle(role, moment=moment, happening=happenings[what])

    @rule(role=ROLES, after=st.booleans())
    def answer_lost(self, role: Role, after: bool) -> None:
        self.count("answer_lost")
        self.world.cycle(role, answer="lost after" if after else "lost before")

    @rule(deeds=st.lists(DEED, min_size=1, max_size=4))
    def person(self, deeds: list[tuple[str, int, int]]) -> None:
        self.count("person")
        for deed in deeds:
            self.world.person.do(*deed)

    @rule(a=SMALL, back=st.booleans())
    def approval(self, a: int, back: bool) -> None:
        """The person approves a card, and perhaps has second thoughts."""
        self.count("approval")
        if not self.world.person.files("Pending_Approval"):
            self.world.errand(a)
        self.world.person.do("approve", a, 0)
        if back:
            self.world.person.do("withdraw", a, 0)

    @rule(attacks=st.lists(ATTACK, min_size=1, max_size=3))
    def attack(self, attacks: list[tuple[str, int, str]]) -> None:
        self.count("attack")
        for attack in attacks:
            self.world.attacker.do(*attack)

    @rule(notes=st.lists(SMALL, min_size=1, max_size=3))
    def phone(self, notes: list[int]) -> None:
        """A device of the person's that signs nothing."""
        self.count("phone")
        for a in notes:
            self.world.devices.phone(a)

    @rule(a=SMALL, approve=st.booleans())
    def tablet(self, a: int, approve: bool) -> None:
        """A device of the owner's, whose key the laptop knows."""
        self.count("tablet")
        devices = self.world.devices
        if not approve:
            devices.tablet(a)
        elif not devices.approve(a):
            self.world.errand(a)
            devices.approve(a)

    @rule(zone=st.sampled_from(["email", "email", "general"]))
    def mail(self, zone: str) -> None:
        self.count("mail")
        self.world.mail(zone)

    @rule(role=ROLES, most=st.integers(1, 4), answer=st.sampled_from(["", "", "lost before",
          "lost after"]))  # fmt: skip
    def claim(self, role: Role, most: int, answer: str) -> None:
        self.count("claim")
        self.world.claim(role, most, answer=answer)

    @rule(pick=SMALL)
    def draft(self, pick: int) -> None:
        self.count("draft")
        self.world.draft(pick)

    @rule(pick=SMALL)
    def desk_work(self, pick: int) -> None:
        """A whole errand of the desk: mail, claim, draft, and both sides see it."""
        self.count("desk_work")
        self.world.errand(pick)

    @rule(pick=SMALL, what=st.sampled_from(["notes", "finishes", "notes", "finishes", "strays"]))
    def cloud_work(self, pick: int, what: str) -> None:
        self.count("cloud_work")
        getattr(self.world, f"cloud_{what}")(pick)

    @rule(what=st.sampled_from(["record", "execute", "both", "show", "merge"]))
    def local_work(self, what: str) -> None:
        self.count("local_work")
        executor = self.world.executor
        if what in {"record", "both"}:
            executor.record()
        if what in {"execute", "both"}:
            executor.execute()
        if what == "show":
            executor.show(self.steps)
        if what == "merge":
            executor.merge_updates()

    @rule(what=st.sampled_from(["part", "heal", "heal"]))
    def network(self, what: str) -> None:
        self.count("network")
        (self.world.part if what == "part" else self.world.heal)()

    @rule(role=ROLES, days=st.sampled_from([-1, 0, 1]))
    def clock(self, role: Role, days: int) -> None:
        self.count("clock")
        self.world.skew_clock(role, days)

    @rule(restore=st.booleans())
    def backup(self, restore: bool) -> None:
        self.count("backup")
        (self.world.restore if restore else self.world.back_up)()

    def teardown(self) -> None:
        world = self.world
        try:
            world.finish()
            self.stage.counts["examples"] += 1
            self.stage.counts["long examples"] += self.steps >= LEAST_STEPS
        finally:
            world.close()


@pytest.fixture
def stage_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], Stage]]:
    """A stage on a file system in memory where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="nightdesk-", dir=memory if os.access(memory, os.W_OK) else None
    ) as folder:
        yield lambda real: Stage(Path(folder), monkeypatch, real=real)


def play(stage: Stage, examples: int, steps: int) -> None:
    machine = type("Desks", (Desks,), {"stage": stage})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), print_blob=True, derandomize=not FUZZ,
            phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False,
        ),
    )  # fmt: skip


def told(counts: Counter[str]) -> str:
    return "\n".join(f"{number:8d}  {name}" for name, number in sorted(counts.items()))


@pytest.mark.timeout(0)
def test_the_two_desks(stage_of: Callable[[bool], Stage]) -> None:
    stage = stage_of(False)
    play(stage, EXAMPLES + EXAMPLES // 3, STEPS)  # some end early, and do not count
    print(told(stage.counts))
    assert stage.counts["long examples"] >= EXAMPLES
    rules = {
        f"rule:{name}"
        for name, made in vars(Desks).items()
        if hasattr(made, "hypothesis_stateful_rule")
    }
    attacks = {f"attack-{kind}" for kind in deskattack.KINDS}
    others = {
        "phone-edit", "phone-inbox", "tablet-edit", "tablet-approve", "cloud-done", "cloud-stray",
        "cloud-edit", "plan", "update", "draft", "mail", "effect", "filed", "restore", "partition",
        "the phone's words came back", "held back on the cloud, and told",
        "effect of the tablet's move", *(f"attack by {key}" for key in deskattack.KEYS),
    }  # fmt: skip
    if EXAMPLES < 500:
        return  # so few need not reach everything
    missing = (others | rules | attacks | set(deskperson.DEEDS)) - stage.counts.keys()
    assert not missing, f"never reached: {missing}"


@pytest.mark.timeout(0)
def test_the_two_desks_with_the_real_git(stage_of: Callable[[bool], Stage]) -> None:
    stage = stage_of(True)
    play(stage, REAL_EXAMPLES, STEPS)
    print(told(stage.counts))

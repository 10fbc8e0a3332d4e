"""Old approvals brought back, in any order and from any copy: nothing happens a second time."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from farside import FarSide
from forge import Forge
from office import Office, live_through
from sweeper import LONG, SEED

from nightdesk.local_agent.states import State
from nightdesk.sync.entries import Entry

pytestmark = pytest.mark.timeout(3600 if LONG else 180)

SENT = 7
"""How many of the cards of `live_through` went out."""


@pytest.fixture
def office(memory: Path, far_side: FarSide) -> Iterator[Office]:
    made = Office(Path(tempfile.mkdtemp(dir=memory)), far_side)
    yield made
    made.close()


@pytest.fixture(scope="module")
def history(memory: Path, far_side: FarSide) -> Iterator[Office]:
    """A laptop with a past; saved as "now"."""
    made = Office(memory / "history", far_side)
    live_through(made)
    made.save("now")
    yield made
    made.close()


def bring_back(office: Office, data: bytes, name: str, dice: random.Random) -> Path:
    """One old version, somewhere where an answer may lie, under its own name or another."""
    folder = dice.choice(["Approved/email", "Approved", "Approved/some/where", "Approved/email"])
    if dice.random() < 0.2:
        folder = dice.choice(["Rejected/email", "Pending_Approval/email", "Approved/.."])
    stem = dice.choice([name, name, f"copy of {name}", f"{dice.randrange(10**6)}"])
    path = office.vault / folder / f"{stem}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def replay(office: Office, rounds: int, dice: random.Random, *, one_by_one: int = 0) -> None:
    """Bring every version back, some rounds over, and `one_by_one` of them alone."""
    before = office.effects()
    versions = list(office.versions().items())
    assert len(versions) >= 2 * len(office.cards), "the history holds too little to replay"
    batches = [[one] for one in dice.sample(versions, min(one_by_one, len(versions)))]
    for _ in range(rounds):
        dice.shuffle(versions)
        batches += [versions[n : n + 12] for n in range(0, len(versions), 12)]
    for batch in batches:
        brought = {bring_back(office, data, name, dice) for data, name in batch}
        office.passes(2)
        if dice.random() < 0.1:
            office.close()
        assert office.effects() == before, (SEED, sorted(map(str, brought)))
        for path in brought:
            path.unlink(missing_ok=True)


def test_every_version_of_every_card_brought_back(history: Office) -> None:
    history.restore("now")
    assert len(history.effects()) == SENT
    states = {row.state for row in history.open().journal.rows()}
    assert states == {State.DONE, State.REJECTED, State.EXPIRED, State.SUPERSEDED}
    rounds, alone = (20, 100) if LONG else (1, 4)
    replay(history, rounds, random.Random(SEED), one_by_one=alone)
    assert {row.state for row in history.open().journal.rows()} == states


def test_with_the_journal_from_an_older_copy(history: Office) -> None:
    dice = random.Random(SEED)
    names = list(history.backups)
    for name in names if LONG else dice.sample(names, 2):
        history.restore("now")
        history.restore_journal(name)
        try:
            replay(history, 3 if LONG else 1, dice)
        except AssertionError as e:
            raise AssertionError(f"with the journal from {name}: {e}") from e


def test_the_laptop_restored_from_before_a_card_was_sent(office: Office) -> None:
    card = office.draft()
    office.passes()
    office.save("shown")
    office.move(card, "Approved")
    assert len(office.effects()) == 1
    office.passes()
    office.restore("shown")
    office.passes(3)
    for path in office.vault.rglob(f"{card}.md"):
        if "Pending_Approval" in path.parts:  # the person, not remembering, approves once more
            office.move(card, "Approved")
    office.passes(2)
    assert len(office.effects()) == 1


def test_the_laptop_restored_from_the_moment_of_the_move(office: Office) -> None:
    card = office.draft()
    office.close()
    target = office.vault / f"Approved/email/{card}.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    office.find(card).rename(target)
    office.save("moved")
    office.passes(3)
    assert len(office.effects()) == 1
    office.restore("moved")
    office.passes(3)
    assert len(office.effects()) == 1


@pytest.mark.parametrize("when", ["before the approval", "with the approval"])
def test_a_hub_that_forges_done(office: Office, when: str) -> None:
    card = office.draft()
    note = office.find(card).read_bytes().replace(b"\nkind:", b'\nstatus: "sent"\nkind:', 1)
    forge = Forge(office.hub)

    def forged() -> None:
        tip = forge.git("rev-parse", "main").decode().strip()
        put = {f"Done/2026-11/{card}.md": Entry("100644", forge.blob(note))}
        kept = {p: e for p, e in forge.entries(tip).items() if not p.endswith(f"/{card}.md")}
        commit = forge.commit(forge.tree(kept | put), [tip], author="local")
        forge.git("update-ref", "refs/heads/main", commit)

    if when == "before the approval":
        forged()
        office.passes()
        office.move(card, "Approved")
    else:
        office.close()
        forged()
        office.move(card, "Approved")
    office.passes()
    assert len(office.effects()) == 1
    replay_one = office.vault / "Approved/again.md"
    replay_one.write_bytes(note)
    office.passes()
    assert len(office.effects()) == 1

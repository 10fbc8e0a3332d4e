"""Claims between two machines: the accepted push decides (docs/design.md, section 3)."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from twovaults import SETTINGS, Desk, Side

from nightdesk.errors import HubUnreachable
from nightdesk.policy import Role
from nightdesk.sync.engine import Engine, join
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import signing_key


def add_tasks(desk: Desk, number: int) -> list[str]:
    paths = [f"Needs_Action/general/t{n:03}.md" for n in range(number)]
    for path in paths:
        desk.local.write(path, f'---\nid: "{Path(path).stem}"\n---\nx\n')
    desk.settle()
    return paths


@pytest.mark.requirement("US3.1", "US3.2", "SKILL.claim-task", "FR-006")
def test_a_claim_is_a_commit_that_only_moves_files(desk: Desk) -> None:
    tasks = add_tasks(desk, 3)
    won = desk.cloud.engine.claim([*tasks, "Needs_Action/nowhere.md", "Notes/x.md"])
    assert won == [f"In_Progress/cloud/t{n:03}.md" for n in range(3)]
    shown = desk.git("show", "--format=%an: %s", "--name-status", "-M100%", "main").splitlines()
    assert shown[0] == "cloud: cloud: claim 3 tasks"
    assert {line.split("\t")[0] for line in shown[2:]} == {"R100"}
    assert all((desk.cloud.vault / path).exists() for path in won)
    assert not any((desk.cloud.vault / path).exists() for path in tasks)
    # The other half sees whose it is, and gets none of them.
    assert desk.local.engine.claim(tasks) == []
    desk.local.sync()
    assert all((desk.local.vault / path).exists() for path in won)
    assert not any((desk.local.vault / path).exists() for path in tasks)


@pytest.mark.requirement("EDGE.2", "FR-006", "SC-005", "US3.2", "US3.3", "US3.test")
def test_two_engines_race_for_the_same_tasks_and_each_has_one_owner(desk: Desk) -> None:
    tasks = add_tasks(desk, 60)
    third = Side(desk.root, desk.hub, Role.CLOUD)
    third.vault, third.state = desk.root / "third-vault", desk.root / "third-state"
    join(third.vault, str(desk.hub), third.state, "third")
    keys = (desk.cloud.key, signing_key(third.state, "third"))
    trust = Trust(owner=(desk.local.key,), cloud=keys)
    desk.local.open(trust=trust)
    desk.cloud.open(trust=trust)
    engines = {
        "local": desk.local.engine,
        "cloud": desk.cloud.engine,
        "third": Engine(
            third.vault, str(desk.hub), third.state, Role.CLOUD, "third", SETTINGS, trust=trust
        ),
    }
    engines["third"].open()
    won: dict[str, list[str]] = {name: [] for name in engines}
    start = threading.Barrier(len(engines))

    def race(name: str) -> None:
        start.wait()
        for at in range(0, len(tasks), 12):
            won[name] += engines[name].claim(tasks[at : at + 12])

    threads = [threading.Thread(target=race, args=(name,)) for name in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engines["third"].close()
    owners = Counter(Path(path).name for paths in won.values() for path in paths)
    assert owners == Counter(Path(path).name for path in tasks), "every task has one owner"
    assert {path for paths in won.values() for path in paths} <= desk.hub_files()
    desk.settle()
    for name in ("local", "cloud"):
        side = desk.local if name == "local" else desk.cloud
        assert set(won[name]) <= side.files().keys()
    assert desk.local.files() == desk.cloud.files()


RACER = """
import json, pickle, sys, time
from pathlib import Path
from nightdesk.config import SyncSettings
from nightdesk.policy import Role
from nightdesk.sync.engine import Engine
vault, hub, state, role, trust, start = sys.argv[1:7]
trust = pickle.loads(bytes.fromhex(trust))
engine = Engine(Path(vault), hub, Path(state), Role(role), role, SyncSettings(), trust=trust)
engine.open()
while not Path(start).exists():
    time.sleep(0.002)
won = []
for path in sys.argv[7:]:
    won += engine.claim([path])
print(json.dumps(won))
engine.close()
"""


@pytest.mark.requirement("EDGE.2", "FR-006", "SC-005", "US3.test")
def test_two_processes_race_one_by_one(desk: Desk) -> None:
    tasks = add_tasks(desk, 12)
    desk.close()
    start = desk.root / "start"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(side.vault), str(desk.hub), str(side.state),
             str(side.role), pickle.dumps(side.options["trust"]).hex(), str(start), *tasks],
            stdout=subprocess.PIPE,
        )
        for side in (desk.local, desk.cloud)
    ]  # fmt: skip
    start.touch()
    won = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    assert Counter(Path(p).name for side in won for p in side) == Counter(
        Path(p).name for p in tasks
    )


def test_an_edit_on_this_disk_follows_the_claim(desk: Desk) -> None:
    (task,) = add_tasks(desk, 1)
    desk.cloud.write(task, '---\nid: "t000"\n---\nedited here\n')
    assert desk.cloud.engine.claim([task]) == ["In_Progress/cloud/t000.md"]
    desk.settle()
    assert b"edited here" in desk.local.read("In_Progress/cloud/t000.md")


@pytest.mark.parametrize("name", ["local", "cloud", "third"])
def test_what_is_finished_right_after_the_claim_stays_finished(desk: Desk, name: str) -> None:
    """The claim is in the hub and not in what this disk has merged yet."""
    (task,) = add_tasks(desk, 1)
    side = desk.local if name == "local" else desk.cloud
    if name == "third":
        side = Side(desk.root, desk.hub, Role.CLOUD)
        side.vault, side.state = desk.root / "third-vault", desk.root / "third-state"
        join(side.vault, str(desk.hub), side.state, "third")
        keys = (desk.cloud.key, signing_key(side.state, "third"))
        side.engine = Engine(
            side.vault, str(desk.hub), side.state, Role.CLOUD, "third", SETTINGS,
            trust=Trust(owner=(desk.local.key,), cloud=keys),
        )  # fmt: skip
        side.engine.open()
    engine = side.engine
    assert engine is not None
    (mine,) = engine.claim([task])
    side.move(mine, "Done/2026-11/t000.md")
    engine.cycle()
    assert "Done/2026-11/t000.md" in side.files()
    assert {p for p in desk.hub_files() if p.endswith("t000.md")} == {"Done/2026-11/t000.md"}
    if name == "third":
        side.close()


def test_a_task_that_the_person_took_away_is_won_in_the_hub_only(desk: Desk) -> None:
    (task,) = add_tasks(desk, 1)
    desk.local.move(task, "Rejected/t000.md")
    assert desk.local.engine.claim([task]) == [], "not moved on this disk, so no work starts"
    desk.settle()
    assert "Rejected/t000.md" in desk.hub_files()
    assert "In_Progress/local/t000.md" not in desk.hub_files()


def test_without_the_hub_nothing_is_claimed(desk: Desk) -> None:
    (task,) = add_tasks(desk, 1)
    desk.hub.rename(desk.hub.with_name("away"))
    with pytest.raises(HubUnreachable):
        desk.cloud.engine.claim([task])
    assert (desk.cloud.vault / task).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_push_whose_answer_is_cut_off_is_looked_up(
    desk: Desk, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The git executable is a script that cuts the first push, before or after it arrived."""
    import git

    (task,) = add_tasks(desk, 1)
    real = git.Git.GIT_PYTHON_GIT_EXECUTABLE
    script = desk.root / "git"
    cut = desk.root / "cut"
    push = f'"{real}" "$@" >/dev/null 2>&1' if when == "after" else ":"
    script.write_text(
        f'#!/bin/sh\ncase " $* " in\n*" push "*) if [ ! -e {cut} ]; then touch {cut}; {push}; '
        f'echo "fatal: the remote end hung up" >&2; exit 128; fi;;\nesac\nexec "{real}" "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(git.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))
    assert desk.cloud.engine.claim([task]) == ["In_Progress/cloud/t000.md"]
    claims = desk.git("log", "--format=%s", "main").count("claim 1 task")
    assert claims == 1, "neither lost nor doubled"
    cut.unlink()
    desk.cloud.write("Updates/u.md", "u")
    desk.cloud.sync()
    assert desk.git("log", "--format=%s", "main").splitlines()[0] == "cloud: 1 note"
    assert "Updates/u.md" in desk.hub_files()

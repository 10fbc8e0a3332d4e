"""Claim-by-move on one disk: whoever moves the file first owns the task, nobody else does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nightdesk.errors import PolicyDenied
from nightdesk.vault.claims import claim, owner_of, release
from nightdesk.vault.layout import Folder
from nightdesk.vault.scan import notes_in

TASKS = 300

RACER = """
import sys
from pathlib import Path
from nightdesk.vault.claims import claim
from nightdesk.vault.layout import Folder
from nightdesk.vault.scan import notes_in

vault, agent = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
while places := notes_in(vault, Folder.NEEDS_ACTION):
    for place in places:
        if claim(vault, place.path, agent):
            print(place.name, flush=True)
"""


def put(vault: Path, path: str, text: str = "x") -> None:
    (vault / path).parent.mkdir(parents=True, exist_ok=True)
    (vault / path).write_text(text)


@pytest.mark.requirement("FR-006", "EDGE.2", "SKILL.claim-task")
@pytest.mark.parametrize("count", [2, 4])
def test_processes_racing_on_one_folder_win_each_task_once(tmp_path: Path, count: int) -> None:
    for n in range(TASKS):
        put(tmp_path, f"Needs_Action/{'email/' if n % 2 else ''}task-{n:03}.md", f"text {n}")
    agents = [f"agent-{n}" for n in range(count)]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), agent],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for agent in agents
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        outputs = [racer.communicate(timeout=60)[0] for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * count
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    said = {agent: output.split() for agent, output in zip(agents, outputs, strict=True)}
    wins = Counter(name for names in said.values() for name in names)
    assert set(wins) == {f"task-{n:03}.md" for n in range(TASKS)}
    assert set(wins.values()) == {1}
    # The folder says the same as the winners do, and no text was changed on the way.
    for agent, names in said.items():
        lying = {place.name for place in notes_in(tmp_path, f"{Folder.IN_PROGRESS}/{agent}")}
        assert lying == set(names)
    for place in notes_in(tmp_path, Folder.IN_PROGRESS):
        assert (tmp_path / place.path).read_text() == f"text {int(place.stem[-3:])}"
    assert notes_in(tmp_path, Folder.NEEDS_ACTION) == []
    assert sum(bool(names) for names in said.values()) > 1, "one racer was alone; no race"


@pytest.mark.requirement("US3.1")
def test_a_claim_moves_the_file_to_its_owner(tmp_path: Path) -> None:
    put(tmp_path, "Needs_Action/email/t.md", "words")
    assert owner_of(tmp_path, "t.md") is None
    assert claim(tmp_path, "Needs_Action/email/t.md", "cloud") == "In_Progress/cloud/t.md"
    assert (tmp_path / "In_Progress/cloud/t.md").read_text() == "words"
    assert not (tmp_path / "Needs_Action/email/t.md").exists()
    assert owner_of(tmp_path, "t.md") == "cloud"


def test_a_second_claim_backs_off(tmp_path: Path) -> None:
    put(tmp_path, "Needs_Action/t.md", "first")
    assert claim(tmp_path, "Needs_Action/t.md", "cloud")
    assert claim(tmp_path, "Needs_Action/t.md", "local") is None
    assert owner_of(tmp_path, "t.md") == "cloud"
    put(tmp_path, "Needs_Action/email/t.md", "a twin by name")
    assert claim(tmp_path, "Needs_Action/email/t.md", "cloud") is None
    assert (tmp_path / "In_Progress/cloud/t.md").read_text() == "first"
    assert (tmp_path / "Needs_Action/email/t.md").read_text() == "a twin by name"


def test_a_release_gives_the_task_back(tmp_path: Path) -> None:
    put(tmp_path, "In_Progress/cloud/t.md", "words")
    assert release(tmp_path, "In_Progress/cloud/t.md", "email") == "Needs_Action/email/t.md"
    assert release(tmp_path, "In_Progress/cloud/t.md", "email") is None
    assert (tmp_path / "Needs_Action/email/t.md").read_text() == "words"


def test_only_tasks_are_moved_by_a_claim(tmp_path: Path) -> None:
    for path in ("Approved/x.md", "Pending_Approval/email/x.md", "Needs_Action/../Approved/x.md"):
        put(tmp_path, path)
        with pytest.raises(PolicyDenied) as caught:
            claim(tmp_path, path, "cloud")
        assert caught.value.where == path
        with pytest.raises(PolicyDenied):
            release(tmp_path, path, "email")
        assert (tmp_path / path).exists()

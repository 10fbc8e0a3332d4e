"""A cloud that falls silent, and what holds when it comes back (docs/design.md, section 3)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from twovaults import Desk

from nightdesk.errors import HubUnreachable
from nightdesk.sync import hub as hub_module
from nightdesk.sync.entries import Entry, blob_oid, entry_of
from nightdesk.sync.fencing import Whereabouts
from nightdesk.vault.layout import card_task, place_of, plan_task

TASK = "2026-11-24-invoice-3f9a2c"
OPEN = f"Needs_Action/email/{TASK}.md"
CLAIMED = f"In_Progress/cloud/{TASK}.md"
CARD = f"Pending_Approval/email/{TASK}-email-1.md"
UPDATE = f"Updates/{TASK}-email-1-update.md"
SILENT = 3600.0


class Clock:
    """The monotonic clock that silence is measured on; it stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(hub_module, "monotonic", made)
    return made


def note(name: str = TASK, text: str = "x") -> str:
    return f'---\nid: "{name}"\nkind: "task"\nzone: "email"\n---\n{text}\n'


def claimed_by_the_cloud(desk: Desk, *names: str) -> None:
    """Tasks that the cloud has claimed; both sides and the hub know it, and it is alive."""
    paths = [f"Needs_Action/email/{name}.md" for name in names or (TASK,)]
    for path in paths:
        desk.local.write(path, note(Path(path).stem))
    desk.settle()
    desk.cloud.engine.beat({"state": "well"})
    assert len(desk.cloud.engine.claim(paths)) == len(paths)
    desk.settle()


def fall_silent(desk: Desk, clock: Clock) -> None:
    """Let the laptop see for itself that nothing comes from the cloud any more."""
    for _ in range(13):
        desk.local.engine._cycle.hub.fetch()
        clock.wait(300)


def give_back(desk: Desk, *names: str, owner: str = "cloud") -> list[str]:
    moves = {
        f"In_Progress/{owner}/{name}.md": f"Needs_Action/email/{name}.md"
        for name in names or (TASK,)
    }
    return desk.local.engine.return_claims(owner, moves, SILENT)


@pytest.mark.requirement("US3.1", "FR-006", "EDGE.3")
def test_a_silent_clouds_claim_goes_back_as_a_move_and_can_be_claimed_anew(
    desk: Desk, clock: Clock
) -> None:
    claimed_by_the_cloud(desk)
    before = desk.local.read(CLAIMED)
    fall_silent(desk, clock)
    assert give_back(desk) == [OPEN]
    shown = desk.git("show", "--format=%an: %s", "--name-status", "-M100%", "main").splitlines()
    assert shown[0] == "local: local: return 1 task of cloud, which is silent"
    assert [line.split("\t") for line in shown[2:]] == [["R100", CLAIMED, OPEN]]
    assert desk.local.read(OPEN) == before
    assert not (desk.local.vault / CLAIMED).exists()
    # The cloud comes back: its claim is gone, and it claims anew like everybody else.
    desk.cloud.sync()
    assert not (desk.cloud.vault / CLAIMED).exists()
    assert desk.cloud.engine.claim([OPEN]) == [CLAIMED]
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert CLAIMED in desk.hub_files()
    assert OPEN not in desk.hub_files()


@pytest.mark.requirement("FR-006")
def test_a_cloud_that_is_alive_keeps_its_claims(desk: Desk, clock: Clock) -> None:
    claimed_by_the_cloud(desk)
    assert give_back(desk) == [], "not silent for long enough"
    fall_silent(desk, clock)
    desk.cloud.engine.beat({"state": "well"})  # in the very last moment
    assert give_back(desk) == [], "the look at the hub itself counts"
    assert CLAIMED in desk.hub_files()
    fall_silent(desk, clock)
    assert give_back(desk) == [OPEN]


def test_a_task_with_a_card_in_the_hub_is_the_laptops_to_finish(desk: Desk, clock: Clock) -> None:
    """Also when the card arrived after the laptop's last cycle."""
    claimed_by_the_cloud(desk, TASK, "other")
    fall_silent(desk, clock)
    desk.cloud.write(CARD, f'---\nid: "{TASK}-email-1"\n---\ncard\n')
    desk.cloud.sync()
    assert give_back(desk, TASK, "other") == [], "the laptop has not looked at what is new"
    desk.local.sync()
    assert give_back(desk, TASK, "other") == ["Needs_Action/email/other.md"]
    assert {CLAIMED, CARD} <= desk.hub_files()


def test_only_who_ever_gave_a_sign_of_life_can_be_silent(desk: Desk, clock: Clock) -> None:
    """In_Progress/robin/ is a person's own folder."""
    desk.local.write("In_Progress/robin/mine.md", note("mine"))
    desk.settle()
    fall_silent(desk, clock)
    assert give_back(desk, "mine", owner="robin") == []
    assert desk.local.engine.agents() == []


def test_without_the_hub_nothing_goes_back_and_no_silence_is_counted(
    desk: Desk, clock: Clock
) -> None:
    claimed_by_the_cloud(desk)
    fall_silent(desk, clock)
    away = desk.hub.with_name("away.git")
    desk.hub.rename(away)
    with pytest.raises(HubUnreachable):
        give_back(desk)
    assert (desk.local.vault / CLAIMED).exists()
    away.rename(desk.hub)
    desk.cloud.engine.beat({"state": "well"})
    desk.local.sync()
    for _ in range(20):
        desk.hub.rename(away)
        assert desk.local.sync().offline
        away.rename(desk.hub)
        clock.wait(300)
        desk.local.engine._cycle.hub.fetch()
    assert give_back(desk) == [], "the cloud could not reach the hub in that time either"
    assert desk.local.engine.heartbeat("cloud").silent_seconds == 0


def test_one_long_pause_between_two_looks_counts_a_few_minutes_at_most(
    desk: Desk, clock: Clock
) -> None:
    """The hub may have been away in between, and come back a moment ago."""
    claimed_by_the_cloud(desk)
    clock.wait(SILENT * 20)
    assert give_back(desk) == []
    assert desk.local.engine.heartbeat("cloud").silent_seconds == 300
    fall_silent(desk, clock)
    assert give_back(desk) == [OPEN]


def test_a_return_that_was_killed_before_this_disk_moved_is_finished_by_the_next_cycle(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed_by_the_cloud(desk)
    fall_silent(desk, clock)

    def killed(source: Path, target: Path) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nightdesk.sync.engine.move", killed)
        with pytest.raises(KeyboardInterrupt):
            give_back(desk)
    desk.local.open()
    assert (desk.local.vault / CLAIMED).exists()
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert OPEN in desk.local.files()
    assert CLAIMED not in desk.local.files()


def test_what_a_person_typed_meanwhile_goes_back_with_the_task(desk: Desk, clock: Clock) -> None:
    claimed_by_the_cloud(desk)
    fall_silent(desk, clock)
    desk.local.write(CLAIMED, note(text="typed here"))
    assert give_back(desk) == [OPEN]
    desk.settle()
    assert b"typed here" in desk.cloud.read(OPEN)
    assert CLAIMED not in desk.hub_files()


def test_who_claims_anew_in_the_moment_of_the_return_keeps_the_task(
    desk: Desk, clock: Clock
) -> None:
    """The laptop's next cycle does not take the new claim for the old one."""
    claimed_by_the_cloud(desk)
    fall_silent(desk, clock)
    assert give_back(desk) == [OPEN]
    desk.cloud.sync()
    assert desk.cloud.engine.claim([OPEN]) == [CLAIMED]
    desk.settle()
    assert CLAIMED in desk.hub_files()
    assert CLAIMED in desk.local.files()


def test_a_claim_given_back_before_the_clouds_next_cycle_is_not_made_again_by_a_merge(
    desk: Desk, clock: Clock
) -> None:
    """Cut off right after the claim: for the cloud the hub looks as if nothing had happened."""
    desk.local.write(OPEN, note())
    desk.settle()
    desk.cloud.engine.beat({})
    assert desk.cloud.engine.claim([OPEN]) == [CLAIMED]
    desk.local.sync()
    fall_silent(desk, clock)
    assert give_back(desk) == [OPEN]
    desk.cloud.write(CARD, "card")
    assert desk.cloud.sync().withdrawn == {CARD: TASK}
    desk.settle()
    for held in (desk.hub_files(), set(desk.local.files()), set(desk.cloud.files())):
        assert OPEN in held
        assert CLAIMED not in held
    assert desk.cloud.engine.claim([OPEN]) == [CLAIMED]


# --- the cloud that comes back -----------------------------------------------------------------


LOST = {
    "returned": "Needs_Action/email",
    "claimed": "In_Progress/local",
    "others": "In_Progress/cloud2",
    "finished": "Done/2026-11",
    "declined": "Rejected",
    "deleted": "",
}


def take_away(desk: Desk, name: str = TASK, to: str = "Needs_Action/email") -> None:
    if to:
        desk.local.move(f"In_Progress/cloud/{name}.md", f"{to}/{name}.md")
    else:
        (desk.local.vault / f"In_Progress/cloud/{name}.md").unlink()


@pytest.mark.requirement("EDGE.3", "FR-006")
def test_a_draft_for_a_lost_task_never_leaves(desk: Desk) -> None:
    """Written on the cloud's disk while it was cut off, for a task that is its own no more."""
    claimed_by_the_cloud(desk, *LOST)
    for name, to in LOST.items():
        take_away(desk, name, to)
        desk.cloud.write(f"Pending_Approval/email/{name}-email-1.md", f"card {name}")
        desk.cloud.write(f"Updates/{name}-email-1-update.md", "Drafted an answer")
    desk.local.sync()
    desk.cloud.write("Updates/other.md", "something else")
    report = desk.cloud.sync()
    assert report.withdrawn == {
        path: name
        for name in LOST
        for path in (
            f"Pending_Approval/email/{name}-email-1.md",
            f"Updates/{name}-email-1-update.md",
        )
    }
    assert not report.withdrawn.keys() & desk.cloud.files().keys()
    assert not report.withdrawn.keys() & desk.ever_in_hub(), "not for a moment"
    assert "Updates/other.md" in desk.hub_files()
    kept = desk.git("rev-list", "--all", "--objects", cwd=desk.cloud.vault)
    assert all(blob_oid(f"card {name}".encode()) in kept for name in LOST), "in the day's snapshots"
    desk.settle()
    assert desk.cloud.sync().withdrawn == {}
    assert desk.local.files() == desk.cloud.files()


def test_a_draft_for_a_task_that_is_still_its_own_arrives(desk: Desk) -> None:
    claimed_by_the_cloud(desk)
    desk.cloud.write(CARD, "card")
    desk.cloud.write("Pending_Approval/email/on-its-own-account-email-1.md", "no task anywhere")
    assert desk.cloud.sync().withdrawn == {}
    assert {CARD, "Pending_Approval/email/on-its-own-account-email-1.md"} <= desk.hub_files()


def test_the_fence_holds_when_the_task_goes_between_look_and_push(desk: Desk) -> None:
    """The push is lost, and the second look sees that the claim is gone."""
    claimed_by_the_cloud(desk)
    desk.cloud.write(CARD, "card")

    def meanwhile(point: str) -> None:
        if point == "before_push" and (desk.local.vault / CLAIMED).exists():
            take_away(desk)
            desk.local.sync()

    desk.cloud.open(crash=meanwhile)
    assert desk.cloud.sync().withdrawn == {CARD: TASK}
    assert CARD not in desk.ever_in_hub()


def test_many_withdrawn_drafts_are_no_mass_deletion(desk: Desk) -> None:
    names = [f"t{n:02}" for n in range(40)]
    claimed_by_the_cloud(desk, *names)
    for name in names:
        desk.local.move(f"In_Progress/cloud/{name}.md", f"Done/2026-11/{name}.md")
        for path in (f"Pending_Approval/email/{name}-email-1.md", f"Plans/{name}-plan.md"):
            desk.cloud.write(path, f"draft {name}")
    desk.local.sync()
    assert len(desk.cloud.sync().withdrawn) == 80
    assert not any(path.startswith("Pending_Approval") for path in desk.cloud.files())


def test_a_plan_of_the_laptops_own_meets_no_second_plan(desk: Desk) -> None:
    """Both planned the same request; the laptop's plan stands on both sides, and no copy."""

    def plan(by: str) -> str:
        return f'---\nid: "{TASK}-plan"\nkind: "plan"\ncreated_by: "{by}"\n---\nplan by {by}\n'

    path = f"Plans/{TASK}-plan.md"
    claimed_by_the_cloud(desk)
    desk.cloud.write(path, plan("cloud"))
    desk.cloud.sync()
    desk.local.write(path, plan("local"))
    assert desk.local.sync().conflicts == ()
    desk.settle()
    for side in (desk.local, desk.cloud):
        assert [p for p in side.files() if p.startswith("Plans/")] == [path]
        assert side.read(path) == plan("local").encode()


def test_a_claim_on_the_laptops_own_disk_and_one_in_the_hub_end_as_one(desk: Desk) -> None:
    """The laptop without a hub claimed what the cloud had claimed: Local's word is the stronger."""
    desk.local.write(OPEN, note())
    desk.settle()
    assert desk.cloud.engine.claim([OPEN]) == [CLAIMED]
    desk.local.move(OPEN, f"In_Progress/local/{TASK}.md")
    desk.cloud.write(CARD, "card")
    desk.settle()
    for held in (desk.hub_files(), set(desk.local.files()), set(desk.cloud.files())):
        assert [p for p in held if TASK in p and "In_Progress" in p] == [
            f"In_Progress/local/{TASK}.md"
        ]


# --- signs of life ------------------------------------------------------------------------------


def test_a_sign_of_life_that_cannot_be_read_is_still_one(desk: Desk, clock: Clock) -> None:
    desk.cloud.open().beat({"state": "well"})
    desk.local.sync()
    assert desk.local.engine.heartbeat("cloud").status["state"] == "well"
    for said in (
        b"", b"well", b"[1]", b'"state"', b"\xff\xfe", b"[" * 4000,
        b'{"state":"well"}' + b" " * 5000,
    ):  # fmt: skip
        clock.wait(60)
        desk.local.engine._cycle.hub.fetch()
        assert desk.local.engine.heartbeat("cloud").silent_seconds == 60
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            cwd=desk.hub, input=said, check=True, capture_output=True,
        )  # fmt: skip
        desk.git("update-ref", "refs/heartbeat/cloud", done.stdout.decode().strip())
        desk.local.engine._cycle.hub.fetch()
        beat = desk.local.engine.heartbeat("cloud")
        assert beat.status is None, said[:20]
        assert beat.silent_seconds == 0


# --- days offline -------------------------------------------------------------------------------


@pytest.mark.requirement("EDGE.3")
def test_everything_of_a_cloud_without_a_hub_arrives_in_order(desk: Desk) -> None:
    claimed_by_the_cloud(desk)
    away = desk.hub.with_name("away.git")
    desk.hub.rename(away)
    for day in range(3):
        desk.cloud.write(f"Needs_Action/email/day{day}.md", note(f"day{day}"))
        assert desk.cloud.sync().offline
    desk.cloud.write(CARD, "card")
    desk.local.write("Notes/mine.md", "typed meanwhile")
    assert desk.local.sync().offline
    away.rename(desk.hub)
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert {
        CARD,
        CLAIMED,
        "Notes/mine.md",
        *(f"Needs_Action/email/day{d}.md" for d in range(3)),
    } <= (desk.hub_files())


def test_a_hub_from_an_older_backup_does_not_give_a_claim_back(desk: Desk) -> None:
    """The backup is from before the claim; the work that was done since is not lost or doubled."""
    desk.local.write(OPEN, note())
    desk.settle()
    old = desk.git("rev-parse", "main").strip()
    assert desk.cloud.engine.claim([OPEN]) == [CLAIMED]
    desk.settle()
    desk.git("update-ref", "refs/heads/main", old)
    desk.cloud.write(CARD, "card")
    assert desk.cloud.sync().withdrawn == {}
    desk.settle()
    assert desk.local.files() == desk.cloud.files()
    assert {CLAIMED, CARD} <= desk.hub_files()
    assert OPEN not in desk.hub_files()


def test_a_hub_rebuilt_empty_is_filled_again_with_the_claims_in_it(
    desk: Desk, clock: Clock
) -> None:
    claimed_by_the_cloud(desk)
    desk.git("update-ref", "-d", "refs/heads/main")
    desk.git("update-ref", "-d", "refs/heartbeat/cloud")
    desk.cloud.write(CARD, "card")
    assert "empty" in desk.cloud.sync().offline
    clock.wait(SILENT)
    assert give_back(desk) == [], "nothing is decided on an empty hub"
    desk.local.sync()
    assert desk.cloud.sync().withdrawn == {}
    desk.settle()
    assert {CLAIMED, CARD} <= desk.hub_files()
    fall_silent(desk, clock)
    assert give_back(desk) == [], "its card has arrived"


# --- the pure parts -----------------------------------------------------------------------------

CLOUD, LOCAL, WAITS, FILED = (
    f"{folder}/t.md"
    for folder in ("In_Progress/cloud", "In_Progress/local", "Needs_Action", "Done/x")
)


@pytest.mark.parametrize(
    ("before", "here", "there", "answer"),
    [
        ("", "", "", set()),
        (CLOUD, CLOUD, CLOUD, {CLOUD}),
        (WAITS, WAITS, CLOUD, {CLOUD}),
        ("", "", CLOUD, {CLOUD}),
        (CLOUD, FILED, CLOUD, {FILED}),
        (WAITS, LOCAL, CLOUD, {LOCAL, CLOUD}),
        (FILED, FILED, CLOUD, {CLOUD}),
        (CLOUD, "", CLOUD, {""}),
        (CLOUD, CLOUD, "", {""}),
        (CLOUD, WAITS, WAITS, {WAITS}),
    ],
)
def test_where_a_task_lies_by_both_sides_word(
    before: str, here: str, there: str, answer: set[str]
) -> None:
    sides = [{path: entry_of(b"t")} if path else {} for path in (before, here, there)]
    assert Whereabouts(*sides, _stem).of("t") == answer


def _stem(path: str, entry: Entry) -> tuple[str, bool]:
    return place_of(path).stem, False


def test_cards_and_plans_name_their_task() -> None:
    assert card_task(f"{TASK}-email-1") == TASK
    assert card_task("call-ada-2-odoo-13") == "call-ada-2"
    assert card_task("Anruf ☎ 1-email-1") == "Anruf ☎ 1"
    assert [card_task(stem) for stem in ("note", "email-1", "x-email-", "x-email-1-update")] == [
        ""
    ] * 4
    assert plan_task(f"{TASK}-plan") == TASK
    assert plan_task("my plan") == ""

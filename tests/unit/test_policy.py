"""The tables of docs/design.md, section 5, row by row."""

from __future__ import annotations

import pytest

from nightdesk.policy import LOCAL_ONLY_ZONES, MAY, Change, Role, Verb, Zone, may, may_write

CREATE, CHANGE, REMOVE = Change.CREATE, Change.CHANGE, Change.REMOVE
ALL = {CREATE, CHANGE, REMOVE}


def named(value: object) -> str:
    """The name of a row's test: a set has no order of its own."""
    return "+".join(sorted(map(str, value))) or "-" if isinstance(value, set) else str(value)


ROWS: list[tuple[str, set[Change], set[Change]]] = [
    # path, what the cloud may, what an unknown or unsigned device may
    ("Inbox/x.md", {CREATE}, {CREATE}),
    ("Inbox/deep/x.md", {CREATE}, {CREATE}),
    ("Needs_Action/x.md", {CREATE, REMOVE}, set()),
    ("Needs_Action/email/x.md", {CREATE, REMOVE}, set()),
    ("Needs_Action/social/x.md", {CREATE, REMOVE}, set()),
    ("Needs_Action/accounting/x.md", {CREATE, REMOVE}, set()),
    ("Needs_Action/general/x.md", {CREATE, REMOVE}, set()),
    ("Needs_Action/payments/x.md", {CREATE}, set()),
    ("Needs_Action/whatsapp/x.md", set(), set()),
    ("Needs_Action/WhatsApp/x.md", set(), set()),
    ("In_Progress/cloud/x.md", ALL, set()),
    ("In_Progress/local/x.md", set(), set()),
    ("In_Progress/cloudy/x.md", set(), set()),
    ("In_Progress/x.md", set(), set()),
    ("Plans/x.md", {CREATE}, set()),
    ("Updates/x.md", {CREATE}, set()),
    ("Done/2026-11/x.md", {CREATE}, set()),
    ("Attachments/x.pdf", {CREATE}, set()),
    ("Pending_Approval/x.md", {CREATE}, set()),
    ("Pending_Approval/email/x.md", {CREATE}, set()),
    ("Pending_Approval/whatsapp/x.md", set(), set()),
    ("Pending_Approval/Payments/x.md", set(), set()),
    ("Approved/x.md", set(), set()),
    ("Approved/email/x.md", set(), set()),
    ("Rejected/x.md", set(), set()),
    ("Dashboard.md", set(), set()),
    ("Handbook.md", set(), set()),
    ("STOP.md", set(), set()),
    ("Logs/2026-11-24.md", set(), set()),
    ("Briefings/x.md", set(), set()),
    (".gitignore", set(), set()),
    ("My notes/x.md", set(), set()),
    ("x.md", set(), set()),
]


@pytest.mark.requirement("FR-002", "FR-004", "FR-005")
@pytest.mark.parametrize(("path", "cloud", "unknown"), ROWS, ids=named)
def test_the_path_table(path: str, cloud: set[Change], unknown: set[Change]) -> None:
    assert {c for c in Change if may_write(Role.CLOUD, path, c)} == cloud
    assert {c for c in Change if may_write(None, path, c)} == unknown
    assert {c for c in Change if may_write(Role.LOCAL, path, c)} == ALL


@pytest.mark.parametrize(
    "path",
    [
        "Inbox/../Approved/x.md", "Inbox/./x.md", "Inbox//x.md", "Inbox/", "/Inbox/x.md", "",
        "../Inbox/x.md", "In_Progress/cloud/../../Approved/x.md", "..",
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", [*Role, None])
def test_a_path_that_climbs_is_nobodys(role: Role | None, path: str) -> None:
    assert not any(may_write(role, path, change) for change in Change)


@pytest.mark.parametrize(
    "path",
    [
        "Inbox/.git/hooks/post-checkout", "Inbox/.env", "In_Progress/cloud/.x.md", ".git/config",
        "inbox/x.md", "INBOX/x.md", "Inbox", "Inbox.md", "Needs_Action", "in_progress/cloud/x.md",
    ],
)  # fmt: skip
def test_near_misses_of_the_table_are_forbidden(path: str) -> None:
    for role in (Role.CLOUD, None):
        assert not any(may_write(role, path, change) for change in Change)


NOTHING: set[Verb] = set()
DRAFTS = {Verb.CLAIM, Verb.DRAFT}
EVERYTHING = {Verb.CLAIM, Verb.DRAFT, Verb.EXECUTE}

WORK: list[tuple[Zone, set[Verb], set[Verb]]] = [
    (Zone.EMAIL, DRAFTS, {Verb.EXECUTE}),
    (Zone.SOCIAL, DRAFTS, {Verb.EXECUTE}),
    (Zone.ACCOUNTING, DRAFTS, {Verb.EXECUTE}),
    (Zone.GENERAL, DRAFTS, EVERYTHING),
    (Zone.WHATSAPP, NOTHING, EVERYTHING),
    (Zone.PAYMENTS, NOTHING, EVERYTHING),
]


@pytest.mark.requirement("US5.2", "FR-002", "FR-003")
@pytest.mark.parametrize(("zone", "cloud", "local"), WORK, ids=named)
def test_who_works_in_which_zone(zone: Zone, cloud: set[Verb], local: set[Verb]) -> None:
    assert {verb for verb in Verb if may(Role.CLOUD, zone, verb)} == cloud
    assert {verb for verb in Verb if may(Role.LOCAL, zone, verb)} == local


@pytest.mark.requirement("FR-002", "FR-003", "US2.3")
def test_the_cloud_executes_nothing_in_any_zone() -> None:
    assert not [zone for zone in Zone if may(Role.CLOUD, zone, Verb.EXECUTE)]
    assert all(may(Role.LOCAL, zone, Verb.EXECUTE) for zone in Zone)


@pytest.mark.requirement("US5.2", "FR-009")
@pytest.mark.parametrize("zone", ["whatsapp", "WhatsApp", "WHATSAPP", "payments", "Payments"])
def test_the_laptops_own_zones_are_closed_to_the_cloud(zone: str) -> None:
    assert zone.casefold() in LOCAL_ONLY_ZONES
    assert not any(may(Role.CLOUD, zone, verb) for verb in Verb)
    assert all(may(Role.LOCAL, zone, verb) for verb in Verb)


def test_an_unknown_zone_allows_nothing() -> None:
    for zone in ("", "mail", "e-mail", "email ", "whatsapp\u200b", "ｅｍａｉｌ", "*"):
        assert not any(may(role, zone, verb) for role in Role for verb in Verb)


def test_the_table_has_every_pair() -> None:
    assert set(MAY) == {(role, zone) for role in Role for zone in Zone}

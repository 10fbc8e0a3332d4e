"""The rules of the merge, one by one (docs/design.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nightdesk.policy import Role
from nightdesk.sync.entries import Entry, entry_of
from nightdesk.sync.frontmatter import id_of
from nightdesk.sync.merge import Knowledge, merge
from nightdesk.sync.plan import MergePlan, Verb
from nightdesk.vault.layout import conflict_name, place_of

N, PROGRESS, DONE = "Needs_Action/email/x.md", "In_Progress/cloud/x.md", "Done/2026-11/x.md"
MINE, PENDING = "In_Progress/local/x.md", "Pending_Approval/email/x.md"
APPROVED, REJECTED = "Approved/x.md", "Rejected/x.md"

Files = Mapping[str, bytes]


def note(text: str, note_id: str = "x") -> bytes:
    return f'---\nid: "{note_id}"\n---\n{text}\n'.encode()


def run(
    base: Files, ours: Files, theirs: Files, role: Role = Role.LOCAL, **more: Any
) -> tuple[dict[str, bytes], MergePlan]:
    blobs = {entry_of(d).oid: d for side in (base, ours, theirs) for d in side.values()}
    sides = [{path: entry_of(data) for path, data in side.items()} for side in (base, ours, theirs)]
    times = more.pop("times", (2.0, 1.0))
    plan = merge(
        *sides, ours_is=role,
        know=Knowledge(
            ident=lambda path, entry: id_of(place_of(path), blobs[entry.oid]),
            read=lambda oid: blobs[oid], merge_text=more.pop("text", lambda o, b, t: None),
            ours_time=lambda path: times[0], theirs_time=lambda path: times[1], now=10.0,
        ),
        **more,
    )  # fmt: skip
    blobs.update(plan.blobs)
    return {path: blobs[entry.oid] for path, entry in plan.tree.items()}, plan


A, B, C = note("a"), note("b"), note("c")


@pytest.mark.parametrize(
    ("ours", "theirs", "winner"),
    [
        (APPROVED, PROGRESS, APPROVED),
        (PROGRESS, APPROVED, APPROVED),
        (REJECTED, DONE, REJECTED),
        (MINE, PROGRESS, MINE),
        (PROGRESS, MINE, MINE),
        (DONE, PROGRESS, DONE),
        (APPROVED, REJECTED, REJECTED),
        (REJECTED, APPROVED, REJECTED),
        (DONE, PENDING, PENDING),
        (N, PROGRESS, PROGRESS),
        (MINE, N, MINE),
    ],
)
@pytest.mark.parametrize("role", Role)
def test_a_rejection_beats_an_approval_beats_local_beats_cloud_and_then_the_hub_decides(
    ours: str, theirs: str, winner: str, role: Role
) -> None:
    files, _ = run({N: A}, {ours: A}, {theirs: A}, role)
    assert files == {winner: A}


def test_an_edit_follows_the_id_to_its_new_place() -> None:
    assert run({N: A}, {N: B}, {PROGRESS: A})[0] == {PROGRESS: B}
    files, plan = run({N: A}, {PROGRESS: A}, {N: B})
    assert files == {PROGRESS: B}
    assert [step.verb for step in plan.steps] == [Verb.REPLACE]
    # Also when the file was renamed and the id stands in the note.
    assert run({N: A}, {"Done/y.md": A}, {N: B})[0] == {"Done/y.md": B}


def test_a_note_without_properties_is_known_by_its_name() -> None:
    assert run({N: b"a"}, {N: b"b"}, {PROGRESS: b"a"})[0] == {PROGRESS: b"b"}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("place", [APPROVED, REJECTED])
def test_no_other_text_follows_a_note_into_a_decision(role: Role, place: str) -> None:
    ours, _ = run({PENDING: A}, {place: A}, {PENDING: B}, role)
    theirs, _ = run({PENDING: A}, {PENDING: B}, {place: A}, role)
    assert ours[place] == A == theirs[place], "the person saw A"
    copy = {conflict_name(place, B): B} if role is Role.LOCAL else {}
    assert ours == theirs == {place: A} | copy


def test_the_decided_text_stays_where_both_sides_changed_it() -> None:
    files, _ = run({PENDING: A}, {APPROVED: B}, {PENDING: C})
    assert files == {APPROVED: B, conflict_name(APPROVED, C): C}
    files, _ = run({PENDING: A}, {PENDING: B}, {APPROVED: C})
    assert files == {APPROVED: C, conflict_name(APPROVED, B): B}
    # No clean text merge either: nobody saw that text.
    files, _ = run({PENDING: A}, {APPROVED: B}, {PENDING: C}, text=lambda o, b, t: b"mixed")
    assert files[APPROVED] == B


def test_edit_and_move_beat_removal() -> None:
    for role in Role:
        assert run({N: A}, {}, {N: B}, role)[0] == {N: B}
        assert run({N: A}, {N: B}, {}, role)[0] == {N: B}
        assert run({N: A}, {}, {PROGRESS: A}, role)[0] == {PROGRESS: A}
        assert run({N: A}, {PROGRESS: A}, {}, role)[0] == {PROGRESS: A}
        assert run({N: A}, {}, {N: A}, role)[0] == {}
        assert run({N: A}, {N: A}, {}, role)[0] == {}
        assert run({"a.md": A}, {}, {"a.md": B}, role)[0] == {"a.md": B}


def test_local_beats_the_cloud_and_alone_keeps_copies_in_state_folders() -> None:
    copy = conflict_name(N, C)
    assert run({N: A}, {N: B}, {N: C})[0] == {N: B, copy: C}
    assert run({N: A}, {N: C}, {N: B}, Role.CLOUD)[0] == {N: B}


def test_both_machines_resolve_a_conflict_to_the_same_names_and_bytes() -> None:
    a = run({"n.md": A}, {"n.md": B}, {"n.md": C}, times=(5.0, 4.0))[0]
    b = run({"n.md": A}, {"n.md": C}, {"n.md": B}, times=(4.0, 5.0))[0]
    assert a == b == {"n.md": B, conflict_name("n.md", C): C}
    tied = [
        run({}, {"n.md": x}, {"n.md": y}, role, times=(3.0, 3.0))[0]
        for x, y, role in ((B, C, Role.LOCAL), (C, B, Role.CLOUD))
    ]
    assert tied[0] == tied[1]


def test_a_time_in_the_future_counts_as_older() -> None:
    assert run({}, {"n.md": B}, {"n.md": C}, times=(99.0, 1.0))[0]["n.md"] == C
    assert run({}, {"n.md": B}, {"n.md": C}, times=(1.0, 99.0))[0]["n.md"] == B


def test_properties_are_never_merged_line_by_line() -> None:
    base = b"---\nto: a\ncc: b\n---\nbody\n"
    ours = b"---\nto: x\ncc: b\n---\nbody\n"
    theirs = b"---\nto: a\ncc: y\n---\nbody\n"
    files, _ = run({"n.md": base}, {"n.md": ours}, {"n.md": theirs}, text=lambda o, b, t: b"mix")
    assert files == {"n.md": ours, conflict_name("n.md", theirs): theirs}


def test_properties_of_one_side_and_text_of_the_other_go_together() -> None:
    base, ours, theirs = (f"---\nk: {k}\n---\n{t}\n".encode() for k, t in ("ab", "xb", "ay"))
    assert run({"n.md": base}, {"n.md": ours}, {"n.md": theirs})[0] == {
        "n.md": b"---\nk: x\n---\ny\n"
    }


def test_two_ids_that_want_one_path_both_live_under_names_that_are_scanned() -> None:
    x, y = note("x", "x"), note("y", "y")
    files, _ = run({}, {N: x}, {N: y})
    assert sorted(files.values()) == sorted([x, y])
    assert files[N] == y, "the hub's stays"
    assert all(place_of(path).is_note for path in files)


def test_a_copied_card_is_one_card_in_one_place() -> None:
    # A file manager copies first and removes later: the copy in the new folder is the move.
    assert run({PENDING: A}, {PENDING: A, APPROVED: A}, {PENDING: A})[0] == {APPROVED: A}
    # A duplicate in the same folder is a copy.
    twin = "Pending_Approval/email/x 1.md"
    assert run({PENDING: A}, {PENDING: A, twin: A}, {PENDING: A})[0] == {PENDING: A}
    files, _ = run({PENDING: A}, {PENDING: A, twin: B}, {PENDING: A})
    assert files == {PENDING: A, conflict_name(PENDING, B): B}


def test_two_notes_of_one_name_without_ids_are_two_notes() -> None:
    old, new = b"last week\n", b"this week\n"
    base = {"Done/2026-10/todo.md": old, "Needs_Action/todo.md": new}
    theirs = {"Done/2026-10/todo.md": old, "In_Progress/cloud/todo.md": new}
    assert run(base, base, theirs)[0] == theirs
    more = base | {"Needs_Action/general/todo.md": b"third\n"}
    assert run(base, more, theirs)[0] == theirs | {"Needs_Action/general/todo.md": b"third\n"}


def test_a_file_yields_to_a_folder() -> None:
    files, plan = run({}, {"a": b"file"}, {"a/b.md": b"in"})
    assert files == {"a/b.md": b"in", conflict_name("a", b"file"): b"file"}
    assert [step.verb for step in plan.steps] == [Verb.MOVE, Verb.CREATE]


def test_copies_of_losers_are_written_before_the_winner_takes_the_place() -> None:
    _, plan = run({"n.md": A}, {"n.md": B}, {"n.md": C}, times=(1.0, 2.0))
    assert [step.verb for step in plan.steps] == [Verb.CREATE, Verb.REPLACE]


def test_what_is_frozen_is_not_written_here() -> None:
    files, plan = run({PENDING: A}, {PENDING: A}, {PENDING: B}, frozen=frozenset({PENDING}))
    assert files[PENDING] == B
    assert [step.path for step in plan.steps] == [conflict_name(PENDING, B)]
    _, plan = run({N: A}, {N: A}, {PROGRESS: A}, frozen=frozenset({N}))
    assert plan.steps == ()
    both = {"frozen": frozenset({N}), "absent": frozenset({N})}
    _, plan = run({N: A}, {N: A}, {PROGRESS: A}, **both)
    assert [(s.verb, s.path) for s in plan.steps] == [(Verb.CREATE, PROGRESS)]


def test_nothing_is_written_over_a_file_that_does_not_sync() -> None:
    files, plan = run({}, {}, {"n.md": A}, occupied={"n.md": ""})
    assert files == {conflict_name("n.md", A): A}
    files, plan = run({}, {}, {"n.md": A}, occupied={"n.md": entry_of(A).oid})
    assert files == {"n.md": A}
    assert plan.steps == ()


def test_a_conflict_of_a_conflict_has_a_name_of_its_own() -> None:
    copy = conflict_name("n.md", C)
    files, _ = run({"n.md": A, copy: b"edited"}, {"n.md": B, copy: b"edited"},
                   {"n.md": C, copy: b"edited"})  # fmt: skip
    assert files[copy] == b"edited"
    assert C in files.values()


def test_modes_are_compared_too() -> None:
    plan = merge(
        {}, {}, {"n.md": Entry("100644", "a" * 40)}, ours_is=Role.LOCAL,
        know=Knowledge(lambda p, e: ("", False), lambda o: b"", lambda o, b, t: None,
                       lambda p: 0, lambda p: 0, 0.0),
    )  # fmt: skip
    assert plan.steps[0].verb is Verb.CREATE

"""Path maps: the same answers as plain dicts, whatever was changed; and the index of ids."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from nightdesk.sync.entries import Entry, entry_of
from nightdesk.sync.index import Index
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Draft, Paths, changes_between

NAMES = st.sampled_from(["a", "b", "c", "a.md", "Done", "Needs_Action", ""])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
VALUES = st.integers(1, 3)
CHANGES = st.lists(st.dictionaries(PATHS, st.none() | VALUES, max_size=6), max_size=6)


def applied(start: dict[str, int], changes: dict[str, int | None]) -> dict[str, int]:
    return {p: v for p, v in {**start, **changes}.items() if v is not None}


@given(CHANGES)
@settings(deadline=None, max_examples=60)
def test_every_version_is_what_a_dict_would_be(steps: list[dict[str, int | None]]) -> None:
    versions: list[tuple[Paths[int], dict[str, int]]] = [(Paths(), {})]
    for changes in steps:
        paths, plain = versions[-1]
        draft = Draft(paths)
        for path, value in changes.items():
            if value is not None:
                draft[path] = value
            elif path in draft:
                del draft[path]
        versions.append((paths.updated(changes), applied(plain, changes)))
        assert draft.done() == versions[-1][0]
        assert dict(draft) == versions[-1][1]
    for paths, plain in versions:
        assert dict(paths) == plain
        assert len(paths) == len(plain)
        assert paths == Paths.of(plain)
        for path in {p for changes in steps for p in changes}:
            assert paths.get(path) == plain.get(path)
            inside = {p: v for p, v in plain.items() if p.startswith(f"{path}/")}
            if path:
                assert dict(paths.below(path)) == inside
                assert paths.has_folder(path) == bool(inside)
        for other, dictionary in versions:
            assert dict(paths.sharing(other)) == plain
            assert len(paths.sharing(other)) == len(plain)
            copy = Paths.of(plain).sharing(other)
            assert (copy is other) == (plain == dictionary)
            assert (paths == other) == (plain == dictionary)
            turned = changes_between(paths, other)
            assert applied(plain, turned) == dictionary
            assert all(plain.get(p) != v for p, v in turned.items())


def test_what_did_not_change_is_shared_and_not_looked_at() -> None:
    class Counted(int):
        looks = 0

        def __eq__(self, other: object) -> bool:
            Counted.looks += 1
            return int(self) == other

        __hash__ = int.__hash__

    many = {f"f{n % 100}/{n}": Counted(n) for n in range(10_000)}
    start = Paths.of(many)
    end = start.updated({"f7/7": Counted(-1), "new/x": Counted(1)})
    Counted.looks = 0
    assert changes_between(start, end) == {"f7/7": -1, "new/x": 1}
    assert start != end
    assert Counted.looks < 20
    copy = Paths.of({path: Counted(value) for path, value in many.items()}).sharing(end)
    Counted.looks = 0
    assert changes_between(copy, end) == {"f7/7": -1, "new/x": 1}
    assert Counted.looks < 200
    assert start.updated({"f7/7": many["f7/7"], "not/there": None}) is start


def test_a_missing_path_is_a_missing_key() -> None:
    paths = Paths.of({"a/b": 1})
    for path in ("a", "b", "a/b/c", "", "/a/b"):
        assert path not in paths
        with pytest.raises(KeyError):
            del Draft(paths)[path]


STATE = st.builds(
    "{}/{}.md".format,
    st.sampled_from(["Done/x", "Needs_Action", "Approved", "Notes"]), st.sampled_from("pqr"),
)  # fmt: skip
SIDES = st.lists(st.dictionaries(STATE, st.sampled_from("xyz"), max_size=8), min_size=2, max_size=5)


@given(SIDES, st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_index_finds_what_a_search_finds(sides: list[dict[str, str]], follow: bool) -> None:
    made = [Paths.of({p: entry_of(v.encode()) for p, v in side.items()}) for side in sides]
    names = {entry_of(v.encode()): v for v in "xyz"}

    def name_of(path: str, entry: Entry) -> str:
        return names[entry]

    index = Index(name_of)
    for side in made:
        if follow:
            index.follow(side)
        for other in made:
            assert index.find(other, "xyz") == {
                name: sorted(p for p, e in other.items() if is_state_note(p) and names[e] == name)
                for name in "xyz"
            }

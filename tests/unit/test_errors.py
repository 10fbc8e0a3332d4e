"""Errors are written for the person: what, where, what to do next, and an exit code."""

from __future__ import annotations

import copy
import pickle

import pytest

from nightdesk import errors
from nightdesk.errors import ConfigError, NightdeskError, NoteError, PolicyDenied, Transient

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, NightdeskError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_where_what_and_remedy(kind: type[NightdeskError]) -> None:
    error = kind("it broke", remedy="Mend it", where="a/b.md")
    assert str(error) == "a/b.md: it broke. Mend it"
    assert str(kind("it broke")) == "it broke"
    assert str(kind("it broke", where="x")) == "x: it broke"
    assert str(kind("it broke", remedy="Mend it")) == "it broke. Mend it"
    assert kind.__doc__
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.remedy) == (kind, str(error), "Mend it")


def test_exit_codes_are_those_of_the_design() -> None:
    codes = {kind.__name__: kind.exit_code for kind in KINDS}
    assert codes.pop("UsageError") == 2
    assert codes.pop("ConfigError") == 3
    assert codes.pop("PolicyDenied") == 4
    assert codes.pop("AuditBroken") == 5
    assert set(codes.values()) == {1}


def test_a_note_error_names_its_line() -> None:
    error = NoteError("it broke", remedy="Mend it", where="a.md", line=7)
    assert str(error) == "a.md, line 7: it broke. Mend it"
    assert (error.line, pickle.loads(pickle.dumps(error)).line) == (7, 7)
    assert str(NoteError("it broke", where="a.md")) == "a.md: it broke"


def test_what_is_tried_again_is_known_by_its_class() -> None:
    transient = {kind.__name__ for kind in KINDS if issubclass(kind, Transient)}
    assert transient == {"Transient", "HubUnreachable", "ModelUnavailable"}
    assert not issubclass(PolicyDenied, Transient)
    assert not issubclass(ConfigError, Transient)


def test_undecodable_file_names_can_be_printed() -> None:
    error = NightdeskError("bad \udcff", remedy="rename \ud800", where="Inbox/bad\udcff.md")
    assert str(error).encode() == b"Inbox/bad\\udcff.md: bad \\udcff. rename \\ud800"

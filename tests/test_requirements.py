"""The requirement table is checked both ways."""

from __future__ import annotations

import pytest

from requirements import ROWS


def _everything_collected(request: pytest.FixtureRequest) -> None:
    chosen = [
        arg for arg in request.config.args if arg not in ("tests", str(request.config.rootpath))
    ]
    whole = all(arg.rstrip("/").endswith("tests") for arg in chosen)
    if not whole or request.config.option.keyword or request.config.option.markexpr:
        pytest.skip("only a part of the tests was collected; run them all to check the table")


def test_every_proven_row_has_a_test_and_says_what_was_broken(
    request: pytest.FixtureRequest, proofs: dict[str, list[str]]
) -> None:
    _everything_collected(request)
    proven = {name: row for name, row in ROWS.items() if not row.waits_for}
    assert not [name for name in proven if not proofs.get(name)], "proven rows without a test"
    assert not [name for name, row in proven.items() if not row.broken], "never seen red"


def test_every_row_that_a_test_names_exists(proofs: dict[str, list[str]]) -> None:
    assert not set(proofs) - set(ROWS)


def test_an_open_row_claims_no_break() -> None:
    assert not [name for name, row in ROWS.items() if row.waits_for and row.broken]

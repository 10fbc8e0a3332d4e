"""Two real vaults and a real bare hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twovaults import Desk


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A hub, the laptop's vault (which made it) and the cloud's (which joined it).

    With the mark `second_device` another device of the owner's stands in the cloud's place: it
    may write everywhere, as a person does.
    """
    second_device = request.node.get_closest_marker("second_device") is not None
    made = Desk(tmp_path, second_device=second_device)
    yield made
    made.close()


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Desk]:
    """The same with a second device of the owner's in the cloud's place."""
    made = Desk(tmp_path, second_device=True)
    yield made
    made.close()

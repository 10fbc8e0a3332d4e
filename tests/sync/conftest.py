"""Two real vaults and a real bare hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twovaults import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A hub, the laptop's vault (which made it) and the cloud's (which joined it)."""
    made = Desk(tmp_path)
    yield made
    made.close()

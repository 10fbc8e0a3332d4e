"""The trials share the laptop of the unit tests and the strace pieces of the sync sweep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SHARED = [str(Path(__file__).parents[1] / folder) for folder in ("unit", "sync")]
sys.path += [folder for folder in _SHARED if folder not in sys.path]


@pytest.fixture(scope="session")
def far_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The receiving side: a process of its own that keeps its own record."""
    from farside import FarSide

    with FarSide(tmp_path_factory.mktemp("farside")) as server:
        yield server

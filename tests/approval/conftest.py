"""The trials share the laptop of the unit tests and the strace pieces of the sync sweep."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
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


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is such a disk: some hundred lives, and no wear."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path_factory.mktemp("memory")
        return
    made = Path(tempfile.mkdtemp(prefix="nightdesk-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made, ignore_errors=True)

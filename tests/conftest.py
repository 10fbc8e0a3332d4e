"""What all tests share: a clean environment, and the record of which test proves which row."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

_PROOFS = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Scrub what a person's shell could leak into the tests."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "NIGHTDESK_", "XDG_")) or name in {
            "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "JOURNAL_STREAM",
        }:  # fmt: skip
            del os.environ[name]
    config.stash[_PROOFS] = defaultdict(list)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note the rows that each test names; the longest test first, the check of the table last."""
    for item in items:
        for mark in item.iter_markers("requirement"):
            for row in mark.args:
                config.stash[_PROOFS][row].append(item.nodeid)
    items.sort(
        key=lambda i: ("test_requirements" in i.nodeid, "test_state_machine" not in i.nodeid)
    )


@pytest.fixture
def proofs(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """Row of the specification -> the collected tests that name it."""
    return request.config.stash[_PROOFS]


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the real home folder, and no keyring is asked."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")

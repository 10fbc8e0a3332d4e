"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk

from nightdesk.local_agent.demo_mail import MailServer


@pytest.fixture
def bare_desk(tmp_path: Path) -> Iterator[Desk]:
    """A mail server and folders; nothing is set up yet."""
    with MailServer(tmp_path / "mail") as mail:
        yield Desk(tmp_path, mail)


@pytest.fixture
def desk(bare_desk: Desk) -> Desk:
    """Both sides set up, none running."""
    bare_desk.set_up()
    return bare_desk

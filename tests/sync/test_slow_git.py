"""A git that is slow to read what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from twovaults import Desk


def test_a_slow_git_gets_all_of_its_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine any call takes longer than the runner's first look at the clock."""
    import git

    desk.settle()
    real = git.Git.GIT_PYTHON_GIT_EXECUTABLE
    script = Path(desk.root / "git")
    script.write_text(
        f'#!/bin/sh\ncase " $* " in *" fast-import "*|*" update-index "*) sleep 0.6;; esac\n'
        f'exec "{real}" "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(git.Git, "GIT_PYTHON_GIT_EXECUTABLE", str(script))
    note = "A long note.\n" * 20_000  # more than a pipe holds
    desk.local.write("Notes/long.md", note)
    desk.local.sync()
    desk.cloud.sync()
    assert desk.cloud.read("Notes/long.md") == note.encode()

"""The person's own git in the vault: brought into step some time after sync has moved on.

It costs what the vault holds, so it waits until things are calm. Sync rests on nothing of it.
"""

from __future__ import annotations

import time
from contextlib import suppress

from nightdesk.errors import NightdeskError
from nightdesk.sync.clone import step_along
from nightdesk.sync.git import Git

CALM_SECONDS = 2.0
"""So long after the last commit the person's own git is brought into step..."""
UNCALM_SECONDS = 60.0
"""...and so long after the first that it lags behind, calm or not."""


class InStep:
    """Follows the commit that this disk has merged.

    Args:
        commit: where sync stands now.
    """

    def __init__(self, git: Git, commit: str) -> None:
        self._git = git
        self._commit = commit
        self._behind: tuple[float, float] | None = None
        self.step()

    def moved(self, commit: str) -> None:
        """Sync stands at another commit."""
        self._commit = commit
        now = time.monotonic()
        self._behind = (self._behind[0] if self._behind else now, now)

    def due(self) -> float | None:
        """Seconds until it is time to step; None where nothing lags behind."""
        if self._behind is None:
            return None
        first, last = self._behind
        return max(0.0, min(first + UNCALM_SECONDS, last + CALM_SECONDS) - time.monotonic())

    def step(self) -> None:
        """Bring the person's branch and index along."""
        self._behind = None
        with suppress(NightdeskError, OSError):
            if not step_along(self._git, self._commit):  # a lock was in the way
                self.moved(self._commit)

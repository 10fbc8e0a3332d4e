"""Telling systemd (or our own supervisor) how the daemon is: the sd_notify protocol.

WATCHDOG=1 is sent by the work loop after progress, never by a side thread, so that a hang
is seen. Without `$NOTIFY_SOCKET` everything here does nothing.
"""

from __future__ import annotations

import sdnotify


class Readiness:
    """The daemon's own word on its state."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._ready = False

    def progress(self, status: str) -> None:
        """Say that a pass of the loop is done; the first one means ready.

        Args:
            status: one line for `systemctl status`.
        """
        line = " ".join(status.split())[:200]
        if not self._ready:
            self._ready = True
            self._notifier.notify(f"READY=1\nSTATUS={line}")
        self._notifier.notify(f"WATCHDOG=1\nSTATUS={line}")

    def stopping(self) -> None:
        """Say that the daemon is going down on purpose."""
        self._notifier.notify("STOPPING=1")

"""The daemon's loop: wake on a signal or by time, do one pass, say how it went, stop cleanly.

A pass is the same whether it is the first, the thousandth or the only one.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from nightdesk.errors import NightdeskError, Transient
from nightdesk.supervise.notify import Readiness
from nightdesk.vault.watch import Signal

log = structlog.get_logger()

BUGS_IN_A_ROW = 10
"""After so many passes in a row that ended in a bug, the process ends and is restarted fresh."""

Pass = Callable[[], float]
"""One pass; returns the seconds after which the next one is due without any signal."""


class Stop:
    """The wish to stop, raised by SIGTERM or SIGINT; the running pass is finished first.

    Args:
        wake: raised with it, so that a waiting loop looks up.
        interrupt: ends what may last long (a hub that does not answer).
    """

    def __init__(self, wake: Signal, interrupt: Callable[[], None]) -> None:
        self.asked = threading.Event()
        self._wake = wake
        self._interrupt = interrupt

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGTERM and SIGINT; a second signal interrupts at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.asked.is_set():
                raise KeyboardInterrupt
            self.asked.set()
            self._interrupt()
            self._wake.set()

        before = {n: signal.signal(n, handle) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(one_pass: Pass, wake: Signal, stop: Stop) -> None:
    """Run passes until asked to stop.

    A person's mistake or an outage is logged and the loop goes on; a bug is logged with its
    trace and the loop goes on too, but not for ever.

    Args:
        one_pass: one pass of the work.
        wake: raised by watchers and signals.
    """
    readiness = Readiness()
    bugs = 0
    try:
        while not stop.asked.is_set():
            pause, status = 2.0, "working"
            try:
                pause = one_pass()
                bugs = 0
            except Transient as e:
                status = str(e)
                log.warning("will try again", what=e.what, where=e.where, remedy=e.remedy)
            except NightdeskError as e:
                status = str(e)
                log.error("needs a person", what=e.what, where=e.where, remedy=e.remedy)
                pause = 5.0
            except OSError as e:
                status = f"{e.filename or 'the system'}: {e.strerror}"
                log.error("the system refused", what=str(e), remedy="Check disk and permissions")
                pause = 5.0
            except sqlite3.OperationalError as e:  # full, read-only, locked by a backup
                status = f"a database in the state folder: {e}"
                log.error(
                    "the system refused",
                    what=status,
                    remedy="Free space on the disk of the state folder, or make it writable",
                )
                pause = 5.0
            except Exception:  # a bug in one pass must not stop the desk
                bugs += 1
                status = "a pass failed by a bug; see the log"
                log.exception("a pass failed", in_a_row=bugs)
                if bugs >= BUGS_IN_A_ROW:
                    raise
            readiness.progress(status)
            if not stop.asked.is_set():
                wake.wait(pause)
    finally:
        readiness.stopping()
        log.info("stopped")

"""Running an agent as a daemon or for one pass; the same for both."""

from __future__ import annotations

from typing import Protocol

import structlog

from nightdesk.errors import HubUnreachable
from nightdesk.runtime.command import Desk
from nightdesk.runtime.desk import watching
from nightdesk.runtime.loop import Stop, run
from nightdesk.sync.engine import Engine
from nightdesk.vault.watch import Signal

log = structlog.get_logger()


class Agent(Protocol):
    """What the loop needs of an agent."""

    engine: Engine

    def open(self) -> None:
        """Take the vault."""

    def close(self) -> None:
        """Let go of everything."""

    def one_pass(self) -> float:
        """Do one pass; returns the seconds until the next is due."""

    def offline(self) -> str:
        """Why the hub could not be reached in the last pass, or ""."""

    def interrupt(self) -> None:
        """End what may last long; called from a signal handler."""

    def unsettled(self) -> float | None:
        """Seconds until something that was begun can be finished; None where all is settled."""


def serve(desk: Desk, agent: Agent, *, once: bool) -> None:
    """Run an agent until it is asked to stop, or for one pass.

    Args:
        once: one pass, and what it began is finished (an approval's quiet period and hold);
            its errors reach the caller.
    """
    wake = Signal()
    stop = Stop(wake, agent.interrupt)
    with stop.on_signals():
        try:
            agent.open()
            log.info("started", agent=desk.settings.name, vault=str(desk.vault), once=once)
            if once:
                _settle(agent, wake, stop)
            else:
                with watching(desk, wake) as watch:
                    agent.engine.watched(watch.take)
                    run(agent.one_pass, wake, stop)
        finally:
            agent.close()


def _settle(agent: Agent, wake: Signal, stop: Stop) -> None:
    agent.one_pass()
    while (pause := agent.unsettled()) is not None:
        wake.wait(pause)
        if stop.asked.is_set():
            return
        agent.one_pass()
    if why := agent.offline():
        raise HubUnreachable(
            f"this pass did not sync: {why}", remedy="What was done here syncs with the next pass"
        )

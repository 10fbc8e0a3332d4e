"""Knowing that the hub changed, where it can be watched; other hubs are polled by the agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nightdesk.sync.access import Access
from nightdesk.sync.address import local_path
from nightdesk.sync.held import HeldConnection
from nightdesk.vault.watch import Signal, Watch


@contextmanager
def watch_hub(url: str, signal: Signal, access: Access | None = None) -> Iterator[bool]:
    """Raise a signal whenever the branch of a hub moves.

    The signal means "fetch now" and nothing else. Heartbeats do not raise it.

    Args:
        url: the hub's address.
        signal: what to raise.
        access: what opens it; without one only a hub on this machine is watched.

    Yields:
        Whether the hub is watched, or, over ssh, is watched as soon as it answers; False for
        one over https, and for a local one that is not there.
    """
    hub = local_path(url)
    if access is not None and access.transport == "ssh":
        with HeldConnection(access, signal):
            yield True
        return
    branches = hub / "refs" / "heads" if hub else None
    if branches is None or not branches.is_dir():
        yield False
        return
    with Watch([branches], signal):
        yield True

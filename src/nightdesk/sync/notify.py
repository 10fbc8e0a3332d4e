"""Knowing that the hub changed, where it can be watched; other hubs are polled by the agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nightdesk.sync.address import local_path
from nightdesk.vault.watch import Signal, Watch


@contextmanager
def watch_hub(url: str, signal: Signal) -> Iterator[bool]:
    """Raise a signal whenever a branch of a hub on this machine moves.

    The signal means "fetch now" and nothing else. Heartbeats do not raise it.

    Args:
        url: the hub's address.
        signal: what to raise.

    Yields:
        Whether the hub is watched; False for a remote one, and for one that is not there.
    """
    hub = local_path(url)
    branches = hub / "refs" / "heads" if hub else None
    if branches is None or not branches.is_dir():
        yield False
        return
    with Watch([branches], signal):
        yield True

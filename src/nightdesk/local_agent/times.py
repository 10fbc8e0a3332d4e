"""What the dashboard says about time: how long a card still waits, when an approval runs.

The dashboard holds no running clock: these words change by the hour, or when something happened.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from nightdesk.local_agent.dashboard import moment
from nightdesk.local_agent.journal import Row
from nightdesk.local_agent.states import State

SOON = timedelta(hours=24)
"""So long before it expires, a card is marked."""


def until(expires: datetime | None, now: datetime) -> str:
    """When a card expires, as the end of its line; marked and in hours on the last day."""
    if expires is None:
        return ""
    left = expires - now
    if left > SOON:
        return f" · until {moment(expires)}"
    hours = int(left.total_seconds() // 3600)
    words = f"in {hours} h" if hours >= 1 else "within the hour"
    if left <= timedelta(0):
        words = "now"
    return f" · ⏳ expires {words} (until {moment(expires)})"


def on_its_way(row: Row, hold_seconds: float, now: datetime, *, stopped: bool) -> str:
    """What happens with an approved card next, and how to stop it."""
    if row.state is State.IN_DOUBT:
        return "begun, no clear answer; Nightdesk is looking whether it happened"
    if row.state is not State.APPROVED:
        return "running: it can no longer be stopped"
    if stopped:
        return "waits, because the desk is stopped; move it out of `Approved/` to take it back"
    ends = (row.approved_at or row.updated) + timedelta(seconds=hold_seconds)
    when = f"is sent at {ends:%H:%M:%S} UTC" if ends > now else "is about to be sent"
    return f"{when}; move it out of `Approved/` to stop it"

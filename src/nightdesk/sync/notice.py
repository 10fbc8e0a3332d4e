"""The words of the held connection, as both of its ends know them. Standard library alone.

The lines are `nightdesk-watch 1` at the start, `moved`, and `alive` every 15 s. Whoever listens
answers each `alive` with a line.
"""

from __future__ import annotations

WATCH = "nightdesk-watch"
"""What the agent asks for over ssh."""

GREETING = "nightdesk-watch 1"
MOVED = "moved"
ALIVE = "alive"
HEARTBEAT_SECONDS = 15.0
SILENCE_SECONDS = 60.0
"""So long without an answer and the hub's end gives up."""

"""What one cycle did, in words that a status line or the dashboard can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightdesk.sync.entries import HeldBack, Refusal


@dataclass(frozen=True, slots=True)
class CycleReport:
    """The outcome of a cycle; an unreachable hub is a normal one.

    Attributes:
        pulled: paths that changed on this disk.
        pushed: paths that changed in the hub.
        conflicts: conflict copies that were made.
        held_back: what stays on this machine, and why.
        refused: what from the hub was not applied, or could not be written here, and why.
        withdrawn: drafts of this agent's own that were taken back before they left, because their
            task is no longer its own: path -> task id.
        offline: "" or why the hub could not be reached.
        changed: whether anything was pulled or pushed.
        tip: the hub's commit that this disk has merged; "" before the first.
    """

    pulled: tuple[str, ...] = ()
    pushed: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    refused: tuple[Refusal, ...] = ()
    withdrawn: Mapping[str, str] = field(default_factory=dict)
    offline: str = ""
    changed: bool = False
    tip: str = ""


@dataclass(slots=True)
class Progress:
    """A cycle's report while it grows over repeated attempts."""

    pulled: dict[str, None] = field(default_factory=dict)
    pushed: dict[str, None] = field(default_factory=dict)
    conflicts: dict[str, None] = field(default_factory=dict)
    held_back: list[HeldBack] = field(default_factory=list)
    refused: dict[Refusal, None] = field(default_factory=dict)
    withdrawn: dict[str, str] = field(default_factory=dict)
    offline: str = ""
    lost: str = ""
    strikes: dict[str, int] = field(default_factory=dict)

    def report(self, tip: str | None) -> CycleReport:
        """The finished report."""
        return CycleReport(
            pulled=tuple(self.pulled),
            pushed=tuple(self.pushed),
            conflicts=tuple(self.conflicts),
            held_back=tuple(sorted(self.held_back, key=lambda held: held.path)),
            refused=tuple(self.refused),
            withdrawn=dict(self.withdrawn),
            offline=self.offline,
            changed=bool(self.pulled or self.pushed),
            tip=tip or "",
        )

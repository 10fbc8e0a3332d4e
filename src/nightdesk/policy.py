"""The tables: who may work in which zone, and who may write where (docs/design.md, section 5)."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Which half of the desk is running."""

    CLOUD = "cloud"
    LOCAL = "local"


class Zone(StrEnum):
    """A domain of work (specification, key entity *Work Zone*)."""

    EMAIL = "email"
    SOCIAL = "social"
    ACCOUNTING = "accounting"
    GENERAL = "general"
    WHATSAPP = "whatsapp"
    PAYMENTS = "payments"


class Verb(StrEnum):
    """What may be done with a zone's work."""

    CLAIM = "claim"
    DRAFT = "draft"
    EXECUTE = "execute"


LOCAL_ONLY_ZONES: frozenset[str] = frozenset({Zone.WHATSAPP, Zone.PAYMENTS})
"""Zones whose notes never leave the laptop (FR-009, FR-010)."""

_DRAFTING = frozenset({Verb.CLAIM, Verb.DRAFT})
_ALL = frozenset(Verb)

MAY: dict[tuple[Role, Zone], frozenset[Verb]] = {
    (Role.CLOUD, Zone.EMAIL): _DRAFTING,
    (Role.CLOUD, Zone.SOCIAL): _DRAFTING,
    (Role.CLOUD, Zone.ACCOUNTING): _DRAFTING,
    (Role.CLOUD, Zone.GENERAL): _DRAFTING,
    (Role.CLOUD, Zone.WHATSAPP): frozenset(),
    (Role.CLOUD, Zone.PAYMENTS): frozenset(),
    (Role.LOCAL, Zone.EMAIL): frozenset({Verb.EXECUTE}),
    (Role.LOCAL, Zone.SOCIAL): frozenset({Verb.EXECUTE}),
    (Role.LOCAL, Zone.ACCOUNTING): frozenset({Verb.EXECUTE}),
    (Role.LOCAL, Zone.GENERAL): _ALL,
    (Role.LOCAL, Zone.WHATSAPP): _ALL,
    (Role.LOCAL, Zone.PAYMENTS): _ALL,
}
"""Role x zone -> verbs (US5). `general` belongs to whoever is first."""


def may(role: Role, zone: str, verb: Verb) -> bool:
    """Tell whether a role may do a thing in a zone; an unknown zone allows nothing."""
    try:
        return verb in MAY[role, Zone(zone.casefold())]
    except ValueError:
        return False


class Change(StrEnum):
    """What a commit does to one path."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"


_EVERY = frozenset(Change)
_CREATE = frozenset({Change.CREATE})

OWN = "In_Progress/<own>/"
"""Stands in the table for the folder of the claims of the agent that is asked about."""

CLOUD_MAY_WRITE: tuple[tuple[str, frozenset[Change]], ...] = (
    ("Inbox/", _CREATE),
    ("Needs_Action/", frozenset({Change.CREATE, Change.REMOVE})),
    (OWN, _EVERY),
    ("Plans/", _CREATE),
    ("Updates/", _CREATE),
    ("Done/", _CREATE),
    ("Attachments/", _CREATE),
    ("Pending_Approval/", _CREATE),
)
"""The cloud's half of the path table; a path that matches no prefix is forbidden.

Removing from `Needs_Action/` is allowed only as a move into its own folder; the gate, which
sees whole commits, checks that.
"""


ANYBODY_MAY_WRITE: tuple[tuple[str, frozenset[Change]], ...] = (("Inbox/", _CREATE),)
"""What an unknown or unsigned device may do: leave a note for the owner."""


def may_write(role: Role | None, path: str, change: Change, agent: str = "cloud") -> bool:
    """Tell whether a role may make this change at a vault-relative path.

    Args:
        role: the signer's role; None for an unknown or unsigned one.
        path: POSIX, for example "Needs_Action/email/x.md".
        change: what the commit does to it.
        agent: the signer's name; its claims lie in `In_Progress/<name>/`.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return False  # no path of a git tree; written like this only to deceive
    if role is Role.LOCAL:
        return True
    if any(part.startswith(".") for part in parts):
        return False
    table = CLOUD_MAY_WRITE if role is Role.CLOUD else ANYBODY_MAY_WRITE
    rows = ((prefix.replace("<own>", agent), allowed) for prefix, allowed in table)
    if not any(path.startswith(prefix) and change in allowed for prefix, allowed in rows):
        return False
    return role is None or _cloud_may_in_zone(parts, change)


def _cloud_may_in_zone(parts: list[str], change: Change) -> bool:
    zone = parts[1].casefold() if len(parts) > 2 else ""
    if zone not in LOCAL_ONLY_ZONES or parts[0] not in {"Needs_Action", "Pending_Approval"}:
        return True
    # The one thing: a bill found in a mail becomes a task that only the laptop can claim.
    return parts[0] == "Needs_Action" and zone == Zone.PAYMENTS and change is Change.CREATE

"""The tables: who may work in which zone, and who may write where (DESIGN section 5)."""

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

CLOUD_MAY_WRITE: tuple[tuple[str, frozenset[Change]], ...] = (
    ("Inbox/", _CREATE),
    ("Needs_Action/", frozenset({Change.CREATE, Change.REMOVE})),
    ("In_Progress/cloud/", _EVERY),
    ("Plans/", _CREATE),
    ("Updates/", _CREATE),
    ("Done/", _CREATE),
    ("Attachments/", _CREATE),
    ("Pending_Approval/", _CREATE),
)
"""The cloud's half of the path table; a path that matches no prefix is forbidden.

Removing from `Needs_Action/` is allowed only as a move into `In_Progress/cloud/`;
the gate, which sees whole commits, checks that.
"""


def may_write(role: Role, path: str, change: Change) -> bool:
    """Tell whether a role may make this change at a vault-relative path."""
    if role is Role.LOCAL:
        return True
    return any(path.startswith(prefix) and change in allowed for prefix, allowed in CLOUD_MAY_WRITE)

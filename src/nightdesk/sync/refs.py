"""The names of refs, in the hub and in a vault's clone. Standard library only."""

from __future__ import annotations

MAIN = "refs/heads/main"
"""The hub's one branch, and the branch that a person's own git in the vault is on."""

REPAIR = "refs/repair/main"
"""What the owner pushes to a hub of ours so that main becomes it, whatever main was."""

BASE = "refs/nightdesk/base"
"""The hub's commit that is completely merged into this disk."""

KEPT = "refs/nightdesk/kept"
"""Commits that the person made in the vault's own git."""

NOTHING = "refs/nightdesk/nothing"
"""An empty commit that every history counts after, where vault and hub had nothing in common."""

BEGUN = "refs/nightdesk/begun"
"""The hub's commit whose merge was last begun to be written to this disk."""

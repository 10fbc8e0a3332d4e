"""Which paths never sync, whatever is in them (FR-007).

Standard library and the vault's layout only: the hub's hook carries this very file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from nightdesk.vault.layout import fault_in_name

GITIGNORE = ".gitignore"
"""The one dot-path that syncs, from Local only."""

_FOLDERS: Mapping[str, str] = {
    "banking": "banking data never leaves this machine",
    "session": "a session store never leaves this machine",
    "sessions": "a session store never leaves this machine",
    "whatsapp-session": "a session store never leaves this machine",
    "whatsapp_session": "a session store never leaves this machine",
}
_NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\.env.*"), "an environment file holds credentials"),
    (re.compile(r".*\.session([-.].*)?"), "a session store never leaves this machine"),
    (re.compile(r"credentials?\.json"), "a credentials file never leaves this machine"),
    (re.compile(r"client_secret.*\.json"), "a credentials file never leaves this machine"),
    (re.compile(r"token.*\.json"), "a token file never leaves this machine"),
    (re.compile(r".*\.(pem|key|p12|pfx|kdbx)"), "a key file never leaves this machine"),
    (re.compile(r"id_(rsa|dsa|ecdsa|ed25519)(_.*)?"), "a key file never leaves this machine"),
)


@lru_cache(maxsize=1 << 14)
def excluded(path: str) -> str | None:
    """Say why a path never syncs, whatever is in it; None when it may.

    Case does not matter, and a pattern holds for folders as for files, at any depth.

    Args:
        path: vault-relative, "/" between the parts.
    """
    if path == GITIGNORE:
        return None
    for part in path.split("/"):
        lower = part.casefold()
        if reason := _FOLDERS.get(lower):
            return reason
        for pattern, reason in _NAMES:
            if pattern.fullmatch(lower):
                return reason
        if lower.startswith("."):
            return "hidden files and folders do not sync"
        if lower.startswith("git~"):
            return "the name is a Windows short form of .git"
    return None


@lru_cache(maxsize=1 << 14)
def fault_in_path(path: str) -> str | None:
    """Say which part of a path has a name that cannot be used everywhere, and why."""
    for part in path.split("/"):
        if fault := fault_in_name(part):
            return f"the name {part.encode('utf-8', 'backslashreplace').decode()!r} {fault}"
    return None

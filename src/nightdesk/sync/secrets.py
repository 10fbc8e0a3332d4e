"""What never leaves this machine: by path, by zone, and by content (FR-007, FR-009, FR-010)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

from nightdesk.errors import NoteError
from nightdesk.policy import LOCAL_ONLY_ZONES, Role, Zone
from nightdesk.sync.frontmatter import split
from nightdesk.vault.layout import Folder, fault_in_name
from nightdesk.vault.notes import parse_note

GITIGNORE = ".gitignore"
"""The one dot-path that syncs, from Local only."""

MIN_SECRET_LENGTH = 6
"""Shorter credentials would match by accident."""

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
_ZONE_WORD = re.compile("|".join(sorted(LOCAL_ONLY_ZONES)).encode(), re.IGNORECASE)


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


def held_back(path: str, data: bytes, role: Role = Role.LOCAL) -> str | None:
    """Say why a note's zone keeps it on this machine; None when it may leave.

    The zone is that of the property `zone`, or of any folder on the way; a note whose
    properties cannot be read stays when they seem to name a local-only zone. The cloud may
    hand a bill that came by mail to the laptop through `Needs_Action/payments/` (docs/design.md,
    section 5).
    """
    zone = _zone_of(path, data)
    if zone is None:
        return None
    handed = f"{Folder.NEEDS_ACTION}/{Zone.PAYMENTS}/"
    if role is Role.CLOUD and zone == Zone.PAYMENTS and path.startswith(handed):
        return None
    return f"it belongs to the zone {zone}, which stays on this machine"


def _zone_of(path: str, data: bytes) -> str | None:
    for part in path.split("/")[:-1]:
        if part.casefold() in LOCAL_ONLY_ZONES:
            return part.casefold()
    head, _ = split(data)
    word = _ZONE_WORD.search(head)
    if not word and b"\\" not in head:
        return None
    try:
        zone = parse_note(head).get("zone").strip().casefold()
    except NoteError:
        # Broken properties: the cautious reading, a line with `zone` and the word.
        line = re.search(rb"zone[^\n]*\b(%b)\b" % _ZONE_WORD.pattern, head, re.IGNORECASE)
        return line.group(1).decode().casefold() if line else None
    return zone if zone in LOCAL_ONLY_ZONES else None


@dataclass(frozen=True, slots=True)
class Hit:
    """What a guard found in a file.

    Attributes:
        line: counted from 1; 0 when the whole file is meant.
        leaves_hub: whether the hub's older version goes as well (the note changed its zone),
            rather than staying as it is (the new version must not go out).
    """

    reason: str
    line: int = 0
    leaves_hub: bool = False


class Guard:
    """Reads every file before it may leave this machine.

    Args:
        secrets: the agent's own configured credentials, by name; without names they are
            called "a configured credential". Matched exactly: plain, base64, hex, URL form.
        role: which half runs; the zones that must stay differ by one folder.
    """

    def __init__(
        self, secrets: Mapping[str, str] | Iterable[str] = (), *, role: Role = Role.LOCAL
    ) -> None:
        self.role = role
        named = (
            {f"the credential `{name}`": value for name, value in secrets.items()}
            if isinstance(secrets, Mapping)
            else {}
        )
        pairs = list(named.items()) or [("a configured credential", text) for text in secrets]
        self._forms: dict[bytes, str] = {
            form: name
            for name, value in pairs
            if len(value) >= MIN_SECRET_LENGTH
            for form in _forms(value)
        }
        self._pattern = (
            re.compile(b"|".join(re.escape(f) for f in sorted(self._forms, key=len, reverse=True)))
            if self._forms
            else None
        )

    def check(self, path: str, data: bytes) -> Hit | None:
        """Say why a file must stay; None when it may leave."""
        if reason := held_back(path, data, self.role):
            return Hit(reason, leaves_hub=True)
        if self._pattern and (found := self._pattern.search(data)):
            line = data.count(b"\n", 0, found.start()) + 1
            return Hit(f"it holds {self._forms[found.group()]}", line)
        return None


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode("utf-8", "surrogateescape")
    forms = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    forms |= {quote(raw, safe="").encode(), quote_plus(raw).encode()}
    for offset in range(3):
        # Base64 of a longer text looks different for each of three alignments; the first and
        # last characters also depend on the neighbours, so they are left out.
        coded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        start = (0, 2, 3)[offset]
        end = len(coded) - (1 if (len(raw) + offset) % 3 else 0)
        core = coded[start:end]
        forms |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in forms if len(form) >= MIN_SECRET_LENGTH}

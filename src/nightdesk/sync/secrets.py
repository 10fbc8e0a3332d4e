"""What never leaves this machine by its zone and its content (FR-007, FR-009, FR-010).

By path: `sync.exclude`. How a secret is recognised in any encoding: `sync.forms`. What a
provider's tokens look like: `vault.tokens`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nightdesk.errors import NoteError
from nightdesk.policy import LOCAL_ONLY_ZONES, Role, Zone
from nightdesk.sync.forms import MIN_SECRET_LENGTH, Searcher
from nightdesk.sync.heads import split
from nightdesk.vault import tokens
from nightdesk.vault.layout import Folder
from nightdesk.vault.notes import parse_note

__all__ = ["MIN_SECRET_LENGTH", "Guard", "Hit", "Secret", "held_back"]

_ZONE_WORD = re.compile("|".join(sorted(LOCAL_ONLY_ZONES)).encode(), re.IGNORECASE)
_DATABASES = (b"SQLite format 3\0", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", b"\x18\xe2\x2d\0")
"""How SQLite's database, write-ahead log and shared memory begin (sqlite.org/fileformat2.html):
browsers and messengers keep their sessions in such files, and so does the journal."""
_IN_NAME = "(its name holds a secret)"
_OWN_KIND = "secret of this desk"
_OWN_REDACTED = f"[redacted: {_OWN_KIND}]"
_MAX_LINES = 50
_MAX_KNOWN = 1 << 17


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
        reason: one clause without a full stop; where a person may let the file out, it ends with
            the line of the configuration that does it. Never quotes what was found.
        leaves_hub: whether the hub's older version goes as well (the note changed its zone),
            rather than staying as it is (the new version must not go out).
        known_is_fine: whether bytes that the hub holds already may stay there: a token that the
            other side has released is no news.
    """

    reason: str
    line: int = 0
    leaves_hub: bool = False
    known_is_fine: bool = False


@dataclass(frozen=True, slots=True)
class Secret:
    """Something of this machine that must never leave it.

    Attributes:
        owner: what it is, as a person reads it: "the credential `smtp_password`".
        value: text, or bytes for keys that are no text.
    """

    owner: str
    value: str | bytes


class Guard:
    """Reads every file before it may leave this machine.

    Args:
        secrets: what this machine must keep: credentials by name, or `Secret`s; bare texts are
            called "a configured credential". Found in any form that `sync.forms` knows.
        role: which half runs; the zones that must stay differ by one folder.
        release: exact paths whose content may go out although it looks like a secret. Zones,
            excluded paths and canaries are never released.
        canaries: planted fake tokens, by what is said when one is found.
    """

    def __init__(
        self,
        secrets: Mapping[str, str] | Iterable[str | Secret] = (),
        *,
        role: Role = Role.LOCAL,
        release: Iterable[str] = (),
        canaries: Iterable[Secret] = (),
    ) -> None:
        self.role = role
        self._release = list(dict.fromkeys(release))
        if isinstance(secrets, Mapping):
            secrets = [Secret(f"the credential `{name}`", value) for name, value in secrets.items()]
        known = [
            s if isinstance(s, Secret) else Secret("a configured credential", s) for s in secrets
        ]
        self._own = Searcher([(secret.owner, secret.value) for secret in known])
        self._canaries = [(canary.value, canary.owner) for canary in canaries]
        self._planted = Searcher([(owner, value) for value, owner in self._canaries])
        # Every few minutes every note is read again; what was clean is known by its digest.
        self._names: dict[str, str | None] = {}
        self._clean: set[bytes] = set()

    def check(self, path: str, data: bytes) -> Hit | None:
        """Say why a file must stay; None when it may leave."""
        if reason := held_back(path, data, self.role):
            return Hit(reason, leaves_hub=True)
        if owner := self._in_name(path):
            return Hit(f"its name holds {owner}; rename it")
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest in self._clean:
            return None
        if found := self._planted.find(data):
            return Hit(f"it holds {found.owner}", found.line)
        if path in self._release:
            return None
        hit = self._by_content(path, data)
        if hit is None:
            _make_room(self._clean)
            self._clean.add(digest)
        return hit

    def check_incoming(self, path: str, data: bytes) -> Hit | None:
        """Say whether a file from the hub holds one of this machine's own secrets or canaries.

        Then the secret has leaked already: others have it, and the history of the hub keeps it.
        The file is a reason for an alarm and must not be applied; the remedy is a new
        credential. Zones and token formats are no reason: what comes in has left another
        machine, whose person may have released it, and refusing it would lose a note.
        """
        for searcher in (self._own, self._planted):
            if found := searcher.find(path.encode("utf-8", "surrogateescape")):
                return Hit(f"its name holds {found.owner}: the hub knows it; make a new one")
            if found := searcher.find(data):
                return Hit(f"it holds {found.owner}: the hub knows it; make a new one", found.line)
        return None

    def marks_copy(self, data: bytes) -> bool:
        """Whether a file is a canary: the folder around it is a copy of private files."""
        return data.strip() in {_bytes(value) for value, _ in self._canaries}

    def shown(self, path: str) -> str:
        """A path as it may be shown: parts that hold a secret are left out."""
        if self._in_name(path) is None:
            return path
        parts = [_IN_NAME if self._in_text(part) else part for part in path.split("/")]
        return "/".join(parts) if _IN_NAME in parts else _IN_NAME

    def clean(self, text: str) -> str:
        """A short text that goes out beside the notes (a heartbeat), without secrets."""
        owner = self._in_text(text)
        return f"(withheld: it held {owner})" if owner else text

    def redact(self, text: str) -> tokens.Redacted:
        """A text from outside without foreign tokens and without this machine's own secrets.

        A line in which an own secret begins is left out whole, in whatever form it stands there.
        """
        kept, counts = tokens.redact(text)
        for searcher in (self._own, self._planted):
            while found := searcher.find(kept.encode("utf-8", "surrogatepass")):
                counts[_OWN_KIND] += 1
                lines = kept.split("\n")
                again = lines[found.line - 1] == _OWN_REDACTED or counts[_OWN_KIND] > _MAX_LINES
                if again:
                    return tokens.Redacted(_OWN_REDACTED, counts)
                lines[found.line - 1] = _OWN_REDACTED
                kept = "\n".join(lines)
        return tokens.Redacted(kept, counts)

    def _in_text(self, text: str) -> str | None:
        data = text.encode("utf-8", "surrogateescape")
        for searcher in (self._own, self._planted):
            if found := searcher.find(data):
                return found.owner
        if hits := tokens.find(text):
            return f"what looks like a secret ({hits[0].kind})"
        return None

    def _in_name(self, path: str) -> str | None:
        if path not in self._names:
            _make_room(self._names)
            self._names[path] = self._in_text(path)
        return self._names[path]

    def _by_content(self, path: str, data: bytes) -> Hit | None:
        if found := self._own.find(data):
            return Hit(f"it holds {found.owner}; {self._release_line(path)}", found.line)
        if data.startswith(_DATABASES):
            return Hit(
                f"it is a database; sessions are kept in such files; {self._release_line(path)}",
                known_is_fine=True,
            )
        text = data.replace(b"\0", b"").decode("latin-1")
        if hits := tokens.find(text):
            line = text.count("\n", 0, hits[0].start) + 1
            reason = f"it holds what looks like a secret ({hits[0].kind})"
            return Hit(f"{reason}; {self._release_line(path)}", line, known_is_fine=True)
        return None

    def _release_line(self, path: str) -> str:
        # A JSON string is a TOML string. The whole line, so that it can be copied as it is.
        paths = ", ".join(json.dumps(p, ensure_ascii=False) for p in [*self._release, path])
        return f"to let it out, write release = [{paths}] under [sync] and restart"


def _make_room(known: dict[str, str | None] | set[bytes]) -> None:
    if len(known) > _MAX_KNOWN:
        known.clear()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()

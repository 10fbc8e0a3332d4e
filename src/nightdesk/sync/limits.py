"""Stops: a mass deletion that nobody confirmed, and a push that was refused before."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nightdesk.errors import HubRefused, SyncHalted
from nightdesk.sync.entries import Entry, HeldBack, PathMap, printable
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.plan import Step, Verb
from nightdesk.vault.files import write
from nightdesk.vault.layout import Folder, place_of

AGAIN_SECONDS = 30.0
"""So long the same push waits after the hub had no room for it."""

_NAMED = re.compile(r'nightdesk: refused: path ("(?:[^"\\]|\\.)*"): (.*?)(?= / nightdesk:|$)')

ACCEPT = "accept-deletions"
"""A file of this name in the state folder releases one cycle."""


class DeletionGuard:
    """Stops a cycle that would remove more than `most` files and a third of a side.

    Args:
        state: the agent's state folder.
        most: number of files.
    """

    def __init__(self, state: Path, most: int) -> None:
        self._accept = state / ACCEPT
        self._most = most

    def check(
        self,
        steps: Sequence[Step],
        disk: PathMap,
        changes: Mapping[str, Entry | None],
        hub: PathMap,
    ) -> None:
        """Look at both directions before anything is written.

        Raises:
            SyncHalted: too much would go, and the person has not said yes.
        """
        here = sum(step.verb is Verb.REMOVE and not _is_report(step.path) for step in steps)
        arrived = {
            place_of(path).name for path, entry in changes.items() if entry and is_state_note(path)
        }
        gone = Counter(
            hub[path].oid
            for path, entry in changes.items()
            if not entry
            and path in hub
            and not _is_report(path)
            # A note that was filed has moved, whatever was written into it on the way.
            and not (is_state_note(path) and place_of(path).name in arrived)
        )
        gone -= Counter(entry.oid for entry in changes.values() if entry)  # those only moved
        there = gone.total()
        for number, total, where in ((here, len(disk), "this vault"), (there, len(hub), "the hub")):
            if number > self._most and number * 3 > total and not self._accept.exists():
                raise SyncHalted(
                    f"{number} of {total} files would be removed from {where}",
                    remedy=f"If that is right, create the empty file {self._accept}, once; if not,"
                    " put the files back (every state of the last 30 days is under"
                    " refs/nightdesk/snapshots in the vault's git)",
                    where=str(self._accept),
                )

    def used(self) -> None:
        """The released cycle is done: the next one asks again."""
        self._accept.unlink(missing_ok=True)


def _is_report(path: str) -> bool:
    """Updates are there to be merged and removed; their going is no loss."""
    return path.startswith(f"{Folder.UPDATES}/")


class RefusedPush:
    """Remembers what the hub refused, so that the same push is not sent again.

    A hub of ours names the paths that it will not take: they are held back, with these very
    bytes, and the rest goes. What the hub could not take for want of space is sent again after
    a while; that is not remembered across a restart.

    Args:
        file: where it is kept across restarts.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._later: tuple[str, str, float] = ("", "", 0.0)
        self._whole: tuple[str, str] = ("", "")
        self._paths: dict[str, tuple[str, str]] = {}
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_text("utf-8"))
            self._whole = (str(kept["digest"]), str(kept["what"]))
            self._paths = {path: (oid, reason) for path, (oid, reason) in kept["paths"].items()}

    def without(
        self, changes: Mapping[str, Entry | None]
    ) -> tuple[dict[str, Entry | None], list[HeldBack]]:
        """Leave out the paths that the hub would not take as they are now."""
        held = {
            path: self._paths[path][1]
            for path, entry in changes.items()
            if path in self._paths and self._paths[path][0] == _oid(entry)
        }
        rest = {path: entry for path, entry in changes.items() if path not in held}
        return rest, [HeldBack(printable(p), f"the hub refused it: {r}") for p, r in held.items()]

    def hold(self, said: str, changes: Mapping[str, Entry | None]) -> bool:
        """Hold back the paths that a hub of ours has named; False where it named none of these.

        Args:
            said: its words.
        """
        names = {json.loads(quoted): reason.strip() for quoted, reason in _NAMED.findall(said)}
        known = {printable(path): path for path in changes}
        found = {known[name]: reason for name, reason in names.items() if name in known}
        for path, reason in found.items():
            self._paths[path] = (_oid(changes[path]), reason)
        if found:
            self._save()
        return bool(found)

    def check(self, changes: Mapping[str, Entry | None]) -> None:
        """Raise again what the hub said to these very changes.

        Raises:
            HubRefused: they were refused before; nothing was sent.
        """
        digest = _digest(changes)
        if self._later[0] == digest and time.monotonic() < self._later[2]:
            raise HubRefused(
                self._later[1],
                remedy=f"It is tried again every {AGAIN_SECONDS:.0f} seconds; free space on the"
                " hub's disk, make it writable, or raise its quota",
                where=_first(changes),
            )
        if self._whole[0] == digest:
            raise HubRefused(
                self._whole[1],
                remedy="The same push is not sent again; change or remove what it names",
                where=_first(changes),
            )

    def remember(
        self, changes: Mapping[str, Entry | None], what: str, *, passing: bool = False
    ) -> None:
        """Note a refusal.

        Args:
            passing: the hub could not, rather than would not.
        """
        if passing:
            self._later = (_digest(changes), what, time.monotonic() + AGAIN_SECONDS)
        else:
            self._whole = (_digest(changes), what)
            self._save()

    def forget(self) -> None:
        """Something was accepted: what is left as a whole may be judged anew."""
        self._later = ("", "", 0.0)
        if self._whole[0]:
            self._whole = ("", "")
            self._save()

    def _save(self) -> None:
        kept = {"digest": self._whole[0], "what": self._whole[1], "paths": self._paths}
        write(self._file, json.dumps(kept).encode())


def _oid(entry: Entry | None) -> str:
    return entry.oid if entry else ""


def _first(changes: Mapping[str, Entry | None]) -> str:
    return ", ".join(sorted(changes)[:3])


def _digest(changes: Mapping[str, Entry | None]) -> str:
    lines = sorted(f"{path}\0{entry.oid if entry else ''}" for path, entry in changes.items())
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

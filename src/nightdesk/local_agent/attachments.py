"""A card's attachments: shown when it is written, bound to the approval when it is approved.

The card says of each file its name, size, type and hash. What is approved must be what the card
says; a file that has changed since, or has gone, sends the card back to the person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from nightdesk.errors import NotSent
from nightdesk.local_agent.journal import Journal, Row
from nightdesk.local_agent.states import State
from nightdesk.vault.actions import Action, files_in
from nightdesk.vault.attached import (
    Attached,
    Attachment,
    attached,
    check_total,
    keep,
    keep_only,
    media_type,
)

_LINE = re.compile(r"> \[!(?:info|warning)\] Attachment: `([^`]*)`(?:.*sha256 `([0-9a-f]{64})`)?.*")
_NEEDED = (State.APPROVED, State.CLAIMED, State.INTENT, State.IN_DOUBT, State.HUMAN_DECIDES)
_REMEMBERED = 500


class Attachments:
    """Looks at the files of `Attachments/` that cards name, and keeps private copies.

    Args:
        journal: its folder also holds `attachments/`, the private copies.
    """

    def __init__(self, journal: Journal, vault: Path) -> None:
        self._journal = journal
        self._vault = vault
        self._state = journal.path.parent
        self._seen: dict[tuple[str, tuple[int, int, int, int]], Attached] = {}

    def lines(self, action: Action) -> tuple[str, ...]:
        """What a card says about its files as they are now, a callout each."""
        found: list[str] = []
        sizes = 0
        for path in action.files():
            name = _code(path)
            try:
                file = self._look(path)
            except NotSent as e:
                found.append(f"[!warning] Attachment: {name} cannot be sent: {_plain(e.what)}")
                continue
            sizes += file.size
            found.append(
                f"[!info] Attachment: {name}, {file.size:,} bytes, {media_type(path)}, "
                f"sha256 `{file.sha256}`"
            )
        try:
            check_total([sizes])
        except NotSent as e:
            found.append(f"[!warning] {_plain(e.what)}: the card cannot be sent like this.")
        return tuple(found)

    def bind(self, action: Action, card: str) -> tuple[Attached, ...]:
        """Copy the files of an approved card privately.

        Args:
            card: the text of the card as it was approved.

        Raises:
            NotSent: a file is missing, no ordinary file, too large, or not what the card says.
        """
        said = {match[1]: match[2] for match in map(_LINE.fullmatch, _above(card)) if match}
        bound: list[Attached] = []
        for path in action.files():
            with Attachment(self._vault, path) as file:
                data = file.read()
            one = attached(path, data)
            shown = _code(path).strip("`")
            if shown in said and said[shown] != one.sha256:
                raise NotSent(
                    f"the attachment {path!r} is not the file that the card showed you",
                    remedy="The card shows it as it is now. Look at it, and approve again",
                )
            bound.append(one)
            check_total(one.size for one in bound)
            keep(self._state, data)
        return tuple(bound)

    def forget(self) -> None:
        """Remove the private copies of what is settled."""
        rows: Iterable[Row] = self._journal.rows(_NEEDED)
        keep_only(self._state, {f.sha256 for row in rows for f in files_in(row.canonical)})

    def _look(self, path: str) -> Attached:
        with Attachment(self._vault, path) as file:
            key = (path, file.mark)
            if key not in self._seen:
                one = attached(path, file.read())
                if len(self._seen) >= _REMEMBERED:
                    self._seen.clear()
                self._seen[key] = one
            return self._seen[key]


def with_lines(body: Collection[bytes], lines: Iterable[str]) -> list[bytes]:
    """The lines above a card's draft, with what they say about its files replaced.

    Args:
        body: the lines, with their ends.
        lines: what `Attachments.lines` gives.
    """
    kept = [line for line in body if not _LINE.fullmatch(line.decode("utf-8", "replace").rstrip())]
    return [*(f"> {line}\n".encode() for line in lines), *kept]


def file_lines(row: Row) -> list[str]:
    """What was attached, for the Done note and the log; a line each."""
    return [
        f"Attachment: {_code(file.name)}, {file.size:,} bytes, sha256 `{file.sha256}`"
        for file in files_in(row.canonical)
    ]


def _above(card: str) -> list[str]:
    above: list[str] = []
    for line in card.replace("\r\n", "\n").split("\n"):
        if line.startswith("# "):
            break
        above.append(line.rstrip())
    return above


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).replace("`", "'").split())


def _code(text: str) -> str:
    return f"`{_plain(text)}`"

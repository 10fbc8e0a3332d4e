"""What of the hub's tip takes part in the merge: trespasses undone, new cards rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from nightdesk.sync.contents import Contents
from nightdesk.sync.entries import Entry, PathMap, Refusal, entry_of, printable
from nightdesk.sync.gate import Verdict
from nightdesk.sync.git import Git
from nightdesk.sync.pairing import is_state_note
from nightdesk.vault.layout import Folder

Renderer: TypeAlias = Callable[[str, bytes], bytes | None]
"""Path and bytes of a new card from the hub -> the bytes for the vault; None refuses it.

It is asked again for the same card when a run was killed before the card was on the disk.
"""

_PENDING = f"{Folder.PENDING}/"
_BEFORE_THE_PERSON = (_PENDING, f"{Folder.APPROVED}/", f"{Folder.REJECTED}/")


@dataclass(slots=True)
class Reviewed:
    """The hub's side as the merge may see it, and what was refused of it."""

    theirs: dict[str, Entry]
    refusals: list[Refusal] = field(default_factory=list)


def undo_trespass(
    verdict: Verdict, base: PathMap, ours: PathMap, tip: PathMap, contents: Contents
) -> Reviewed:
    """Put every path that the gate refused back to what it was.

    A note whose move was refused is back at its place, so that refusing a forged move does
    not remove the note.

    Args:
        base, ours, tip: paths that can be part of the vault.
    """
    reviewed = Reviewed(dict(tip))
    reviewed.refusals += [Refusal(printable(path), why) for path, why in verdict.alien.items()]
    for path in verdict.alien:
        if path in base and path not in tip:
            reviewed.theirs[path] = base[path]  # a note made a link or a program is no removal
    for path, reason in verdict.trespass.items():
        entry = tip.get(path)
        if entry == ours.get(path) or entry == base.get(path):
            continue  # nothing is left of it, or this disk says the same
        reviewed.refusals.append(Refusal(printable(path), reason))
        if path in base:
            reviewed.theirs[path] = base[path]
        else:
            reviewed.theirs.pop(path, None)
        if entry is not None and is_state_note(path):
            _back_home(path, entry, base, reviewed.theirs, contents)
    return reviewed


def drop_twins(base: PathMap, ours: PathMap, reviewed: Reviewed, contents: Contents) -> None:
    """Refuse notes from the hub that take the id of a card which lies before the person.

    Without this a file with a card's id in another folder would count as the card's move and
    carry it away, or put text that nobody reviewed in its place. What this disk holds at the
    same path is its own and stays.
    """
    new = [
        path
        for path, entry in reviewed.theirs.items() - base.items()
        if is_state_note(path) and ours.get(path) != reviewed.theirs[path]
    ]
    if not new:
        return
    cards = {
        contents.ident(path, entry)[0]: path
        for side in (base, ours)
        for path, entry in side.items()
        if path.startswith(_BEFORE_THE_PERSON) and is_state_note(path)
    }
    for path in sorted(new):
        name = contents.ident(path, reviewed.theirs[path])[0]
        if name not in cards or cards[name] == path:
            continue
        if path in base:
            reviewed.theirs[path] = base[path]
        else:
            del reviewed.theirs[path]
        reason = f"it takes the id of the card {cards[name]}, which waits for the person here"
        reviewed.refusals.append(Refusal(printable(path), reason))


def _back_home(
    path: str, entry: Entry, base: PathMap, theirs: dict[str, Entry], contents: Contents
) -> None:
    name = contents.ident(path, entry)[0]
    if any(is_state_note(p) and contents.ident(p, e)[0] == name for p, e in theirs.items()):
        return
    for home, was in base.items():
        if is_state_note(home) and contents.ident(home, was)[0] == name:
            theirs[home] = was
            return


class CardReview:
    """Has every card that is new in the hub rendered, before its bytes reach the vault."""

    def __init__(self, git: Git, contents: Contents, render: Renderer) -> None:
        self._git = git
        self._contents = contents
        self._render = render
        self._done: dict[tuple[str, str], Entry | None] = {}

    def review(self, base: PathMap, ours: PathMap, reviewed: Reviewed) -> None:
        """Replace new cards in `Pending_Approval/` by what the renderer made of them."""
        new = [
            path
            for path, entry in reviewed.theirs.items() - base.items()
            if path.startswith(_PENDING) and is_state_note(path) and path not in base
        ]
        if not new:
            return
        here = self._ids(ours)
        before = self._ids(base)
        there = self._ids({p: e for p, e in reviewed.theirs.items() if p not in new})
        for path in sorted(new):
            entry = reviewed.theirs[path]
            name = self._contents.ident(path, entry)[0]
            if name in there:
                del reviewed.theirs[path]
                reviewed.refusals.append(
                    Refusal(printable(path), f"a note with the id {name!r} exists already")
                )
            elif name in here and name not in before:
                # Rendered by a run that was killed: what stands on this disk is the card.
                reviewed.theirs[path] = here[name]
            else:
                self._replace(path, entry, reviewed)
                if path not in reviewed.theirs:
                    _back_home(path, entry, base, reviewed.theirs, self._contents)

    def _replace(self, path: str, entry: Entry, reviewed: Reviewed) -> None:
        key = (path, entry.oid)
        if key not in self._done:
            data = self._contents.read(entry.oid)
            rendered = self._render(path, data)
            if rendered is not None and rendered != data:
                self._git.write([rendered])
            self._done[key] = None if rendered is None else entry_of(rendered)
        card = self._done[key]
        if card is not None:
            reviewed.theirs[path] = card
            return
        del reviewed.theirs[path]
        reviewed.refusals.append(
            Refusal(printable(path), "the card was refused; the reason stands in the journal")
        )

    def _ids(self, side: PathMap) -> dict[str, Entry]:
        return {self._contents.ident(p, e)[0]: e for p, e in side.items() if is_state_note(p)}

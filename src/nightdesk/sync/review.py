"""What of the hub's tip takes part in the merge: trespasses undone, new cards rendered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeAlias

from nightdesk.sync.contents import Contents
from nightdesk.sync.entries import Entry, PathMap, Refusal, entry_of, printable
from nightdesk.sync.gate import Verdict
from nightdesk.sync.git import Git
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Draft, Paths, changes_between
from nightdesk.vault.layout import Folder

Renderer: TypeAlias = Callable[[str, bytes], bytes | None]
"""Path and bytes of a new card from the hub -> the bytes for the vault; None refuses it.

It is asked again for the same card when a run was killed before the card was on the disk.
"""

_PENDING = f"{Folder.PENDING}/"
_BEFORE_THE_PERSON = (Folder.PENDING, Folder.APPROVED, Folder.REJECTED)


@dataclass(slots=True)
class Reviewed:
    """The hub's side as the merge may see it, and what was refused of it."""

    theirs: Draft[Entry]
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
    reviewed = Reviewed(Draft(tip))
    reviewed.refusals += [Refusal(printable(path), why) for path, why in verdict.alien.items()]
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
        for path, entry in changes_between(base, reviewed.theirs).items()
        if entry and is_state_note(path) and path not in ours
    ]
    if not new:
        return
    cards = {
        contents.ident(path, entry)[0]: path
        for side in map(Paths.of, (base, ours))
        for folder in _BEFORE_THE_PERSON
        for path, entry in side.below(folder)
        if is_state_note(path)
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
    path: str, entry: Entry, base: PathMap, theirs: Draft[Entry], contents: Contents
) -> None:
    name = contents.ident(path, entry)[0]
    if contents.find(theirs.done(), [name])[name]:
        return
    for home in contents.find(base, [name])[name][:1]:
        theirs[home] = base[home]


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
            for path, entry in changes_between(base, reviewed.theirs).items()
            if entry and path.startswith(_PENDING) and is_state_note(path) and path not in base
        ]
        if not new:
            return
        names = {self._contents.ident(path, reviewed.theirs[path])[0] for path in new}
        here = self._ids(ours, names)
        before = self._ids(base, names)
        there = self._ids(reviewed.theirs.done().updated(dict.fromkeys(new)), names)
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

    def _ids(self, side: PathMap, names: Collection[str]) -> dict[str, Entry]:
        found = self._contents.find(side, names)
        return {name: side[paths[-1]] for name, paths in found.items() if paths}

"""What of the hub's tip takes part in the merge: no id twice, new cards rendered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeAlias

from nightdesk.sync.contents import Contents
from nightdesk.sync.entries import Entry, PathMap, Refusal, entry_of, printable
from nightdesk.sync.git import Git
from nightdesk.sync.pairing import is_state_note
from nightdesk.sync.pathmaps import Draft, changes_between
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


def drop_twins(
    base: PathMap,
    ours: PathMap,
    reviewed: Reviewed,
    contents: Contents,
    by_owner: Collection[str] = (),
) -> None:
    """Refuse notes from the hub that take an id which lives elsewhere.

    The gate judges names; here the properties are read in full. Without this a file with a
    card's id in another folder would count as the card's move and carry it away, or put text
    that nobody reviewed in its place. What this disk holds at the same path is its own and
    stays, and so does what the owner's own devices did.
    """
    new = [
        path
        for path, entry in changes_between(base, reviewed.theirs).items()
        if entry and is_state_note(path) and path not in by_owner and ours.get(path) != entry
    ]
    if not new:
        return
    ids = {contents.ident(path, reviewed.theirs[path])[0] for path in new}
    homes: dict[str, str] = {}
    for side in (base, ours):
        for name, found in contents.find(side, ids).items():
            for path in found:
                if _holds_its_id(path, reviewed):
                    homes.setdefault(name, path)
    for path in sorted(new):
        entry = reviewed.theirs[path]
        name = contents.ident(path, entry)[0]
        if homes.get(name, path) == path:
            continue
        if path not in base:
            del reviewed.theirs[path]
        elif contents.ident(path, base[path])[0] == name:
            continue  # it had that id before
        else:
            reviewed.theirs[path] = base[path]
        _back_home(path, entry, base, reviewed.theirs, contents)
        reason = f"it takes the id of {homes[name]}, which is there already"
        reviewed.refusals.append(Refusal(printable(path), reason))


def _holds_its_id(path: str, reviewed: Reviewed) -> bool:
    """Cards before the person hold theirs whatever the hub says; others while they are there."""
    return path.startswith(_BEFORE_THE_PERSON) or path in reviewed.theirs


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
        # A card that comes again after it was gone is judged anew: its task may be claimed now.
        wanted = {(path, reviewed.theirs[path].oid) for path in new}
        self._done = {key: card for key, card in self._done.items() if key in wanted}
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

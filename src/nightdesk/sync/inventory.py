"""What the vault holds while commits are judged one after the other, and what that rules out.

Standard library only, because the hub's hook runs this. The whole map is read once; a change
and a question cost the same however many notes there are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from nightdesk.sync.entries import Entry, PathMap
from nightdesk.vault.layout import STATE_FOLDERS, Folder

_BEFORE_THE_PERSON = (f"{Folder.PENDING}/", f"{Folder.APPROVED}/")


def folded(text: str) -> str:
    """A name as disks that ignore case and Unicode's forms see it."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


class Inventory:
    """Paths, the names in each folder, and the notes in folders that are a state.

    Args:
        entries: what is there at first. Twins may stand among them; only further ones are
            found out.
    """

    def __init__(self, entries: PathMap | None = None) -> None:
        self._entries: dict[str, Entry] = {}
        self._children: dict[str, dict[str, int]] = {}  # folder -> name in it -> files there
        self._names: dict[str, tuple[str, ...]] = {}  # folded file name -> notes in state folders
        self._cards: dict[str, None] = {}
        self.update(entries or {})

    def update(self, changes: Mapping[str, Entry | None]) -> None:
        """Apply changes: path -> new entry, None where it is removed."""
        for path, entry in changes.items():
            if entry is not None:
                if path not in self._entries:
                    self._add(path)
                self._entries[path] = entry
            elif self._entries.pop(path, None):
                self._remove(path)

    def get(self, path: str) -> Entry | None:
        """What a path holds, or None."""
        return self._entries.get(path)

    def same_name(self, path: str) -> list[str]:
        """Other notes in state folders with this file name, whatever its case."""
        return [other for other in self._names.get(folded(_name(path)), ()) if other != path]

    def twin(self, path: str) -> str | None:
        """What differs from this path, or from a folder on it, by spelling alone.

        Also a file where this path needs a folder, and a folder where it is to be a file.
        """
        for folder, name, whole in _parts(path):
            siblings = self._children.get(folder, {})
            if name not in siblings:
                wanted = folded(name)
                for sibling in siblings:
                    if folded(sibling) == wanted:
                        return f"{folder}/{sibling}".lstrip("/")
            if whole != path and whole in self._entries:
                return whole
        return f"{path}/" if path in self._children else None

    def has_card(self, path: str) -> bool:
        """Whether a card of this task lies before the person (`<task id>-<action>-<n>.md`)."""
        start = _name(path).removesuffix(".md") + "-"
        return any(_name(card).startswith(start) for card in self._cards)

    def _add(self, path: str) -> None:
        for folder, name, _ in _parts(path):
            inside = self._children.setdefault(folder, {})
            inside[name] = inside.get(name, 0) + 1
        if _is_state_note(path):
            name = folded(_name(path))
            self._names[name] = (*self._names.get(name, ()), path)
        if path.startswith(_BEFORE_THE_PERSON):
            self._cards[path] = None

    def _remove(self, path: str) -> None:
        for folder, name, _ in _parts(path):
            inside = self._children[folder]
            inside[name] -= 1
            if not inside[name]:
                del inside[name]
                if not inside:
                    del self._children[folder]
        if _is_state_note(path):
            name = folded(_name(path))
            rest = tuple(other for other in self._names[name] if other != path)
            if rest:
                self._names[name] = rest
            else:
                del self._names[name]
        self._cards.pop(path, None)


def _is_state_note(path: str) -> bool:
    return path.endswith(".md") and path.split("/", 1)[0] in STATE_FOLDERS


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _parts(path: str) -> Iterator[tuple[str, str, str]]:
    """Each step of the way: the folder, the name in it, and both together."""
    start = 0
    while True:
        end = path.find("/", start)
        whole = path if end < 0 else path[:end]
        yield path[: max(start - 1, 0)], whole[start:], whole
        if end < 0:
            return
        start = end + 1

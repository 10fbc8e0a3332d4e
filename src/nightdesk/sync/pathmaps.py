"""Path maps that remember what they share, so that a comparison costs what differs.

A map is a tree of folders, as in git, and never changes: `updated` copies only the folders on
the way to what changed. Two maps that came from one another share all other folders, and a
shared folder is passed over in one step, however many notes lie in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Generic, TypeVar

V = TypeVar("V")


class Paths(Mapping[str, V]):
    """Vault-relative path -> value, unchangeable; a value is never None.

    A name may be a file and a folder at once: a merge meets that before it settles it.
    """

    __slots__ = ("_count", "_files", "_folders")

    def __init__(self) -> None:
        self._files: Mapping[str, V] = {}
        self._folders: Mapping[str, Paths[V]] = {}
        self._count = 0

    @classmethod
    def of(cls, paths: Mapping[str, V]) -> Paths[V]:
        """Any mapping as this type; one that is of it already costs nothing."""
        return paths if isinstance(paths, Paths) else cls().updated(paths)

    def updated(self, changes: Mapping[str, V | None]) -> Paths[V]:
        """This map with some paths set, or removed where the value is None."""
        return self._updated(changes.items()) if changes else self

    def sharing(self, other: Paths[V]) -> Paths[V]:
        """This map, with every folder that is equal in another map taken from there.

        Two maps that came to be in different ways are compared once like this, at the cost of
        the folders that they do not share yet, and cheaply ever after.
        """
        if self is other:
            return other
        new = Paths[V]()
        new._files = other._files if self._files == other._files else self._files
        new._folders = {
            name: folder.sharing(theirs) if (theirs := other._folders.get(name)) else folder
            for name, folder in self._folders.items()
        }
        new._count = self._count
        same = new._files is other._files and len(new._folders) == len(other._folders)
        if same and all(f is other._folders.get(name) for name, f in new._folders.items()):
            return other
        return new

    def below(self, folder: str) -> Iterator[tuple[str, V]]:
        """Every path below a folder with its value; "" means all of them."""
        node = self._node(folder.split("/") if folder else ())
        return node._walk(f"{folder}/" if folder else "") if node else iter(())

    def has_folder(self, path: str) -> bool:
        """Whether any path lies below this one."""
        return self._node(path.split("/")) is not None

    def __getitem__(self, path: str) -> V:
        *folders, name = path.split("/")
        node = self._node(folders)
        if node is None or name not in node._files:
            raise KeyError(path)
        return node._files[name]

    def __iter__(self) -> Iterator[str]:
        return (path for path, _ in self._walk(""))

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Paths):
            return self._count == other._count and not any(True for _ in _differ(self, other, ""))
        return Mapping.__eq__(self, other)

    __hash__ = None  # type: ignore[assignment]

    def _node(self, folders: Iterable[str]) -> Paths[V] | None:
        node = self
        for name in folders:
            inner = node._folders.get(name)
            if inner is None:
                return None
            node = inner
        return node

    def _walk(self, prefix: str) -> Iterator[tuple[str, V]]:
        for name, value in self._files.items():
            yield prefix + name, value
        for name, folder in self._folders.items():
            yield from folder._walk(f"{prefix}{name}/")

    def _updated(self, changes: Iterable[tuple[str, V | None]]) -> Paths[V]:
        here: dict[str, V | None] = {}
        below: dict[str, list[tuple[str, V | None]]] = {}
        for path, value in changes:
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, []).append((rest, value))
            elif self._files.get(name) != value:
                here[name] = value
        inner: dict[str, Paths[V] | None] = {}
        for name, inside in below.items():
            old = self._folders.get(name)
            folder = (old or Paths[V]())._updated(inside)
            if folder is not old and (old or len(folder)):
                inner[name] = folder if len(folder) else None
        if not here and not inner:
            return self
        new = Paths[V]()
        new._files = _with(self._files, here)
        new._folders = _with(self._folders, inner)
        new._count = len(new._files) + sum(map(len, new._folders.values()))
        return new


class Draft(MutableMapping[str, V], Generic[V]):
    """A map in the making: a start that stays as it is, and the changes to it."""

    def __init__(self, start: Mapping[str, V]) -> None:
        self._start = Paths.of(start)
        self.changes: dict[str, V | None] = {}

    def done(self) -> Paths[V]:
        """The map as it now stands."""
        return self._start.updated(self.changes)

    def __getitem__(self, path: str) -> V:
        value = self.changes[path] if path in self.changes else self._start.get(path)
        if value is None:
            raise KeyError(path)
        return value

    def __setitem__(self, path: str, value: V) -> None:
        self.changes[path] = value

    def __delitem__(self, path: str) -> None:
        self[path]  # raises KeyError where there is nothing
        self.changes[path] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.done())

    def __len__(self) -> int:
        return len(self.done())


def changes_between(start: Mapping[str, V], end: Mapping[str, V]) -> dict[str, V | None]:
    """What turns one map into another: path -> new value, None where it goes.

    Two `Paths` that share folders are compared at the cost of what they do not share.
    """
    return dict(_differ(Paths.of(_done(start)), Paths.of(_done(end)), ""))


def _done(paths: Mapping[str, V]) -> Mapping[str, V]:
    return paths.done() if isinstance(paths, Draft) else paths


def _differ(start: Paths[V], end: Paths[V], prefix: str) -> Iterator[tuple[str, V | None]]:
    if start._files is not end._files:
        for name in start._files.keys() - end._files.keys():
            yield prefix + name, None
        for name, value in end._files.items():
            was = start._files.get(name)
            if was is not value and was != value:
                yield prefix + name, value
    if start._folders is not end._folders:
        for name in start._folders.keys() | end._folders.keys():
            old, new = (side._folders.get(name) for side in (start, end))
            if old is not new:
                yield from _differ(old or Paths(), new or Paths(), f"{prefix}{name}/")


def _with(start: Mapping[str, V], changes: Mapping[str, V | None]) -> Mapping[str, V]:
    if not changes:
        return start
    made = dict(start)
    for name, value in changes.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = value
    return made

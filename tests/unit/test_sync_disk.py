"""Where to look when a path may have changed, and what is found there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nightdesk.sync import disk
from nightdesk.sync.disk import Seen, list_at, list_below, places_to_look


def nothing(folder: str) -> bool:
    """No folder is private."""
    return False


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    for name in ("a/b/n.md", "a/m.md", "banking/x.md", ".gitignore", ".hidden/x.md", "a/.x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("a")
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "places"),
    [
        (["a/m.md"], ["a/m.md"]),
        (["a/gone.md", "a/b"], ["a/b", "a/gone.md"]),
        (["a/b/n.md", "a/b", "a/b2"], ["a/b", "a/b2"]),
        (["gone/x/y.md"], ["gone"]),  # the folder itself went, or became something else
        (["link/m.md"], ["link"]),
        (["a/m.md/inside.md"], ["a/m.md"]),
        (["banking/x.md"], ["banking"]),
        (["", "a"], [""]),
        ([".hidden/x.md", "a/.x", ".gitignore"], [".gitignore"]),
        ([], []),
    ],
)
def test_where_to_look(vault: Path, paths: list[str], places: list[str]) -> None:
    assert places_to_look(vault, paths, nothing) == places


def test_a_look_at_all_places_finds_what_a_look_at_everything_finds(vault: Path) -> None:
    everything = dict(list_below(vault, "", nothing))
    assert everything.keys() == {"a/b/n.md", "a/m.md", "banking", ".gitignore", "link"}
    parts = [
        dict(list_at(vault, p, nothing)) for p in ("a", "banking", ".gitignore", "link", "gone")
    ]
    assert {path: what for part in parts for path, what in part.items()} == everything
    assert everything["link"] == Seen(None, "it is a link")
    assert not list(list_at(vault, "a/m.md/x", nothing))


def test_what_cannot_be_looked_at_is_not_gone(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(disk.os, "lstat", refuse)
    ((path, seen),) = list_at(vault, "a/m.md", nothing)
    assert path == "a/m.md"
    assert isinstance(seen, Seen)
    assert seen.unread
    assert not seen.leaves_hub

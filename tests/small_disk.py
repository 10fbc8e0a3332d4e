"""A small disk of its own under one folder, which a test fills, locks or takes away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest


def _mount(*words: str) -> None:
    # A runner without root may still be allowed to mount; nobody is asked for a password.
    ask = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*ask, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermissionError(done.stderr.strip() or f"{words[0]} failed")


class SmallDisk:
    """A memory disk; the test is skipped, loudly, where nothing can be mounted.

    Args:
        folder: where it is mounted; made when it is missing.
        size: in mount's words.
    """

    def __init__(self, folder: Path, size: str = "6m") -> None:
        self.folder = folder
        self.size = size

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._cover()
        except (PermissionError, FileNotFoundError) as e:
            pytest.skip(f"a disk cannot be mounted here: {e}")
        return self

    def __exit__(self, *error: object) -> None:
        self._uncover()

    def _cover(self) -> None:
        own = f"size={self.size},uid={os.getuid()},gid={os.getgid()},mode=755"
        _mount("mount", "-t", "tmpfs", "-o", own, "nightdesk-test", str(self.folder))

    def _uncover(self) -> None:
        # Lazily: a process that was killed a moment ago may still count as a user.
        _mount("umount", "--lazy", str(self.folder))

    @contextmanager
    def full(self, leave: int = 0) -> Iterator[None]:
        """The disk while nothing fits on it, but for so many bytes."""
        filler = self.folder / ".filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        if leave:
            os.truncate(filler, max(0, filler.stat().st_size - leave))
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """The disk while nothing can be written; files that are open already are not affected."""
        _mount("mount", "--bind", str(self.folder), str(self.folder))
        try:
            _mount("mount", "-o", "remount,bind,ro", str(self.folder))
            yield
        finally:
            self._uncover()

    @contextmanager
    def away(self) -> Iterator[None]:
        """An empty folder in its place, as an unmounted disk leaves one."""
        self._cover()
        try:
            yield
        finally:
            self._uncover()

    def trouble(self, name: str) -> AbstractContextManager[None]:
        """One of the three by its name: "full", "read_only" or "away"."""
        return {"full": self.full, "read_only": self.read_only, "away": self.away}[name]()

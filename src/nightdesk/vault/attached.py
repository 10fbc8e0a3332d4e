"""Files that go with an action: taken from `Attachments/` as they stand, kept by content.

What is approved is bytes, not a name. At approval each file is read once, from an ordinary file
that is reached through no link, and copied into a private folder under its own hash; what is sent
comes from there, and only if it still has that hash.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nightdesk.errors import NotSent
from nightdesk.vault.files import create, read_regular
from nightdesk.vault.layout import fault_in_name

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_TOTAL_BYTES = 25 * 1024 * 1024
"""What one card may carry in all; mail servers take little more."""

COPIES = "attachments"
"""The private folder, in the state directory."""

_ATTEMPTS = 3
_HASH = re.compile(r"[0-9a-f]{64}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _plain_name(name: str) -> str:
    if name.startswith(".") or (fault := fault_in_name(name)):
        raise ValueError("is hidden" if name.startswith(".") else fault)
    return name


class Attached(BaseModel):
    """One file as it was approved.

    Attributes:
        name: what the recipient sees, a plain file name.
        sha256: of its bytes, in hex.
        size: in bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_plain_name)]
    sha256: str = Field(pattern=rf"^{_HASH.pattern}$")
    size: int = Field(ge=0, le=MAX_FILE_BYTES)

    @property
    def media_type(self) -> str:
        """The media type that its name stands for."""
        return media_type(self.name)


def media_type(name: str) -> str:
    """The media type that a file's name stands for."""
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


def attached(path: str, data: bytes) -> Attached:
    """Describe a file by its vault-relative path and its bytes."""
    name = path.rpartition("/")[2]
    return Attached(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


class Attachment:
    """An open file of the vault's that may be attached; use it in a `with` statement.

    No folder on the way and not the file itself may be a link, it must be an ordinary file with
    one name, and not larger than `MAX_FILE_BYTES`.

    Args:
        path: vault-relative, in `Attachments/`.

    Raises:
        NotSent: on entering or reading; the text says what is wrong with the file.
    """

    def __init__(self, vault: Path, path: str) -> None:
        self._vault = vault
        self.path = path
        self._handle = -1

    def __enter__(self) -> Attachment:
        *folders, name = self.path.split("/")
        at = os.open(self._vault, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            self._handle = os.open(name, _FILE, dir_fd=at)
        except FileNotFoundError as e:
            raise self._fault("is not there") from e
        except OSError as e:
            raise self._fault(f"cannot be opened as an ordinary file ({e.strerror})") from e
        finally:
            os.close(at)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._handle)

    @property
    def mark(self) -> tuple[int, int, int, int]:
        """Changes whenever the file is written or replaced."""
        found = os.fstat(self._handle)
        if not stat.S_ISREG(found.st_mode):
            raise self._fault("is not an ordinary file")
        if found.st_nlink != 1:
            raise self._fault("has a second name (a hard link) or has just been removed")
        if found.st_size > MAX_FILE_BYTES:
            raise self._fault(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def read(self) -> bytes:
        """Its bytes, from one moment in which nobody was writing it."""
        try:
            for _ in range(_ATTEMPTS):
                before, data = self.mark, self._bytes()
                if self._bytes() == data and self.mark == before and len(data) == before[1]:
                    return data
        except OSError as e:
            raise self._fault(f"cannot be read ({e.strerror})") from e
        raise self._fault("is being written at this moment")

    def _bytes(self) -> bytes:
        parts: list[bytes] = []
        at = 0
        while part := os.pread(self._handle, MAX_FILE_BYTES + 1 - at, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def _fault(self, what: str) -> NotSent:
        return NotSent(
            f"the attachment {self.path!r} {what}",
            remedy="Put an ordinary file of at most 10 MiB there, or take it out of the card",
        )


def keep(state: Path, data: bytes) -> None:
    """Copy bytes privately, under their own hash."""
    folder = state / COPIES
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()
    try:
        if read_regular(path, MAX_FILE_BYTES) == data:
            return
        path.unlink()  # damaged
    except FileNotFoundError:
        pass
    create(path, data, mode=0o600)


def fetch(state: Path, wanted: Attached) -> bytes:
    """The private copy of a file, proved to be what was approved.

    Raises:
        NotSent: it is missing or not what was approved.
    """
    try:
        data = read_regular(state / COPIES / wanted.sha256, MAX_FILE_BYTES)
    except OSError as e:
        raise NotSent(
            f"the private copy of the attachment {wanted.name!r} is missing ({e.strerror})",
            remedy="Move the card to Approved/ once more",
        ) from e
    if len(data) != wanted.size or hashlib.sha256(data).hexdigest() != wanted.sha256:
        raise NotSent(
            f"the private copy of the attachment {wanted.name!r} is not what was approved",
            remedy="Move the card to Approved/ once more",
        )
    return data


def check_total(sizes: Iterable[int]) -> None:
    """Refuse what is too much for one message.

    Raises:
        NotSent: more than `MAX_TOTAL_BYTES` in all.
    """
    if (total := sum(sizes)) > MAX_TOTAL_BYTES:
        raise NotSent(
            f"the attachments are {total / 1024 / 1024:.1f} MiB in all, more than "
            f"{MAX_TOTAL_BYTES // 1024 // 1024} MiB",
            remedy="Take some of them out of the card",
        )


def keep_only(state: Path, hashes: set[str]) -> None:
    """Remove the private copies that nothing needs any more."""
    with suppress(FileNotFoundError):
        for copy in (state / COPIES).iterdir():
            if _HASH.fullmatch(copy.name) and copy.name not in hashes:
                copy.unlink(missing_ok=True)

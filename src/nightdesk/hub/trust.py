"""Whose keys the hub knows: three files in its folder, one key a line."""

from __future__ import annotations

from pathlib import Path

from nightdesk.sync.signers import Key, Trust

OWNER, DEVICES, CLOUD = "owner.pub", "devices.pub", "cloud.pub"
"""The laptop's key; those of further devices of the owner's; those of cloud agents."""


def read_keys(file: Path) -> tuple[Key, ...]:
    """The keys in a file; none where there is no file.

    Raises:
        ValueError: a line is no public key.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return ()
    return tuple(Key.parse(line) for line in text.splitlines() if line.strip())


def read_trust(repository: Path) -> Trust:
    """Everything that the hub knows."""
    owner, devices, cloud = (read_keys(repository / name) for name in (OWNER, DEVICES, CLOUD))
    return Trust(owner, devices, cloud)

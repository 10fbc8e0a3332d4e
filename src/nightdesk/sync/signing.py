"""The agent's key: an Ed25519 SSH key in the state folder, made once; it signs every commit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nightdesk.errors import ConfigError
from nightdesk.sync.signers import Key
from nightdesk.vault.files import create

KEY_FILE = "signing_key"
"""In the state folder: the one key of an agent signs its commits and opens the hub."""


def signing_key(state: Path, agent: str) -> Key:
    """Make the key if there is none, and return its public half.

    Args:
        state: the agent's state folder; it must exist.
        agent: the agent's name, which becomes the key's comment.

    Raises:
        ConfigError: the file holds no private Ed25519 key.
    """
    file = state / KEY_FILE
    if not file.exists():
        secret = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        with suppress(FileExistsError):
            create(file, secret, mode=0o600)
    private = _read(file)
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return Key(public.decode(), agent)


def private_seed(state: Path) -> bytes | None:
    """The 32 bytes that are the private key; None where `init` made no key yet.

    They stand inside the key file in base64, so whoever looks for them in every form also finds
    a copy of the file, and never the public key, which may be told.

    Raises:
        ConfigError: the file holds no private Ed25519 key.
    """
    file = state / KEY_FILE
    return _read(file).private_bytes_raw() if file.exists() else None


def _read(file: Path) -> Ed25519PrivateKey:
    try:
        private = serialization.load_ssh_private_key(file.read_bytes(), password=None)
        if isinstance(private, Ed25519PrivateKey):
            return private
    except ValueError:
        pass
    raise ConfigError(
        "the file holds no private Ed25519 key",
        remedy="Put the key back from your backup; a new one must be made known to the"
        " other side by `init` again",
        where=str(file),
    )

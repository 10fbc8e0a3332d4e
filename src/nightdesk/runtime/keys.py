"""The agent's signing key: an Ed25519 SSH key in the state folder, made once by `init`."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nightdesk.vault.files import create

KEY_FILE = "signing_key"


def signing_key(state: Path, agent: str) -> str:
    """Make the key if there is none, and return its public line ("ssh-ed25519 AAAA… agent")."""
    file = state / KEY_FILE
    if file.exists():
        private = _read(file)
    else:
        private = Ed25519PrivateKey.generate()
        secret = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        create(file, secret, mode=0o600)
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f"{public.decode()} {agent}"


def private_seed(state: Path) -> bytes | None:
    """The 32 bytes that are the private key; None where `init` made no key yet.

    They stand inside the key file in base64, so whoever looks for them in every form also finds
    a copy of the file, and never the public key, which may be told.
    """
    file = state / KEY_FILE
    return _read(file).private_bytes_raw() if file.exists() else None


def _read(file: Path) -> Ed25519PrivateKey:
    private = serialization.load_ssh_private_key(file.read_bytes(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    return private

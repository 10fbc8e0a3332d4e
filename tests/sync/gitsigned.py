"""SSH signatures of commits, made and judged in this process: what ssh-keygen does for git.

The format is OpenSSH's PROTOCOL.sshsig; Ed25519 signs the same bytes the same way every time,
so a commit that is signed here has the very id that it has when git signs it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from gitfiles import NotHereError

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_ALLOWED = re.compile(r'(\S+) namespaces="git" ssh-ed25519 (\S+)')
_KIND = b"ssh-ed25519"


class Signatures:
    """Signs and judges; remembers keys and verdicts, which never change."""

    def __init__(self) -> None:
        self._keys: dict[Path, Ed25519PrivateKey] = {}
        self._known: dict[tuple[bytes, bytes], bool] = {}

    def sign(self, body: bytes, file: Path) -> bytes:
        """The commit with its signature, by the private key in a file."""
        if file not in self._keys:
            key = serialization.load_ssh_private_key(file.read_bytes(), password=None)
            assert isinstance(key, Ed25519PrivateKey)
            self._keys[file] = key
        key = self._keys[file]
        public = _strings(_KIND, key.public_key().public_bytes_raw())
        signed = _strings(_KIND, key.sign(_message(body)))
        blob = b"SSHSIG" + (1).to_bytes(4, "big")
        blob += _strings(public, b"git", b"", b"sha512", signed)
        text = base64.b64encode(blob).decode()
        lines = [text[at : at + 70] for at in range(0, len(text), 70)]
        header = "gpgsig " + "\n ".join([_BEGIN, *lines, _END])
        head, _, rest = body.partition(b"\n\n")
        return head + b"\n" + header.encode() + b"\n\n" + rest

    def verdict(self, body: bytes, signature: bytes, allowed: str) -> tuple[str, str]:
        """Git's letter and the principal: G, U (an unknown key), B (broken), N (none).

        Args:
            allowed: the text of the file of allowed signers.
        """
        if not signature:
            return "N", ""
        public, raw = _parts(signature)
        if (body, signature) not in self._known:
            try:
                Ed25519PublicKey.from_public_bytes(public[-32:]).verify(raw, _message(body))
                self._known[body, signature] = True
            except InvalidSignature:
                self._known[body, signature] = False
        if not self._known[body, signature]:
            return "B", ""
        who = {blob: name for name, blob in _ALLOWED.findall(allowed)}
        name = who.get(base64.b64encode(public).decode())
        return ("G", name) if name else ("U", "")


def body_and_signature(commit: bytes) -> tuple[bytes, bytes]:
    """A commit as it was before it was signed, and the bytes of its signature (none: b"")."""
    head, _, rest = commit.partition(b"\n\n")
    found = re.search(rb"\ngpgsig ([^\n]*(?:\n [^\n]*)*)", head)
    if not found:
        return commit, b""
    lines = found.group(1).decode().split("\n ")
    if (lines[0], lines[-1]) != (_BEGIN, _END):
        raise NotHereError("another kind of signature")
    plain = head[: found.start()] + head[found.end() :]
    return plain + b"\n\n" + rest, base64.b64decode("".join(lines[1:-1]))


def _parts(signature: bytes) -> tuple[bytes, bytes]:
    """The public key and the raw signature."""
    if signature[:10] != b"SSHSIG" + (1).to_bytes(4, "big"):
        raise NotHereError("another form of signature")
    public, namespace, _, digest, signed = _read(signature[10:])
    if (namespace, digest) != (b"git", b"sha512") or _read(public)[0] != _KIND:
        raise NotHereError("another kind of key")
    return public, _read(signed)[1]


def _message(body: bytes) -> bytes:
    return b"SSHSIG" + _strings(b"git", b"", b"sha512", hashlib.sha512(body).digest())


def _strings(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _read(data: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : end])
        at = end
    return parts

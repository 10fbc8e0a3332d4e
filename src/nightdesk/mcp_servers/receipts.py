"""Receipts: the executor's signed leave for one call of one tool with these very arguments.

Anybody may connect an MCP client to the laptop's servers; without a receipt none of the tools
that let something leave does anything (docs/design.md, section 6).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightdesk.errors import ConfigError, NotSent, PolicyDenied
from nightdesk.vault.files import create, read_regular, sync_folder, write

RECEIPT_ARGUMENT = "receipt"
_PREFIX = "nd1"
_KEY_BYTES = 32
_KEPT_SECONDS = 7 * 24 * 3600
"""A used receipt is remembered so long after its expiry, against clocks that are set back."""

_ASK = (
    "Only Nightdesk's executor makes receipts, each for one call, after the person has moved the "
    "approval card to Approved/; call draft_… instead and let the person decide"
)
_SPENT_BEFORE = "spent-before"
"""Holds the moment up to which used receipts were forgotten: none of that time counts again,
whatever the clock says now."""


@dataclass(frozen=True, slots=True)
class _Claims:
    action_id: str
    tool: str
    digest: str
    expires: int
    nonce: str


class Receipts:
    """Makes receipts and takes them in; both sides share the state directory.

    Args:
        state: the laptop agent's state directory; the key lies in `receipt.key` (0600).
        clock: seconds since 1970, for tests.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.time) -> None:
        self._key_file = state / "receipt.key"
        self._used = state / "receipts-used"
        self._clock = clock

    def issue(
        self, action_id: str, tool: str, arguments: Mapping[str, Any], ttl_seconds: float = 60
    ) -> str:
        """Make a receipt; for the executor alone. The first call makes the key.

        Args:
            action_id: the approved card's id.
            tool: the tool's name, for example "send_email".
            arguments: exactly what will be passed; a `receipt` among them is left out.
            ttl_seconds: how long it can be used.

        Raises:
            ConfigError: the key may be read by others, or is damaged.
        """
        fields = {
            "action": action_id,
            "tool": tool,
            "arguments": arguments_digest(arguments),
            "expires": int(max(self._clock(), self._spent_before()) + ttl_seconds),
            "nonce": secrets.token_hex(16),
        }
        payload = _encode(_canonical(fields))
        return f"{_PREFIX}.{payload}.{_encode(_sign(self._key_or_new(), payload))}"

    def secret(self) -> bytes:
        """The key itself, made if there is none yet; for the guard that keeps it on this machine.

        Raises:
            ConfigError: the key may be read by others, or is damaged.
        """
        return self._key_or_new()

    def verify(self, receipt: str, tool: str, arguments: Mapping[str, Any]) -> str:
        """Check everything about a receipt without using it up, and return its action id.

        Raises:
            PolicyDenied: it does not allow this call; the text says why and what to do.
        """
        return self._checked(receipt, tool, arguments).action_id

    def redeem(self, receipt: str, tool: str, arguments: Mapping[str, Any]) -> str:
        """Use a receipt up and return its action id; of any number of callers one succeeds.

        Args:
            receipt: as it came with the call.
            tool: the tool that was called.
            arguments: as the tool received them; a `receipt` among them is left out.

        Raises:
            PolicyDenied: it does not allow this call; the text says why and what to do.
            NotSent: it cannot be marked as used (a full disk), so it must not be.
        """
        claims = self._checked(receipt, tool, arguments)
        if not self._spent(claims):
            raise _denied("the receipt has been used")
        self._prune()
        return claims.action_id

    def spend(self, receipt: str) -> None:
        """Make sure that a receipt of this laptop's is of no more use, whatever came of its call.

        Raises:
            NotSent: it cannot be marked (a full disk).
        """
        self._spent(_read_claims(_decode(receipt.split(".")[1])))

    def _spent(self, claims: _Claims) -> bool:
        """Mark a receipt as used; False if it was already."""
        name = f"{claims.expires}-{claims.nonce}"
        try:
            self._used.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._used / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.close(handle)
            sync_folder(self._used)
        except FileExistsError:
            return False
        except OSError as e:
            raise NotSent(
                f"the receipt cannot be marked as used ({e.strerror})",
                remedy="Check the disk of the state folder",
                where=str(self._used),
            ) from e
        return True

    def _checked(self, receipt: str, tool: str, arguments: Mapping[str, Any]) -> _Claims:
        if not receipt:
            raise _denied("this tool needs a receipt and none was given")
        parts = receipt.split(".")
        if len(parts) != 3 or parts[0] != _PREFIX or not receipt.isascii():
            raise _denied("this is no receipt")
        payload, signature = parts[1], _decode(parts[2])
        key = self._key()
        if key is None or not hmac.compare_digest(signature, _sign(key, payload)):
            raise _denied("the receipt was not signed by this laptop's executor")
        claims = _read_claims(_decode(payload))
        if claims.tool != tool:
            raise _denied(f"the receipt is for {claims.tool}, not for {tool}")
        if not hmac.compare_digest(claims.digest, arguments_digest(arguments)):
            raise _denied("the arguments are not those that were approved")
        if claims.expires <= max(self._clock(), self._spent_before()):
            raise _denied("the receipt has expired")
        return claims

    def _key(self) -> bytes | None:
        try:
            key = read_regular(self._key_file, 1024)
            mode = stat.S_IMODE(self._key_file.stat().st_mode)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise self._bad_key(f"cannot be read ({e.strerror})") from e
        if mode & 0o077:
            raise self._bad_key("may be read by other users")
        if len(key) != _KEY_BYTES:
            raise self._bad_key("is damaged")
        return key

    def _bad_key(self, why: str) -> ConfigError:
        return ConfigError(
            f"the key of the receipts {why}",
            remedy="Delete it; the executor makes a new one for the next approval",
            where=str(self._key_file),
        )

    def _key_or_new(self) -> bytes:
        key = self._key()
        if key is None:
            self._key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another executor was first: its key counts
                create(self._key_file, secrets.token_bytes(_KEY_BYTES), mode=0o600)
            key = self._key()
        assert key is not None
        return key

    def _spent_before(self) -> int:
        try:
            return int(read_regular(self._used / _SPENT_BEFORE, 64))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as e:
            raise ConfigError(
                "the memory of the used receipts is damaged",
                remedy="Delete this file, and the key of the receipts beside its folder",
                where=str(self._used / _SPENT_BEFORE),
            ) from e

    def _prune(self) -> None:
        limit = int(self._clock() - _KEPT_SECONDS)
        with suppress(OSError):  # it can wait
            old = [
                file
                for file in self._used.iterdir()
                if (expires := file.name.partition("-")[0]).isdigit() and int(expires) <= limit
            ]
            if old:
                # First the mark, then the forgetting: a clock that is set back revives none.
                write(self._used / _SPENT_BEFORE, str(max(limit, self._spent_before())).encode())
            for file in old:
                file.unlink(missing_ok=True)


def arguments_digest(arguments: Mapping[str, Any]) -> str:
    """SHA-256, in hex, over the canonical JSON of a call's arguments without the receipt."""
    rest = {key: value for key, value in arguments.items() if key != RECEIPT_ARGUMENT}
    return hashlib.sha256(_canonical(rest)).hexdigest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return text.encode("utf-8", "surrogatepass")


def _sign(key: bytes, payload: str) -> bytes:
    return hmac.digest(key, f"nightdesk receipt {_PREFIX}.{payload}".encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _read_claims(data: bytes) -> _Claims:
    # The signature was checked before, so this is what `issue` wrote.
    fields = json.loads(data)
    if not re.fullmatch(r"[0-9a-f]{32}", fields["nonce"]):
        raise _denied("this is no receipt")
    return _Claims(
        action_id=fields["action"],
        tool=fields["tool"],
        digest=fields["arguments"],
        expires=fields["expires"],
        nonce=fields["nonce"],
    )


def _denied(what: str) -> PolicyDenied:
    return PolicyDenied(what, remedy=_ASK)

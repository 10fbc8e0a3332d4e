"""The canary: a fake token in the state folder that nothing but a leak can bring into the vault."""

from __future__ import annotations

import secrets
import string
from contextlib import suppress
from pathlib import Path

from nightdesk.errors import ConfigError
from nightdesk.sync.secrets import Secret
from nightdesk.vault.files import create, read_regular

CANARY_FILE = "canary"
_PREFIX = "ndk_live_"
_LETTERS = string.ascii_letters + string.digits
_OWNER = "the canary of the state folder: something copied private files into the vault"


def canary(state: Path) -> Secret:
    """Plant the canary of a state folder, or read the one that is there.

    It looks like a token (a thief tries it, a scanner finds it) and opens nothing.

    Args:
        state: the agent's state folder; the file `canary` in it is made with mode 0600.

    Raises:
        ConfigError: the file is there and cannot be read, or is no canary.
    """
    file = state / CANARY_FILE
    text = _PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(40))
    with suppress(FileExistsError):
        create(file, text.encode() + b"\n", mode=0o600)
    try:
        value = read_regular(file, 1024).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise _broken(file) from e
    if not value.startswith(_PREFIX) or len(value) < len(text):
        raise _broken(file)
    return Secret(_OWNER, value)


def _broken(file: Path) -> ConfigError:
    return ConfigError(
        "the canary cannot be read",
        remedy="Delete the file; a new one is planted at the next start",
        where=str(file),
    )

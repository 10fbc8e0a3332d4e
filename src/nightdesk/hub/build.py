"""Putting the hub's programs into a bare repository: the zip, the hooks, the lines for ssh.

This is the one module here that is not in the zip.
"""

from __future__ import annotations

import io
import shlex
import sys
import zipfile
from importlib import resources
from pathlib import Path

from nightdesk.errors import ConfigError
from nightdesk.sync.signers import Key
from nightdesk.vault.files import create, exchange

PROGRAM = "hooks/nightdesk.pyz"

MODULES: tuple[str, ...] = (
    "nightdesk/__init__.py",
    "nightdesk/policy.py",
    "nightdesk/vault/__init__.py",
    "nightdesk/vault/layout.py",
    "nightdesk/sync/__init__.py",
    "nightdesk/sync/entries.py",
    "nightdesk/sync/exclude.py",
    "nightdesk/sync/gate.py",
    "nightdesk/sync/heads.py",
    "nightdesk/sync/inventory.py",
    "nightdesk/sync/notice.py",
    "nightdesk/sync/parsing.py",
    "nightdesk/sync/refs.py",
    "nightdesk/sync/signers.py",
    "nightdesk/hub/__init__.py",
    "nightdesk/hub/__main__.py",
    "nightdesk/hub/receive.py",
    "nightdesk/hub/serve.py",
    "nightdesk/hub/trust.py",
    "nightdesk/hub/watch.py",
)
"""What the zip holds. Each imports the standard library and others of this list, nothing else."""

HOOKS: tuple[str, ...] = ("pre-receive", "post-receive")
"""The hooks to install; each is a command of the same name in the zip."""

_START = """\
import sys

from nightdesk.hub.__main__ import main

sys.exit(main(sys.argv[1:]))
"""
_HOOK = """\
#!/bin/sh
# Written by Nightdesk; `agent-cloud init --hub-only` writes it again.
exec {python} -I {program} {name} "$@"
"""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def interpreter() -> Path:
    """The Python that the hub's programs run with: the one below any virtual environment.

    The absolute path is written into the hooks, so that they depend on no PATH and on no
    environment that may be removed.

    Raises:
        ConfigError: it is not there any more.
    """
    base = Path(getattr(sys, "_base_executable", "") or sys.executable).absolute()
    if not base.is_file():
        raise ConfigError(
            "the Python that this environment was made with is gone",
            remedy="Make the environment again with the Python that is installed now",
            where=str(base),
        )
    return base


def build_zip() -> bytes:
    """The zip application; the same sources give the same bytes."""
    root = resources.files("nightdesk")
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        _put(archive, "__main__.py", _START.encode())
        for name in MODULES:
            _put(archive, name, (root / name.removeprefix("nightdesk/")).read_bytes())
    return held.getvalue()


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _LONG_AGO)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def install(repository: Path) -> None:
    """Write the program and its hooks into a bare repository, or renew them.

    Raises:
        ConfigError: the interpreter is gone.
    """
    hooks = repository / "hooks"
    hooks.mkdir(exist_ok=True)
    _write(repository / PROGRAM, build_zip(), 0o644)
    words = {"python": str(interpreter()), "program": str((repository / PROGRAM).absolute())}
    quoted = {key: shlex.quote(value) for key, value in words.items()}
    for name in HOOKS:
        _write(hooks / name, _HOOK.format(name=name, **quoted).encode(), 0o755)


def _write(file: Path, data: bytes, mode: int) -> None:
    # By exchange: a push that runs meanwhile finds the old file or the new one, never a half.
    if file.exists():
        exchange(file, data)
    else:
        create(file, data, mode=mode)
    file.chmod(mode)


def authorized_line(repository: Path, key: Key) -> str:
    """The line for `authorized_keys` that lets one key open this hub and nothing else.

    Args:
        repository: the bare repository.
        key: its name is the agent's.

    Raises:
        ConfigError: the key has no agent's name, or the path cannot stand in that file.
    """
    if not key.name:
        raise ConfigError(
            "a key for the hub must end with its agent's name",
            remedy="Use the whole line that the agent's `init` printed: `ssh-ed25519 AAAA… name`",
        )
    program = str((repository / PROGRAM).absolute())
    command = f"{shlex.quote(str(interpreter()))} -I {shlex.quote(program)} serve {key.name}"
    if any(ord(c) < 32 for c in command):
        raise ConfigError(
            "the hub's folder has a control character in its name",
            remedy="Make the hub in another folder",
            where=str(repository),
        )
    escaped = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'restrict,command="{escaped}" {key}'

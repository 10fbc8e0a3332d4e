"""First set-up, the half that both commands share: write the configuration, make the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
import typer

from nightdesk import config
from nightdesk.errors import ConfigError, UsageError
from nightdesk.policy import Role
from nightdesk.skills.manifest import data_root
from nightdesk.sync.signers import Key
from nightdesk.vault.files import create, exchange


def vault_template() -> Path:
    """The folder whose files seed a new vault."""
    return data_root("vault_template")


def ask(question: str, given: str | None, *, default: str = "", unattended: bool) -> str:
    """Take an answer from an option, else from the person, else from the default.

    Raises:
        UsageError: nobody is there to ask and there is no default.
    """
    if given is not None:
        return given
    if unattended:
        if default:
            return default
        raise UsageError(
            f"`{question}` is not given", remedy="Name it on the command line; see init --help"
        )
    answer: str = typer.prompt(question, default=default or None)
    return answer.strip()


def write_config(path: Path, values: dict[str, Any], header: str) -> None:
    """Write a new configuration after checking it; an existing file is never overwritten.

    Args:
        values: the settings; None and empty values are left out.
        header: comment lines at the top, without `#`.
    """
    values = check_values(path, values)
    document = tomlkit.document()
    for line in header.splitlines():
        document.add(tomlkit.comment(line))
    for key, value in values.items():
        document.add(key, value)
    try:
        create(path, tomlkit.dumps(document).encode("utf-8"), mode=0o600)
    except FileExistsError as e:
        raise ConfigError(
            "there is a configuration already",
            remedy="Edit it, or name another file with --config",
            where=str(path),
        ) from e


def check_values(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Check settings before anything is done with them; returns them without empty ones.

    Raises:
        ConfigError: names the first that is wrong.
    """
    kept = _without_empty(values)
    config.parse(kept, str(path))
    return kept


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        inner = _without_empty(value) if isinstance(value, dict) else value
        if inner not in (None, "", {}, []):
            kept[key] = str(inner) if isinstance(inner, Path) else inner
    return kept


def trust(path: Path, group: str, key_files: list[Path]) -> None:
    """Add the public keys in these files to `trusted` of a configuration, each once.

    Args:
        group: `owner`, `devices` or `cloud`.

    Raises:
        ConfigError: a file is missing or is no public SSH key of kind Ed25519.
    """
    keys = [str(public_key(file)) for file in key_files]
    document = tomlkit.parse(path.read_bytes().decode("utf-8"))
    if "trusted" not in document:
        document["trusted"] = tomlkit.table()
    table = document["trusted"]
    known = list(table.get(group, []))
    new = [key for key in dict.fromkeys(keys) if key not in known]
    if not new:
        return
    if group not in table:
        table[group] = tomlkit.array()
    for key in new:
        table[group].append(key)
    config.parse(document.unwrap(), str(path))
    exchange(path, tomlkit.dumps(document).encode("utf-8"))


def public_key(file: Path) -> Key:
    """Read a file with the one line that the other side's `init` printed.

    Raises:
        ConfigError: it is missing or holds no public Ed25519 SSH key.
    """
    try:
        return Key.parse(file.read_text("utf-8"))
    except OSError as e:
        raise ConfigError(
            f"the key file cannot be read ({e.strerror})",
            remedy="Copy the line that the other side's `init` printed into it",
            where=str(file),
        ) from e
    except ValueError as e:
        raise ConfigError(
            "this is no public Ed25519 SSH key",
            remedy="It must be the one line `ssh-ed25519 AAAA… name` that `init` printed",
            where=str(file),
        ) from e


def config_file(role: Role, given: Path | None) -> Path:
    """The configuration file to write."""
    return config.config_path(role, given).absolute()


def hub_address(given: str) -> str:
    """A hub's address as typed: `~` and relative paths become absolute ones, URLs stay."""
    if "://" in given or "::" in given or (":" in given and not given.startswith((".", "/", "~"))):
        return given
    return str(Path(given).expanduser().absolute())


def say_ignored(path: Path, options: dict[str, object]) -> None:
    """Tell that a configuration is kept, and which options were therefore not used."""
    unused = [name for name, value in options.items() if value]
    hint = f" {', '.join(unused)} not used: edit the file instead." if unused else ""
    typer.echo(f"{path} is there already; it is kept.{hint}")

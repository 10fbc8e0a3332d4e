"""The frame of both commands: what an error looks like, what `--json` prints, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nightdesk import config
from nightdesk.errors import ConfigError, NightdeskError
from nightdesk.policy import Role
from nightdesk.supervise import logs

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration file; default: $NIGHTDESK_CONFIG, then the user's own.",
        dir_okay=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show debug lines.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with: the settings, where they came from, and the state folder."""

    role: Role
    settings: config.Settings
    config_file: Path
    state: Path

    @property
    def vault(self) -> Path:
        """The vault's folder."""
        return self.settings.vault


def open_desk(role: Role, config_file: Path | None, *, check_vault: bool = True) -> Desk:
    """Load the configuration and make the state folder.

    Raises:
        ConfigError: no or bad configuration, or the vault is not where it says.
    """
    path = config.config_path(role, config_file).absolute()
    settings = config.load(path)
    if settings.role not in (None, role):
        raise ConfigError(
            f"this is the configuration of agent-{settings.role}",
            remedy=f"Name the one of agent-{role} with --config",
            where=str(path),
        )
    if check_vault and not settings.vault.is_dir():
        raise ConfigError(
            "the vault's folder does not exist",
            remedy=f"Mount or restore it, or correct `vault` in {path}",
            where=str(settings.vault),
        )
    state = config.state_path(role, path)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Desk(role, settings, path, state)


def print_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Print one JSON value on one line of standard output."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def new_app(command: str, summary: str) -> typer.Typer:
    """A Typer application with this project's manners."""
    return typer.Typer(
        name=command,
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run_app(app: typer.Typer) -> None:
    """Run a command: a known error is printed with its remedy and ends with its exit code."""
    logs.configure()
    guarded(app)


def guarded(call: Callable[[], Any]) -> None:
    """Call, and turn errors that a person can act on into a message and an exit code."""
    try:
        call()
    except NightdeskError as e:
        if "--json" in sys.argv:
            print_json({"ok": False, "error": e.what, "where": e.where, "remedy": e.remedy})
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"error: {e.where + ': ' if e.where else ''}{e.what}", markup=False)
        if e.remedy:
            console.print(f"  -> {e.remedy}", markup=False)
        sys.exit(e.exit_code)
    except OSError as e:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        where = f"{e.filename}: " if e.filename else ""
        console.print(f"error: {where}{e.strerror or e}", markup=False)
        console.print("  -> Check that this path is what it should be, and yours", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

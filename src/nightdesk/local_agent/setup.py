"""`agent-local init`: begin the vault, its hub, the configuration and the key."""

from __future__ import annotations

from pathlib import Path

import typer

from nightdesk.config import state_path
from nightdesk.policy import Role
from nightdesk.runtime.keys import signing_key
from nightdesk.runtime.setup import ask, config_file, trust, vault_template, write_config
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.engine import create_root


def init(
    *,
    given_config: Path | None,
    vault: Path | None,
    hub: str | None,
    name: str,
    address: str | None,
    user: str,
    smtp: str | None,
    smtp_user: str,
    trusted: list[Path],
    unattended: bool,
) -> None:
    """Set up the laptop; each step is safe to repeat, and trust may be added later.

    Raises:
        UsageError: something needed is not given and nobody can be asked.
        ConfigError: a value is wrong, or the hub holds another vault already.
    """
    path = config_file(Role.LOCAL, given_config)
    say = typer.echo
    if not path.exists():
        folder = vault or Path(
            ask("Folder of the vault", None, default="~/vault", unattended=unattended)
        )
        folder = folder.expanduser().absolute()
        hub = ask("The hub (path, ssh or https URL)", hub, unattended=unattended)
        check_hub_url(hub)
        address = ask("Your e-mail address", address, default="none", unattended=unattended)
        smtp = ask("Your mail server (host:port)", smtp, default="none", unattended=unattended)
        values = {
            "name": name,
            "vault": folder,
            "hub": {"url": hub},
            "email": {
                "address": "" if address == "none" else address,
                "name": user,
                "smtp": "" if smtp == "none" else smtp,
                "smtp_user": smtp_user,
            },
        }
        state = state_path(Role.LOCAL, path)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        say(f"1. Begin the vault in {folder} (notes that are there already are kept)")
        create_root(folder, hub, state, name, vault_template())
        say(f"2. Write {path}")
        write_config(path, values, "Nightdesk, laptop half. Credentials never stand here.")
    else:
        say(f"{path} is there already; it is kept.")
    trust(path, trusted)
    key = signing_key(state_path(Role.LOCAL, path), name)
    say("3. Signing key (public; `agent-cloud init --hub-only` takes it as --owner-key FILE):")
    say(key)
    say(f"Next: agent-local doctor --config {path}, then agent-local run --config {path}")

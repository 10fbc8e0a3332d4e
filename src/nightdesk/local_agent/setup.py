"""`agent-local init`: begin the vault, its hub, the configuration and the key."""

from __future__ import annotations

from pathlib import Path

import typer

from nightdesk import config
from nightdesk.config import state_path
from nightdesk.local_agent.folders import make_folders
from nightdesk.policy import Role
from nightdesk.runtime.desk import own_secrets
from nightdesk.runtime.setup import (
    ask,
    check_values,
    config_file,
    hub_address,
    say_ignored,
    trust,
    vault_template,
    write_config,
)
from nightdesk.sync.access import access_for
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.canary import canary
from nightdesk.sync.engine import create_root
from nightdesk.sync.secrets import Guard
from nightdesk.sync.signing import signing_key


def init(
    *,
    given_config: Path | None,
    vault: Path | None,
    hub: str | None,
    hub_user: str,
    hub_ca_file: Path | None,
    name: str,
    address: str | None,
    user: str,
    smtp: str | None,
    smtp_user: str,
    sent_maildir: Path | None,
    clouds: list[Path],
    devices: list[Path],
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
        hub = hub_address(ask("The hub (path, ssh or https URL)", hub, unattended=unattended))
        check_hub_url(hub)
        address = ask("Your e-mail address", address, default="none", unattended=unattended)
        user = user or _optional("Your name, for signing drafts", unattended)
        smtp = ask("Your mail server (host:port)", smtp, default="none", unattended=unattended)
        if smtp != "none" and not smtp_user and not unattended:
            smtp_user = _optional(f"Login at {smtp}", unattended, default=address)
        values = {
            "name": name,
            "role": "local",
            "vault": folder,
            "hub": {
                "url": hub,
                "user": hub_user,
                "ca_file": hub_ca_file.absolute() if hub_ca_file else None,
            },
            "email": {
                "address": "" if address == "none" else address,
                "name": user,
                "smtp": "" if smtp == "none" else smtp,
                "smtp_user": smtp_user,
                "sent_maildir": sent_maildir.absolute() if sent_maildir else None,
            },
        }
        settings = config.parse(check_values(path, values), str(path))
        state = state_path(Role.LOCAL, path)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        signing_key(state, name)  # it opens the hub
        access = access_for(settings.hub, state, name)
        say(f"1. Begin the vault in {folder} (notes that are there already are kept)")
        guard = Guard(own_secrets(Role.LOCAL, state), canaries=[canary(state)])
        create_root(folder, hub, state, name, vault_template(), access=access, guard=guard)
        make_folders(folder)
        say(f"2. Write {path}")
        write_config(path, values, "Nightdesk, laptop half. Credentials never stand here.")
    else:
        given = {"--vault": vault, "--hub": hub, "--address": address, "--smtp": smtp}
        given |= {
            "--sent-maildir": sent_maildir,
            "--hub-user": hub_user,
            "--hub-ca-file": hub_ca_file,
        }
        say_ignored(path, {**given, "--user": user, "--smtp-user": smtp_user})
    trust(path, "cloud", clouds)
    trust(path, "devices", devices)
    canary(state_path(Role.LOCAL, path))
    key = signing_key(state_path(Role.LOCAL, path), name)
    say("3. Signing key (public; `agent-cloud init --hub-only` takes it as --owner-key FILE):")
    say(str(key))
    if config.load(path).email.smtp_user:
        say("Put the mail password where only you can read it: keyring set nightdesk smtp_password")
    say(f"Next: agent-local doctor --config {path}, then agent-local run --config {path}")


def _optional(question: str, unattended: bool, *, default: str = "none") -> str:
    answer = ask(question, None, default=default, unattended=unattended) if not unattended else ""
    return "" if answer == "none" else answer

"""`agent-cloud init`: join the vault that the laptop began, or make a bare hub for it."""

from __future__ import annotations

from pathlib import Path

import typer

from nightdesk.config import state_path
from nightdesk.errors import ConfigError, UsageError
from nightdesk.policy import Role
from nightdesk.runtime.setup import (
    ask,
    check_values,
    config_file,
    hub_address,
    public_key,
    say_ignored,
    trust,
    write_config,
)
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.engine import join
from nightdesk.sync.outside import make_bare_hub
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import signing_key


def make_hub(folder: Path, owner_key: Path | None) -> None:
    """Make a bare hub for the two halves to meet in.

    Raises:
        UsageError: the owner's key is not given.
        ConfigError: the folder is in use, or the key file holds no public key.
    """
    if owner_key is None:
        raise UsageError(
            "a hub needs its owner's key",
            remedy="Add --owner-key FILE with the line that `agent-local init` printed",
        )
    public_key(owner_key)
    make_bare_hub(folder.absolute(), owner_key.read_bytes())
    typer.echo(f"Made the hub {folder.absolute()}.")
    typer.echo("Next: run `agent-local init --hub` with it on the laptop, then `agent-cloud init`.")


def init(
    *,
    given_config: Path | None,
    vault: Path | None,
    hub: str | None,
    name: str,
    address: str | None,
    user: str,
    email: str | None,
    trusted: list[Path],
    unattended: bool,
) -> None:
    """Set up the cloud side; each step is safe to repeat.

    Raises:
        UsageError: something needed is not given and nobody can be asked.
        ConfigError: a value is wrong, or the hub holds no vault yet.
    """
    path = config_file(Role.CLOUD, given_config)
    say = typer.echo
    if not path.exists():
        hub = hub_address(ask("The hub (path, ssh or https URL)", hub, unattended=unattended))
        check_hub_url(hub)
        folder = vault or Path(
            ask("Folder for the vault", None, default="~/vault", unattended=unattended)
        )
        address = ask("The user's e-mail address", address, default="none", unattended=unattended)
        source = ask("Mail comes from", email, default="none", unattended=unattended)
        values = {
            "name": name,
            "role": "cloud",
            "vault": folder.expanduser().absolute(),
            "hub": {"url": hub},
            "email": {
                "address": "" if address == "none" else address,
                "name": user,
                "maildir": _maildir(source),
            },
        }
        check_values(path, values)
        state = state_path(Role.CLOUD, path)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        say(f"1. Clone the vault into {values['vault']}")
        owner = tuple(public_key(file) for file in trusted)
        start = join(folder.expanduser().absolute(), hub, state, name, Trust(owner=owner))
        if start:
            say(
                f"   It starts from commit {start[:12]}"
                + (", signed by the laptop" if owner else "")
            )
        say(f"2. Write {path}")
        write_config(path, values, "Nightdesk, cloud half. Credentials never stand here.")
    else:
        given = {"--vault": vault, "--hub": hub, "--address": address, "--email": email}
        say_ignored(path, {**given, "--user": user})
    trust(path, "owner", trusted)
    key = signing_key(state_path(Role.CLOUD, path), name)
    say("3. Signing key (public; give this line to the laptop with --trust-cloud FILE):")
    say(str(key))
    say(f"Next: agent-cloud doctor --config {path}, then agent-cloud run --config {path}")


def _maildir(source: str) -> Path | None:
    kind, _, where = source.partition(":")
    if kind == "none":
        return None
    if kind == "maildir" and where:
        return Path(where).expanduser().absolute()
    if kind in {"imap", "gmail"}:
        raise ConfigError(
            f"reading mail by {kind} is not built yet",
            remedy="Deliver into a Maildir (mbsync does it for IMAP) and use maildir:DIR",
            where="--email",
        )
    raise ConfigError(
        f"{source!r} is no mail source", remedy="Use maildir:DIR or none", where="--email"
    )

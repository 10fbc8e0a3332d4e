"""`agent-cloud init`: join the vault that the laptop began, or make a bare hub for it."""

from __future__ import annotations

from pathlib import Path

import typer

from nightdesk import config
from nightdesk.config import state_path
from nightdesk.errors import ConfigError, UsageError
from nightdesk.hub.build import authorized_line, install
from nightdesk.hub.trust import CLOUD, DEVICES, OWNER, read_keys
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
from nightdesk.sync.access import access_for
from nightdesk.sync.address import check_hub_url
from nightdesk.sync.canary import canary
from nightdesk.sync.engine import join
from nightdesk.sync.outside import make_bare_hub
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import signing_key
from nightdesk.vault import files


def make_hub(
    folder: Path, owner_key: Path | None, agent_keys: list[Path], device_keys: list[Path]
) -> None:
    """Make a bare hub for the two halves to meet in, and print what lets them in over ssh.

    A hub that was made so before keeps its contents and its owner; its programs are renewed.

    Args:
        owner_key: file with the line that `agent-local init` printed.
        agent_keys: files with the lines of cloud agents; those known already stay.
        device_keys: files with the lines of further devices of the owner's.

    Raises:
        UsageError: the owner's key of a new hub is not given.
        ConfigError: the folder is in use or the hub is another owner's, or a key file holds no
            public key that ends with an agent's name.
    """
    folder = folder.absolute()
    given = public_key(owner_key) if owner_key else None
    known = read_keys(folder / OWNER)
    if not known and given is None:
        raise UsageError(
            "a hub needs its owner's key",
            remedy="Add --owner-key FILE with the line that `agent-local init` printed",
        )
    if known and given and given.line != known[0].line:
        raise ConfigError(
            "the hub belongs to the owner of another key",
            remedy=f"Leave --owner-key away to keep that owner; who it is stands in {OWNER} there",
            where=str(folder),
        )
    clouds = (*read_keys(folder / CLOUD), *map(public_key, agent_keys))
    devices = (*read_keys(folder / DEVICES), *map(public_key, device_keys))
    owner = known or ((given,) if given else ())
    lines = [authorized_line(folder, key) for key in (*owner, *devices, *clouds)]
    if not known:
        make_bare_hub(folder)
    for name, keys in ((OWNER, owner), (DEVICES, devices), (CLOUD, clouds)):
        text = "".join(f"{key}\n" for key in dict.fromkeys(keys))
        files.write(folder / name, text.encode())
    install(folder)
    say = typer.echo
    say(f"The hub is {folder}.")
    say("Over ssh, these lines in ~/.ssh/authorized_keys of the user that owns it let each agent")
    say("fetch, push and watch it, and do nothing else:")
    for line in dict.fromkeys(lines):
        say(line)
    say("Next: run `agent-local init --hub` with it on the laptop, then `agent-cloud init`.")


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
            "hub": {
                "url": hub,
                "user": hub_user,
                "ca_file": hub_ca_file.absolute() if hub_ca_file else None,
            },
            "email": {
                "address": "" if address == "none" else address,
                "name": user,
                "maildir": _maildir(source),
            },
        }
        settings = config.parse(check_values(path, values), str(path))
        state = state_path(Role.CLOUD, path)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        signing_key(state, name)  # it opens the hub
        access = access_for(settings.hub, state, name)
        say(f"1. Clone the vault into {values['vault']}")
        owner = tuple(public_key(file) for file in trusted)
        start = join(settings.vault, hub, state, name, Trust(owner=owner), access)
        if start:
            say(
                f"   It starts from commit {start[:12]}"
                + (", signed by the laptop" if owner else "")
            )
        say(f"2. Write {path}")
        write_config(path, values, "Nightdesk, cloud half. Credentials never stand here.")
    else:
        given = {"--vault": vault, "--hub": hub, "--address": address, "--email": email}
        given |= {"--hub-user": hub_user, "--hub-ca-file": hub_ca_file}
        say_ignored(path, {**given, "--user": user})
    trust(path, "owner", trusted)
    canary(state_path(Role.CLOUD, path))
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

"""Wiring that both agents share: the sync engine, the guard, the drafting context."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from nightdesk.config import held_credentials
from nightdesk.errors import ConfigError, VaultUnavailable
from nightdesk.mcp_servers.receipts import Receipts
from nightdesk.policy import LOCAL_ONLY_ZONES, Role
from nightdesk.runtime.command import Desk
from nightdesk.skills.drafting import Drafting, Tell, report
from nightdesk.skills.model import make_model
from nightdesk.sync.access import access_for
from nightdesk.sync.canary import canary
from nightdesk.sync.engine import Engine
from nightdesk.sync.exclude import excluded
from nightdesk.sync.notify import watch_hub
from nightdesk.sync.secrets import MIN_SECRET_LENGTH, Guard, Secret
from nightdesk.sync.signers import Key, Trust
from nightdesk.sync.signing import private_seed, signing_key
from nightdesk.vault.watch import Signal, Watch

_SECRET_KEY = re.compile(r"secret|token|key(?!_id)|password", re.IGNORECASE)
CREDENTIAL_NAMES = (
    "smtp_password",
    "imap_password",
    "hub_password",
    "anthropic_api_key",
    "openai_api_key",
    "openai_compatible_api_key",
)
"""Credentials that Nightdesk asks for by name; a keyring can be searched for these alone."""


def guard_for(desk: Desk) -> Guard:
    """The exclude guard, armed with everything that this agent must keep to itself.

    Raises:
        ConfigError: a credential cannot be read, or `release` names what is never released.
    """
    return Guard(
        own_secrets(desk.role, desk.state),
        role=desk.role,
        release=released(desk),
        canaries=[canary(desk.state)],
    )


def own_secrets(role: Role, state: Path) -> list[Secret]:
    """Every credential that can be found here, and the agent's own keys.

    Raises:
        ConfigError: a credential cannot be read.
    """
    found = [
        Secret(f"the credential `{name}`", value)
        for held, text in held_credentials(CREDENTIAL_NAMES).items()
        for name, value in _with_parts(held, text)
    ]
    if seed := private_seed(state):
        found.append(Secret("the agent's signing key", seed))
    if role is Role.LOCAL:
        with suppress(ConfigError):  # a damaged key signs nothing; the executor tells it
            found.append(Secret("the key of the receipts", Receipts(state).secret()))
    return found


def short_credentials() -> list[str]:
    """Names of credentials that are too short to be looked for in notes."""
    held = held_credentials(CREDENTIAL_NAMES)
    return [name for name, value in held.items() if len(value) < MIN_SECRET_LENGTH]


def _with_parts(name: str, text: str) -> Iterator[tuple[str, str]]:
    """A credential, and where it is a JSON document its secret values, each by itself."""
    yield name, text
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return
    waiting: list[object] = [values]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            for key, value in inner.items():
                if isinstance(value, str) and _SECRET_KEY.search(key):
                    yield f"{name}: {key}", value
                else:
                    waiting.append(value)
        elif isinstance(inner, list):
            waiting.extend(inner)


def released(desk: Desk) -> list[str]:
    """The paths of the configuration's `release`.

    Raises:
        ConfigError: one of them is never released, whatever is in it.
    """
    for path in desk.settings.sync.release:
        zone = next((p for p in path.split("/")[:-1] if p.casefold() in LOCAL_ONLY_ZONES), None)
        reason = excluded(path) or (zone and f"it belongs to the zone {zone}, which stays here")
        if reason:
            raise ConfigError(
                f"`sync.release`: {path} is never released: {reason}",
                remedy="Take it out of the list; where only the name is at fault, rename the file",
                where=str(desk.config_file),
            )
    return desk.settings.sync.release


def trust_for(desk: Desk) -> Trust:
    """Which keys are whose, this agent's own among them.

    Raises:
        ConfigError: a line in `trusted` is no public key.
    """
    me = signing_key(desk.state, desk.settings.name)
    keys = desk.settings.trusted
    try:
        owner, devices, cloud = (
            tuple(Key.parse(line) for line in lines)
            for lines in (keys.owner, keys.devices, keys.cloud)
        )
    except ValueError as e:
        raise ConfigError(
            f"a line in [trusted]: {e}",
            remedy="Put the line in that the other side's `init` printed",
            where=str(desk.config_file),
        ) from e
    if desk.role is Role.LOCAL:
        return Trust((me, *owner), devices, cloud)
    return Trust(owner, devices, (me, *cloud))


def engine_for(
    desk: Desk,
    *,
    guard: Guard | None = None,
    incoming: Callable[[str, bytes], bytes | None] | None = None,
    withhold: Callable[[str], bool] | None = None,
) -> Engine:
    """The sync engine of this agent."""
    return Engine(
        desk.vault,
        desk.settings.hub.url,
        desk.state,
        desk.role,
        desk.settings.name,
        desk.settings.sync,
        guard=guard or guard_for(desk),
        incoming=incoming,
        withhold=withhold,
        trust=trust_for(desk),
        access=access_for(desk.settings.hub, desk.state, desk.settings.name),
    )


def drafting_for(desk: Desk, clock: Callable[[], datetime], tell: Tell = report) -> Drafting:
    """What this agent's drafting skills work with."""
    email = desk.settings.email
    return Drafting(
        vault=desk.vault,
        agent=desk.settings.name,
        user_name=email.name,
        own={a.casefold() for a in (email.address, *email.aliases) if a},
        model=make_model(desk.settings.model, desk.state, clock=clock),
        clock=clock,
        tell=tell,
    )


def check_vault(vault: Path) -> None:
    """See that the vault is there before anything is written into it.

    Raises:
        VaultUnavailable: an unmounted disk leaves a missing or empty folder behind.
    """
    if not (vault / ".git" / "HEAD").exists():
        raise VaultUnavailable(
            "the vault is not there",
            remedy="Mount or restore it; the agent goes on by itself",
            where=str(vault),
        )


@contextmanager
def watching(desk: Desk, wake: Signal) -> Iterator[Watch]:
    """Wake on changes in the vault, in a local hub and in a Maildir.

    Yields:
        The watch that knows which paths of the vault changed.
    """
    folders = [desk.vault]
    if maildir := desk.settings.email.maildir:
        # `tmp` is where deliveries are half-written; only `new` and `cur` matter.
        folders += [maildir / part for part in ("new", "cur") if (maildir / part).is_dir()]
    with ExitStack() as stack:
        watch = stack.enter_context(Watch(folders, wake, follow=desk.vault))
        hub = desk.settings.hub
        stack.enter_context(
            watch_hub(hub.url, wake, access_for(hub, desk.state, desk.settings.name))
        )
        yield watch


def passed_environment() -> dict[str, str]:
    """The part of the environment that a server process of ours needs: credentials and paths."""
    names = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "DBUS_SESSION_BUS_ADDRESS")
    return {
        key: value
        for key, value in os.environ.items()
        if key in names or key.startswith(("NIGHTDESK_", "XDG_"))
    }

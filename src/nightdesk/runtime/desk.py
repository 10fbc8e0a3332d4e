"""Wiring that both agents share: the sync engine, the guard, the drafting context."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from nightdesk.config import credential
from nightdesk.errors import VaultUnavailable
from nightdesk.runtime.command import Desk
from nightdesk.skills.drafting import Drafting, Tell, report
from nightdesk.skills.model import make_model
from nightdesk.sync.engine import Engine
from nightdesk.sync.notify import watch_hub
from nightdesk.sync.secrets import Guard
from nightdesk.vault.watch import Signal, Watch

CREDENTIAL_NAMES = (
    "smtp_password",
    "imap_password",
    "anthropic_api_key",
    "openai_api_key",
    "openai_compatible_api_key",
)
"""Credentials that may be configured; their values never leave in a note."""


def guard_for(desk: Desk) -> Guard:
    """The exclude guard, armed with every credential that this agent holds."""
    found = {name: value for name in CREDENTIAL_NAMES if (value := credential(name))}
    return Guard(found)


def engine_for(
    desk: Desk,
    *,
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
        guard=guard_for(desk),
        incoming=incoming,
        withhold=withhold,
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
    if not (vault / ".git").exists():
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
        stack.enter_context(watch_hub(desk.settings.hub.url, wake))
        yield watch


def passed_environment() -> dict[str, str]:
    """The part of the environment that a server process of ours needs: credentials and paths."""
    names = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "DBUS_SESSION_BUS_ADDRESS")
    return {
        key: value
        for key, value in os.environ.items()
        if key in names or key.startswith(("NIGHTDESK_", "XDG_"))
    }

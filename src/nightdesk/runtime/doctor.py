"""`doctor`: everything a new user gets wrong, each with its remedy. Nothing is changed."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Iterator

from nightdesk.connectors.email.maildir import MaildirMailbox
from nightdesk.errors import NightdeskError
from nightdesk.policy import Role
from nightdesk.runtime.command import Desk
from nightdesk.runtime.desk import released, short_credentials, trust_for
from nightdesk.runtime.shown import Check
from nightdesk.skills.model import make_model
from nightdesk.sync.access import access_for
from nightdesk.sync.forms import MIN_SECRET_LENGTH
from nightdesk.sync.held import is_offered
from nightdesk.sync.outside import clone_fault, git_version, probe_hub

_MIN_GIT = (2, 34)
_MIN_FREE_BYTES = 500 * 1024 * 1024


def shared_checks(desk: Desk) -> Iterator[Check]:
    """The checks that make sense on both machines, one after the other."""
    yield Check("configuration", True, str(desk.config_file))
    version = ".".join(str(n) for n in sys.version_info[:3])
    yield Check("Python", sys.version_info >= (3, 11), version)
    yield _git()
    yield _state(desk)
    yield _vault(desk)
    yield from _hub(desk)
    yield _disk(desk)
    if desk.settings.email.maildir:
        yield _maildir(desk)
    yield _model(desk)
    yield _guard(desk)
    yield _keys(desk)


def _keys(desk: Desk) -> Check:
    """Whether this half knows the other's key, without which it believes nobody, or everybody."""
    keys = desk.settings.trusted
    local = desk.role is Role.LOCAL
    known, name = (keys.cloud, "cloud's key") if local else (keys.owner, "laptop's key")
    try:
        trust_for(desk)
    except NightdeskError as e:
        return Check(name, False, e.what, e.remedy)
    remedies = {
        Role.LOCAL: "Until then sync stops at what a cloud agent writes. Run `agent-local init"
        " --trust-cloud FILE` with the line that `agent-cloud init` printed",
        Role.CLOUD: "Until then everybody who can push counts as you. Run `agent-cloud init"
        " --trust-local FILE` with the line that `agent-local init` printed",
    }
    shown = f"{len(known)} known" + (f", {len(keys.devices)} devices" if keys.devices else "")
    return Check(name, bool(known) or None, shown, "" if known else remedies[desk.role])


def _git() -> Check:
    try:
        version = git_version()
    except NightdeskError as e:
        return Check("git", False, e.what, e.remedy)
    good = version >= _MIN_GIT
    shown = ".".join(str(n) for n in version)
    return Check("git", good, shown, "" if good else "Install git 2.34 or newer")


def _state(desk: Desk) -> Check:
    mode = stat.S_IMODE(desk.state.stat().st_mode)
    if desk.state.resolve().is_relative_to(desk.vault.resolve()):
        return Check(
            "state folder", False, f"{desk.state} is inside the vault", "Move the configuration"
        )
    if mode & 0o077:
        return Check(
            "state folder", False, f"{desk.state} is open to others", f"chmod 700 {desk.state}"
        )
    return Check("state folder", True, str(desk.state))


def _vault(desk: Desk) -> Check:
    if not desk.vault.is_dir():
        remedy = "Mount or restore it, or correct `vault` in the configuration"
        return Check("vault", False, f"{desk.vault} does not exist", remedy)
    fault = clone_fault(desk.vault, desk.settings.hub.url)
    if fault:
        return Check("vault", False, fault.what, fault.remedy)
    return Check("vault", True, str(desk.vault))


_LET_IN = {
    "file": "on this machine",
    "ssh": "over ssh: the host key is known, our key is accepted",
    "https": "over https: the certificate is trusted",
}


def _hub(desk: Desk) -> Iterator[Check]:
    hub = desk.settings.hub
    try:
        access = access_for(hub, desk.state, desk.settings.name)
        probe_hub(access)
    except NightdeskError as e:
        yield Check("hub", False, f"{hub.url}: {e.what}", e.remedy)
        return
    login = f", the login of {access.user} is accepted" if access.user else ""
    yield Check("hub", True, f"{hub.url}, {_LET_IN[access.transport]}{login}")
    polled = f"the hub is asked every {hub.poll_seconds:g} s"
    if access.transport == "file":
        yield Check("hub's notices", True, "the hub's folder is watched")
    elif access.transport == "ssh" and is_offered(access):
        yield Check("hub's notices", True, "a held connection tells of changes at once")
    else:
        yield Check("hub's notices", True, f"no held connection is offered; {polled}")


def _disk(desk: Desk) -> Check:
    free = shutil.disk_usage(desk.state).free
    good = free > _MIN_FREE_BYTES
    shown = f"{free // 1024**2:,} MiB free"
    return Check("disk", good or None, shown, "" if good else "Free some space")


def _maildir(desk: Desk) -> Check:
    assert desk.settings.email.maildir is not None
    try:
        mailbox = MaildirMailbox(desk.settings.email.maildir)
        mailbox.check()
        return Check("mailbox", True, f"{len(mailbox.entries())} messages")
    except NightdeskError as e:
        return Check("mailbox", False, f"{e.where}: {e.what}", e.remedy)


def _model(desk: Desk) -> Check:
    settings = desk.settings.model
    if settings.provider == "outline":
        remedy = "Drafts are outlines; set `provider` and `name` in [model] for real ones"
        return Check("model", None, "no model is set", remedy)
    try:
        make_model(settings, desk.state)
    except NightdeskError as e:
        return Check("model", False, e.what, e.remedy)
    return Check("model", True, f"{settings.provider}:{settings.name}")


def _guard(desk: Desk) -> Check:
    name = "secrets"
    try:
        short = short_credentials()
        release = released(desk)
    except NightdeskError as e:
        return Check(name, False, e.what, e.remedy)
    if short:
        return Check(
            name,
            None,
            f"too short to be looked for in notes: {', '.join(short)}",
            f"Use credentials of at least {MIN_SECRET_LENGTH} characters",
        )
    gone = [p for p in release if not (desk.vault / p).is_file()]
    if gone:
        remedy = "Correct or remove it in `release` under [sync]; a path holds for one place only"
        return Check(name, None, f"released, but not there: {', '.join(gone)}", remedy)
    return Check(name, True, "every note is searched for them before it leaves")

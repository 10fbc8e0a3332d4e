"""Why a hub did not answer, in words for a person, and what to do about it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightdesk.errors import HubUnreachable
from nightdesk.sync.access import Access
from nightdesk.sync.address import ssh_host
from nightdesk.sync.process import Result

_KEYGEN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of trouble: what git or ssh says then, in lower case, and what we say.

    Attributes:
        signs: any of these in the error output.
        what: the sentence.
        remedy: what to do, for the hub that it happened to.
    """

    signs: tuple[str, ...]
    what: str
    remedy: Callable[[Access], str]


def unreachable(access: Access, result: Result) -> HubUnreachable:
    """Say why a hub did not answer, and what to do about it."""
    said = result.err.lower()
    if not result.timed_out:
        for kind in _KINDS:
            if any(sign in said for sign in kind.signs):
                return HubUnreachable(kind.what, remedy=kind.remedy(access), where=access.url)
    return HubUnreachable(
        f"the hub did not answer: {_reason(result)}",
        remedy="Work goes on here; sync catches up when the hub answers",
        where=access.url,
    )


def _reason(result: Result) -> str:
    # "Could not read from remote repository" says nothing; ssh's own line before it does.
    lines = [line.strip() for line in result.err.splitlines() if line.strip()]
    ssh = [line for line in lines if line.startswith(("ssh:", "nightdesk:", "Connection "))]
    return ssh[-1] if ssh and not result.timed_out else result.reason


def _known_host_command(access: Access) -> str:
    host = ssh_host(access.url)
    port = f"-p {host.port} " if host.port else ""
    return f"`ssh-keyscan -t ed25519 {port}{host.name} >> {access.known_hosts}`"


def _host_name(access: Access) -> str:
    host = ssh_host(access.url)
    return f"[{host.name}]:{host.port}" if host.port not in {None, 22} else host.name


def _unknown_host(access: Access) -> str:
    return (
        f"Add it with {_known_host_command(access)} and compare what `ssh-keygen -lf"
        f" {access.known_hosts}` prints with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"
        " on the hub"
    )


def _changed_host(access: Access) -> str:
    home = Path.home() / ".ssh" / "known_hosts"
    return (
        "Nothing was sent. Find out first whether the hub was really set up anew; if so, forget"
        f" the old key (`ssh-keygen -R '{_host_name(access)}' -f {access.known_hosts}`, the same"
        f" with {home}) and add the new one with {_known_host_command(access)}"
    )


def _refused_key(access: Access) -> str:
    if not access.key.exists():
        return "Run `init` of the same command; it makes the key that the hub has to allow"
    line = public_line(access.key, access.agent) or f"the public half of {access.key}"
    return (
        f"Let the hub know this agent's key: {line} (a hub of your own: `agent-cloud init"
        " --hub-only DIR --agent-key FILE` prints the line for authorized_keys; a hosted one:"
        " enter it as a deploy key that may write)"
    )


def _refused_login(access: Access) -> str:
    if not access.user:
        return (
            "Set `user` in [hub] and keep the password or token as the credential hub_password"
            " (docs/hub.md)"
        )
    return f"Check `user` in [hub] ({access.user}) and the credential hub_password"


def _bad_certificate(access: Access) -> str:
    if access.ca_file:
        return f"Check that {access.ca_file} holds the authority that signed it, and its dates"
    return (
        "If the hub has an authority of its own, name its certificate with `ca_file` in [hub];"
        " otherwise somebody may be in between: nothing was sent"
    )


_KINDS: tuple[_Kind, ...] = (
    _Kind(
        ("remote host identification has changed",),
        "the hub's host key has changed, so it may be another machine",
        _changed_host,
    ),
    _Kind(
        ("host key is known for", "host key verification failed"),
        "the hub's host key is not known here yet",
        _unknown_host,
    ),
    _Kind(
        ("nightdesk: refused: this key opens",),
        "the hub refuses this path: our key is for another repository",
        lambda _: "Correct the path in `url` of [hub]",
    ),
    _Kind(
        ("permission denied (", "too many authentication failures"),
        "the hub refuses our key",
        _refused_key,
    ),
    _Kind(
        ("certificate", "ssl_error", "gnutls_handshake", "ssl routines"),
        "the hub's certificate is not trusted",
        _bad_certificate,
    ),
    _Kind(
        ("could not read username", "could not read password", "authentication failed"),
        "the hub refuses our login",
        _refused_login,
    ),
    _Kind(
        ("returned error: 403",),
        "the hub knows our login and does not let it in",
        _refused_login,
    ),
    _Kind(
        ("returned error: 301", "returned error: 302", "returned error: 303",
         "returned error: 307", "returned error: 308", "from redirection"),
        "the hub sends us to another address, and we do not follow",
        lambda _: "Find out where the repository is now, and write that address into `url`",
    ),
    _Kind(
        ("does not appear to be a git repository", "not found", "no such file or directory",
         "does not exist"),
        "there is no repository at the hub's address",
        lambda _: "Check `url` in [hub], and that the repository is there and we may read it",
    ),
)  # fmt: skip
"""The first that fits counts, so the narrower signs stand first."""


def public_line(key: Path, agent: str) -> str:
    """The public half of a private key, with its agent's name; "" where it cannot be read."""
    try:
        made = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", str(key)],  # noqa: S607 - ssh's own, as ssh is
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_KEYGEN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = made.stdout.decode("utf-8", "replace").split()[:2]
    return " ".join([*words, agent]).strip() if made.returncode == 0 else ""

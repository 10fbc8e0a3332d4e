"""How this machine opens its hub: the environment that git's transports run with.

Everything is said here and nothing is taken from the person's `ssh_config`, from the vault's own
git configuration or from a proxy variable, so that none of them can weaken it. Secrets go through
the environment alone: an argument list is visible to every user of the machine.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nightdesk.config import HubSettings, credential
from nightdesk.errors import ConfigError
from nightdesk.sync.address import check_hub_url, ssh_host, transport
from nightdesk.sync.signing import KEY_FILE

KNOWN_HOSTS = "known_hosts"
PASSWORD = "hub_password"  # noqa: S105 - the credential's name

_LONGEST_SOCKET = 85
"""A Unix socket's path ends at 107 bytes, and ssh first makes it with 17 more characters."""

_SSH_OPTIONS: tuple[str, ...] = (
    "BatchMode=yes",
    "ConnectTimeout=5",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=2",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "PreferredAuthentications=publickey",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RequestTTY=no",
    "LogLevel=ERROR",
)


@dataclass(frozen=True, slots=True)
class Access:
    """What opens one hub from one machine.

    Attributes:
        url: the hub's address, checked.
        state: the agent's state folder; it holds the key and the known hosts.
        user: login name for https; "" where none is needed.
        password: what belongs to it.
        ca_file: certificates of authorities (PEM) that https trusts instead of the system's.
        proxy: for https; "" means a direct connection.
        agent: whose key it is, for a person who has to allow it.
    """

    url: str
    state: Path
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    proxy: str = ""
    agent: str = ""

    @property
    def transport(self) -> str:
        """`file`, `ssh` or `https`."""
        return transport(self.url)

    @property
    def key(self) -> Path:
        """The agent's private key."""
        return self.state / KEY_FILE

    @property
    def known_hosts(self) -> Path:
        """Where this agent's own known hosts stand, besides the person's."""
        return self.state / KNOWN_HOSTS

    def environment(self) -> dict[str, str]:
        """What a git process that talks with the hub gets in its environment.

        Raises:
            ConfigError: a certificate file is missing.
        """
        if self.transport == "ssh":
            command = shlex.join(self.ssh("ControlMaster=no"))
            return {"GIT_SSH_COMMAND": command, "GIT_SSH_VARIANT": "ssh"}
        if self.transport == "https":
            return _as_environment(self._https())
        return {}

    def ssh(self, *options: str) -> list[str]:
        """The ssh command with its options, without a host."""
        command = ["ssh", "-F", "none"]
        for option in (*options, *_SSH_OPTIONS):
            command += ["-o", option]
        hosts = [str(self.known_hosts), str(Path.home() / ".ssh" / "known_hosts")]
        command += ["-o", "UserKnownHostsFile=" + " ".join(_quoted(name) for name in hosts)]
        if socket := self.control_socket():
            command += ["-o", "ControlPath=" + _quoted(str(socket))]
        if self.key.exists():
            command += ["-i", str(self.key).replace("%", "%%")]
        return command

    def ssh_to_hub(self, words: Sequence[str], *options: str) -> list[str]:
        """The ssh command that runs something at the hub."""
        host = ssh_host(self.url)
        port = ["-p", str(host.port)] if host.port else []
        target = f"{host.user}@{host.name}" if host.user else host.name
        return [*self.ssh(*options), *port, "--", target, *words]

    def control_socket(self) -> Path | None:
        """Where the held connection waits for git's own; None where there is no safe place."""
        socket = self.state / "ssh" / "hub"
        if len(os.fsencode(socket)) > _LONGEST_SOCKET:
            name = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:16]
            socket = Path(tempfile.gettempdir()) / f"nightdesk-{os.getuid()}" / name
        if len(os.fsencode(socket)) > _LONGEST_SOCKET or not _private(socket.parent):
            return None
        return socket

    def _https(self) -> list[tuple[str, str]]:
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigError(
                "the file with the hub's certificate authority is not there",
                remedy="Put it there, or correct `ca_file` in [hub]",
                where=str(self.ca_file),
            )
        settings = [
            ("sslVerify", "true"),
            ("followRedirects", "false"),
            ("proxy", self.proxy),
            ("extraHeader", ""),  # forgets what a less exact setting says
        ]
        if self.ca_file:
            settings.append(("sslCAInfo", str(self.ca_file)))
        if self.user:
            login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            settings.append(("extraHeader", f"Authorization: Basic {login}"))
        # The most exact address wins whatever the vault's own configuration says.
        return [(f"http.{self.url}.{name}", value) for name, value in settings]


def access_for(hub: HubSettings, state: Path, agent: str) -> Access:
    """What opens the hub of a configuration; the password is looked up by its name.

    Raises:
        ConfigError: the address is refused, or a login is configured and its password is not.
    """
    check_hub_url(hub.url)
    password = credential(PASSWORD) if hub.user else None
    if hub.user and not password:
        raise ConfigError(
            f"the hub wants the password of {hub.user}, and there is none",
            remedy=f"keyring set nightdesk {PASSWORD}, or NIGHTDESK_{PASSWORD.upper()}, or"
            f" LoadCredential={PASSWORD}:FILE in the unit",
            where=hub.url,
        )
    return Access(hub.url, state, hub.user, password or "", hub.ca_file, hub.proxy, agent)


def _as_environment(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Git's configuration as environment variables (git-config(1), GIT_CONFIG_COUNT)."""
    made = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings):
        made[f"GIT_CONFIG_KEY_{number}"] = name
        made[f"GIT_CONFIG_VALUE_{number}"] = value
    return made


def _quoted(path: str) -> str:
    # ssh expands % in these and splits at spaces; it takes \ and " as a shell's "…" does.
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _private(folder: Path) -> bool:
    """Whether the folder is there, ours, no link, and closed to everybody else."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return mine and not found.st_mode & 0o077

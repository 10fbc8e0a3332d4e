"""The hub's address: which transports are allowed, and what each needs."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nightdesk.errors import ConfigError

_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!:)[^\s]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ACCEPTED = (
    "Use an absolute path, file:///path, ssh://user@host/path, user@host:path or https://host/path"
)


def local_path(url: str) -> Path | None:
    """The folder of a hub on this machine, or None for a remote one."""
    if url.startswith("/"):
        return Path(url)
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None


def transport(url: str) -> str:
    """Git's name for the transport: `file`, `ssh` or `https`."""
    if local_path(url) is not None:
        return "file"
    return "https" if url.startswith("https://") else "ssh"


def check_hub_url(url: str) -> None:
    """Accept a hub's address or say what is wrong with it (FR-015: nothing in plain text).

    Raises:
        ConfigError: a plain-text or command transport, a relative path, or a password or
            token inside the address.
    """
    if any(ord(c) < 33 and c != " " for c in url) or url.startswith("-") or not url.strip():
        raise ConfigError("this is no address of a hub", remedy=_ACCEPTED, where=url)
    if url.startswith("/"):
        return
    if scheme := _SCHEME.match(url):
        _check_scheme(url, scheme.group(1))
        return
    if "::" in url:
        raise ConfigError(
            "addresses that run a command (`ext::` and the like) are refused",
            remedy=_ACCEPTED,
            where=url,
        )
    if not _SCP.fullmatch(url):
        raise ConfigError(
            "this is neither an absolute path nor an address", remedy=_ACCEPTED, where=url
        )


def _check_scheme(url: str, scheme: str) -> None:
    if scheme.lower() in {"http", "git", "ftp", "ftps"}:
        raise ConfigError(
            f"{scheme}:// is not encrypted or not supported, so the hub is not used",
            remedy="Use https:// or ssh:// with the same host",
            where=_without_secret(url),
        )
    if scheme not in {"file", "ssh", "https"}:
        raise ConfigError(
            f"the transport {scheme}:// is not supported",
            remedy=_ACCEPTED,
            where=_without_secret(url),
        )
    parts = urlsplit(url)
    if parts.password is not None or (scheme == "https" and parts.username is not None):
        raise ConfigError(
            "a password or token stands inside the hub's address",
            remedy="Take it out of the address, and use an ssh key",
            where=_without_secret(url),
        )
    if scheme == "file" and (parts.netloc not in {"", "localhost"} or not parts.path):
        raise ConfigError("file:// needs an absolute path", remedy=_ACCEPTED, where=url)
    if scheme != "file" and (not parts.hostname or parts.hostname.startswith("-")):
        raise ConfigError("the address names no host", remedy=_ACCEPTED, where=url)


def _without_secret(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)

"""The hub's address: which transports are allowed, and what each needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from nightdesk.errors import ConfigError

_SCP = re.compile(
    r"(?:(?P<user>[A-Za-z0-9._][A-Za-z0-9._-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*)"
    r":(?!:)(?P<path>\S+)"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ACCEPTED = (
    "Use an absolute path, file:///path, ssh://user@host/path, user@host:path or https://host/path"
)
_TAKE_OUT = (
    "Take it out of the address: with ssh a key opens the hub; for https set `user` in [hub] and"
    " keep the password or token as the credential hub_password (docs/hub.md)"
)


class Host(NamedTuple):
    """Where ssh connects to. `port` is None for ssh's own, `user` is "" for the present one."""

    user: str
    name: str
    port: int | None


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


def ssh_host(url: str) -> Host:
    """The host of a checked address whose transport is ssh."""
    if url.startswith("ssh://"):
        parts = urlsplit(url)
        return Host(unquote(parts.username or ""), parts.hostname or "", parts.port)
    match = _SCP.fullmatch(url)
    assert match, "the address was checked"
    return Host(match["user"] or "", match["host"], None)


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
            where=_without_secret(url),
        )
    # `user:password@host:path` is no form of ssh's, but it is what people try.
    if "@" in url.partition(":")[2].partition("/")[0]:
        raise ConfigError(
            "a password or token stands inside the hub's address",
            remedy=_TAKE_OUT,
            where=_without_secret(url),
        )
    if not _SCP.fullmatch(url):
        raise ConfigError(
            "this is neither an absolute path nor an address", remedy=_ACCEPTED, where=url
        )


def _check_scheme(url: str, scheme: str) -> None:
    shown = _without_secret(url)
    if scheme.lower() in {"http", "git", "ftp", "ftps"}:
        raise ConfigError(
            f"{scheme}:// is not encrypted or not supported, so the hub is not used",
            remedy="Use https:// or ssh:// with the same host",
            where=shown,
        )
    if scheme not in {"file", "ssh", "https"}:
        raise ConfigError(
            f"the transport {scheme}:// is not supported", remedy=_ACCEPTED, where=shown
        )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as e:
        raise ConfigError(
            f"the address cannot be read ({e})", remedy=_ACCEPTED, where=shown
        ) from None
    if (
        parts.password is not None
        or (scheme == "https" and parts.username is not None)
        or (scheme == "https" and (parts.query or parts.fragment))
    ):
        raise ConfigError(
            "a password or token stands inside the hub's address", remedy=_TAKE_OUT, where=shown
        )
    if scheme == "file" and (parts.netloc not in {"", "localhost"} or not parts.path):
        raise ConfigError("file:// needs an absolute path", remedy=_ACCEPTED, where=shown)
    if scheme != "file" and (
        not parts.hostname
        or parts.hostname.startswith("-")
        or unquote(parts.username or "").startswith("-")
    ):
        raise ConfigError("the address names no host", remedy=_ACCEPTED, where=shown)
    if scheme != "file" and not parts.path.strip("/"):
        raise ConfigError("the address names no repository", remedy=_ACCEPTED, where=shown)


def _without_secret(url: str) -> str:
    hidden = re.sub(r"(//)[^/]*@|^[^/]*@", r"\1…@", url)
    return re.sub(r"[?#].*", "?…", hidden)

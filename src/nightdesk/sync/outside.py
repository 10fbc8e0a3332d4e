"""The hub from outside a vault: making one, asking whether it is there, reading its history."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nightdesk.errors import ConfigError, NightdeskError
from nightdesk.sync.access import Access
from nightdesk.sync.address import check_hub_url, local_path
from nightdesk.sync.clone import check_clone
from nightdesk.sync.git import Git
from nightdesk.sync.process import run
from nightdesk.sync.trouble import unreachable

_PROBE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class HubCommit:
    """One commit of the hub's history, as a person would tell it.

    Attributes:
        oid: 40 hex.
        author: the agent's name.
        changes: (letter, path) with the letter A, M or D.
    """

    oid: str
    author: str
    changes: tuple[tuple[str, str], ...]


def make_bare_hub(folder: Path) -> None:
    """Make a bare repository for the two halves to meet in.

    Raises:
        ConfigError: the folder holds something already, or cannot be made.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            "the folder for the hub is not empty",
            remedy="Name an empty or a new folder",
            where=str(folder),
        )
    create_bare(folder)


def create_bare(folder: Path) -> None:
    """Make an empty bare repository whose branch is `main`.

    Raises:
        ConfigError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = ""
    except OSError as e:
        reason = e.strerror or str(e)
    if not reason:
        arguments = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]
        made = run(folder, [*arguments, str(folder)], environment={})
        reason = made.reason if made.code != 0 else ""
    if reason:
        raise ConfigError(
            f"the hub cannot be made: {reason}",
            remedy="Name a folder that you may write",
            where=str(folder),
        )
    for key in ("receive.denyNonFastForwards", "receive.denyDeletes", "receive.fsckObjects"):
        run(folder, ["config", key, "true"], environment={"GIT_DIR": str(folder)})


def probe_hub(access: Access) -> None:
    """Ask the hub whether it is there and lets us in, without any clone.

    Raises:
        ConfigError: the address is refused.
        HubUnreachable: it does not answer.
    """
    check_hub_url(access.url)
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            Path(folder),
            ["ls-remote", "--", access.url, "refs/heads/main"],
            environment=access.environment(),
            protocols=(access.transport,),
            timeout=_PROBE_SECONDS,
        )
    if found.code != 0:
        raise unreachable(access, found)


def git_version() -> tuple[int, ...]:
    """The version of the git that is installed, for example (2, 39, 5).

    Raises:
        ConfigError: there is none.
    """
    said = run(Path("/"), ["version"], environment={}).out.decode("utf-8", "replace")
    numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(n) for n in numbers.groups(default="0")) if numbers else (0,)


def clone_fault(vault: Path, hub: str) -> NightdeskError | None:
    """What keeps a vault's clone from being used, or None."""
    try:
        check_clone(Git(vault, vault, hub, "doctor"))
    except NightdeskError as e:
        return e
    return None


def history(hub: Path) -> list[HubCommit]:
    """The history of a hub on this machine, oldest first; empty while it holds nothing."""
    folder = local_path(str(hub))
    assert folder is not None
    if not folder.is_dir():
        return []
    git = Git(folder, folder, str(hub), "reader", folder=folder)
    tip = git.resolve("refs/heads/main")
    if tip is None:
        return []
    return [
        HubCommit(
            commit.oid,
            commit.author,
            tuple(
                ("A" if c.before is None else "D" if c.after is None else "M", c.path)
                for c in commit.changes
            ),
        )
        for commit in git.log(None, tip)
    ]

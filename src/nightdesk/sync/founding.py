"""The beginning: Local makes the vault and its root commit; the others join it."""

from __future__ import annotations

import os
from pathlib import Path

from nightdesk.errors import ConfigError
from nightdesk.policy import Role
from nightdesk.sync.access import Access
from nightdesk.sync.address import check_hub_url, local_path
from nightdesk.sync.clone import BASE, MAIN, step_along
from nightdesk.sync.contents import Contents
from nightdesk.sync.gate import divide
from nightdesk.sync.git import Git
from nightdesk.sync.hub import Hub
from nightdesk.sync.outside import create_bare
from nightdesk.sync.pushes import PushOutcome, refused
from nightdesk.sync.secrets import Guard
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import KEY_FILE, signing_key
from nightdesk.sync.snapshot import Scanner
from nightdesk.sync.trees import Trees
from nightdesk.vault.files import create

_ROOT = "refs/nightdesk/root"
_AT_ONCE = 50


def create_root(
    vault: Path,
    hub: str,
    state: Path,
    agent: str,
    template: Path,
    access: Access | None = None,
    guard: Guard | None = None,
) -> None:
    """Make a vault and its root commit, and push it to an empty hub.

    Existing notes in the folder are kept and become part of the vault; template files are
    added where they are missing. A local hub that does not exist is made. Doing it again
    changes nothing, and a run that was cut off goes on.

    Args:
        vault: a folder, also one with notes in it.
        hub: the hub's address.
        state: the agent's state folder.
        agent: the author.
        template: a folder whose files seed the vault.
        access: what opens the hub; without it, what the state folder holds.
        guard: what must not leave, also not with the first commit; without one, paths, zones
            and token formats are guarded.

    Raises:
        ConfigError: the hub holds another vault, or the folder is a git repository already.
        HubUnreachable: the hub does not answer.
        HubRefused: the hub declined.
    """
    check_hub_url(hub)
    _make_folders(vault, state)
    folder = local_path(hub)
    if folder is not None and not (folder.exists() and any(folder.iterdir())):
        create_bare(folder)
    signing_key(state, agent)
    git = Git(vault, state, hub, agent, key=state / KEY_FILE, access=access)
    if _is_begun(git):
        if git.resolve(BASE):
            return
    else:
        git.init()
    tip = Hub(git, agent).fetch()
    if tip is not None and tip != git.resolve(_ROOT):
        raise ConfigError(
            "the hub holds a vault already",
            remedy="Name an empty hub, or an empty folder to connect to the vault that is there",
            where=hub,
        )
    root = git.resolve(_ROOT) if tip else None
    if root is None:
        _seed(vault, template)
        root = _root_commit(git, agent, guard or Guard(role=Role.LOCAL))
        push = git.push(f"{root}:{MAIN}", only_if_absent=MAIN)
        if push.outcome is PushOutcome.REFUSED:
            raise refused(hub, push)
        if push.outcome is not PushOutcome.ACCEPTED and Hub(git, agent).fetch() != root:
            raise ConfigError(
                f"the root commit did not arrive in the hub ({push.reason})",
                remedy="Run the same command again",
                where=hub,
            )
    git.update_refs((BASE, root))
    step_along(git, root)


def join(
    vault: Path,
    hub: str,
    state: Path,
    agent: str,
    trust: Trust | None = None,
    access: Access | None = None,
) -> str:
    """Make a vault out of what the hub holds, in an empty or missing folder.

    Doing it again changes nothing, and a run that was cut off goes on.

    Args:
        trust: with a key of the owner's in it, the vault starts from the newest commit that the
            owner signed, and what came after passes the gate in the first cycle; without one
            it starts from whatever the hub holds.

    Returns:
        The commit from which on this clone judges what comes; "" when it was made before.

    Raises:
        ConfigError: the hub is empty, or the folder is not.
        HubUnreachable: the hub does not answer.
    """
    check_hub_url(hub)
    _make_folders(vault, state)
    signing_key(state, agent)
    git = Git(vault, state, hub, agent, key=state / KEY_FILE, access=access)
    if _is_begun(git):
        if git.resolve(BASE):
            return ""
    elif any(vault.iterdir()):
        raise ConfigError(
            "the folder for the vault is not empty",
            remedy="Name an empty or a new folder; the vault comes from the hub",
            where=str(vault),
        )
    else:
        git.init()
    tip = Hub(git, agent).fetch()
    if tip is None:
        raise ConfigError(
            "the hub is empty",
            remedy="Run `agent-local init` first; the laptop makes the vault",
            where=hub,
        )
    if trust and trust.owner:
        tip = _newest_of_owner(git, tip, trust)
    entries, _ = divide(git.tree_of(tip))
    contents = Contents(git)
    paths = list(entries)
    for start in range(0, len(paths), 500):
        some = paths[start : start + 500]
        blobs = contents.read_all(entries[path].oid for path in some)
        for path in some:
            _put(vault / path, blobs[entries[path].oid], path)
        contents.forget()
    git.update_refs((BASE, tip))
    step_along(git, tip)
    return tip


def _newest_of_owner(git: Git, tip: str, trust: Trust) -> str:
    commits = [commit.oid for commit in reversed(git.log(None, tip))]
    for start in range(0, len(commits), _AT_ONCE):
        some = commits[start : start + _AT_ONCE]
        signers = git.signers(some, trust)
        for oid in some:
            if signers[oid].gates:
                return oid
    raise ConfigError(
        "nothing in the hub is signed with the laptop's key that you gave",
        remedy="Compare the key with the line that `agent-local init` printed, and run the"
        " command again with the right one",
        where=git.hub,
    )


def _make_folders(vault: Path, state: Path) -> None:
    for folder in (vault, state):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(
                f"the folder cannot be made ({e.strerror})",
                remedy="Name a folder that you may write",
                where=str(folder),
            ) from e


def _is_begun(git: Git) -> bool:
    """Whether the folder is a repository for this hub that an earlier run began."""
    if not git.folder.exists():
        return False
    if git.origin() == git.hub:
        return True
    raise ConfigError(
        "the folder is a git repository already, and not one for this hub",
        remedy="Name another folder, or move its .git away first",
        where=str(git.vault),
    )


def _put(path: Path, data: bytes, name: str) -> None:
    try:
        create(path, data)
    except FileExistsError as e:
        if not path.is_file() or path.read_bytes() != data:
            raise ConfigError(
                f"{name} is there already with other content",
                remedy="Name an empty or a new folder; the vault comes from the hub",
                where=str(path),
            ) from e


def _seed(vault: Path, template: Path) -> None:
    for folder, _, names in os.walk(template):
        for name in names:
            source = Path(folder) / name
            target = vault / source.relative_to(template)
            if not target.exists():
                create(target, source.read_bytes())


def _root_commit(git: Git, agent: str, guard: Guard) -> str:
    snapshot = Scanner(git.vault, git, guard).scan({}, full=True)
    tree = Trees(git).write(None, dict(snapshot.entries))
    root = git.commit(tree, [], f"{agent}: the vault begins")
    git.update_refs((_ROOT, root))
    return root

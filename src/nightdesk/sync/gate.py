"""The gate: what comes from the hub is judged before one byte of it reaches the vault.

In this form it judges what can be judged without signatures: kinds of entry, names, excluded
paths, and on the laptop that nobody else fills `Approved/` or changes a waiting card. The table
of section 5 (`policy.CLOUD_MAY_WRITE`) and the signatures that it needs take their place here:
`judge` sees every commit, with its author and parents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nightdesk.policy import Role
from nightdesk.sync.entries import FILE_MODE, Changed, Commit, Entry, PathMap
from nightdesk.sync.exclude import GITIGNORE, excluded, fault_in_path
from nightdesk.vault.layout import DASHBOARD, HANDBOOK, STOP_FILE, Folder

_KINDS = {
    "120000": "a symbolic link is refused",
    "160000": "a nested repository is refused",
    "100755": "an executable file is refused",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What of the judged commits is not applied.

    Paths are as git spells them, in the order of the history.

    Attributes:
        alien: path -> why it can never be part of the vault; also where a later commit took
            it away again, because the history holds it.
        trespass: path -> why this change of it must be undone.
    """

    alien: Mapping[str, str] = field(default_factory=dict)
    trespass: Mapping[str, str] = field(default_factory=dict)


def fault(path: str, entry: Entry) -> str | None:
    """Say why a path can never be part of the vault, whoever wrote it; None when it can."""
    if entry.mode != FILE_MODE:
        return _KINDS.get(entry.mode, f"the file mode {entry.mode} is refused")
    if path.rsplit("/", 1)[-1].casefold() in {".gitattributes", ".gitmodules"}:
        return "it would change how git reads the vault"
    return excluded(path) or (None if path == GITIGNORE else fault_in_path(path))


def divide(entries: PathMap) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Divide a commit's paths into those that are part of the vault and those that never are."""
    visible: dict[str, Entry] = {}
    alien: dict[str, Entry] = {}
    for path, entry in entries.items():
        (alien if fault(path, entry) else visible)[path] = entry
    return visible, alien


def judge(commits: Sequence[Commit], role: Role) -> Verdict:
    """Judge every commit that is new, not only where they end.

    Args:
        commits: oldest first.
        role: who judges. What the laptop alone may write is refused there only.
    """
    alien: dict[str, str] = {}
    trespass: dict[str, str] = {}
    for commit in commits:
        for change in commit.changes:
            if change.after and (reason := fault(change.path, change.after)):
                alien.setdefault(change.path, reason)
            elif role is Role.LOCAL and (reason := _laptop_alone(change)):
                trespass.setdefault(change.path, reason)
    return Verdict(alien, trespass)


_ALONE: tuple[tuple[str, str], ...] = (
    (GITIGNORE, "the vault's ignore file is changed on the laptop only"),
    (HANDBOOK, "the handbook is the user's own; nobody else writes it"),
    (STOP_FILE, "the emergency stop is set and lifted on the laptop only"),
    (DASHBOARD, "the dashboard is written by the laptop alone"),
    (f"{Folder.LOGS}/", "the logs are written by the laptop alone"),
    (
        f"{Folder.APPROVED}/",
        "an approval is a move on this machine; nothing else touches Approved/",
    ),
    (f"{Folder.REJECTED}/", "a refusal is a move on this machine; nothing else touches Rejected/"),
)
_FOLDERS: Mapping[str, str] = {folder.casefold(): str(folder) for folder in Folder}


def _laptop_alone(change: Changed) -> str | None:
    """What nobody else may do as long as nobody signs."""
    for start, reason in _ALONE:
        if change.path == start or (start.endswith("/") and change.path.startswith(start)):
            return reason
    if change.before is not None and change.path.startswith(f"{Folder.PENDING}/"):
        return "a card that waits is written once; only this laptop changes or removes it"
    top, slash, _ = change.path.partition("/")
    known = _FOLDERS.get(top.casefold(), top)
    if change.after is not None and slash and known != top:
        return f"on some disks {top}/ is the same folder as {known}/"
    return None

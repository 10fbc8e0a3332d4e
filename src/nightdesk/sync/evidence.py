"""Evidence: what was refused from the hub is kept on this machine, with its commit and reason."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nightdesk.sync.entries import printable
from nightdesk.sync.gate import Finding
from nightdesk.sync.git import Git

REFS = "refs/nightdesk/evidence"
"""A ref of its own for each refused commit keeps its objects from every clean-up."""

_FILE = "evidence.jsonl"
_MOST_BYTES = 4 * 1024 * 1024
_MOST_REFS = 1000


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One refused change, as it is kept.

    Attributes:
        at: when this machine refused it, ISO 8601, UTC.
        commit: 40 hex; `git show` in the vault still shows it.
        signer: the agent that signed it; "" for a stranger.
        blob: the id of the bytes that were refused; "" for a removal.
    """

    at: str
    commit: str
    signer: str
    path: str
    reason: str
    blob: str


def keep(git: Git, state: Path, findings: Sequence[Finding]) -> list[Finding]:
    """Keep what is not kept yet, and return it: the rest was told before.

    The file is `evidence.jsonl` in the state folder, one JSON object a line; when it grows
    over 4 MiB its older half goes.
    """
    if not findings:
        return []
    file = state / _FILE
    known = {(exhibit.commit, exhibit.path) for exhibit in read(state)}
    new = [f for f in findings if (f.commit, printable(f.path)) not in known]
    if not new:
        return []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    commits = dict.fromkeys(finding.commit for finding in new)
    git.update_refs(*((f"{REFS}/{commit}", commit) for commit in list(commits)[-_MOST_REFS:]))
    with file.open("a", encoding="utf-8") as out:
        for f in new:
            row = {
                "at": now,
                "commit": f.commit,
                "signer": f.signer.name,
                "path": printable(f.path),
                "reason": f.reason,
                "blob": f.entry.oid if f.entry else "",
            }
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    _shorten(git, file)
    return new


def read(state: Path) -> list[Exhibit]:
    """Everything that is kept, oldest first."""
    try:
        lines = (state / _FILE).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    found: list[Exhibit] = []
    for line in lines:
        try:
            found.append(Exhibit(**json.loads(line)))
        except (ValueError, TypeError):  # a line that a power cut left half written
            continue
    return found


def _shorten(git: Git, file: Path) -> None:
    if file.stat().st_size <= _MOST_BYTES:
        return
    lines = deque(file.read_text("utf-8").splitlines(keepends=True))
    while sum(map(len, lines)) > _MOST_BYTES // 2:
        for _ in range(max(1, len(lines) // 4)):
            lines.popleft()
    file.write_text("".join(lines), "utf-8")
    kept = {json.loads(line)["commit"] for line in lines}
    refs = [ref for ref in git.refs(REFS) if ref.rpartition("/")[2] not in kept]
    if refs:
        git.update_refs(*((ref, "") for ref in refs))

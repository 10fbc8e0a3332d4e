"""The gate: what comes from the hub is judged before one byte of it reaches the vault.

docs/design.md, section 5. Every commit is judged, not only where they end. The same code runs
on the laptop and, with the standard library alone, as the hub's `pre-receive` hook.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nightdesk.policy import Change, Role, may_write
from nightdesk.sync.entries import FILE_MODE, Changed, Commit, Entry, PathMap
from nightdesk.sync.exclude import GITIGNORE, excluded, fault_in_path
from nightdesk.sync.heads import NotPlainError, plain_id
from nightdesk.sync.inventory import Inventory
from nightdesk.sync.signers import Signer
from nightdesk.vault.layout import (
    MAX_NAME_BYTES,
    MAX_NOTE_BYTES,
    Folder,
    is_conflict_copy,
    place_of,
)

MAX_CHANGES = 500
"""Files that one commit of an agent other than the laptop may touch."""
MAX_FOLDERS = 4
MAX_ATTACHMENT_BYTES = 10 * 1024 * 1024
ATTACHMENTS = frozenset(
    {"pdf", "png", "jpg", "jpeg", "gif", "webp", "txt", "csv", "ics", "eml"}
    | {"docx", "xlsx", "pptx", "odt", "ods"}
)

_CARD_WAITS = "the task's card waits for the person; the laptop finishes it"
_KINDS = {
    "120000": "a symbolic link is refused",
    "160000": "a nested repository is refused",
    "100755": "an executable file is refused",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One change that the gate refused.

    Attributes:
        commit: its id, 40 hex.
        signer: whose it was.
        path: as git spells it.
        reason: one clause without a full stop.
        entry: what the commit would have put there; None for a removal.
    """

    commit: str
    signer: Signer
    path: str
    reason: str
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the judged commits.

    Attributes:
        allowed: path -> what it holds after the allowed changes (None: removed), of every path
            that they touched.
        findings: what was refused, in the order of the history.
    """

    allowed: Mapping[str, Entry | None] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Blobs:
    """What the gate may ask about bytes.

    Attributes:
        sizes: ids -> id -> length in bytes.
        read: ids -> id -> bytes; asked only for notes that are not too large.
        secret: why these bytes must not have come at all (a credential of this machine), or None.
    """

    sizes: Callable[[Collection[str]], Mapping[str, int]]
    read: Callable[[Collection[str]], Mapping[str, bytes]]
    secret: Callable[[str, bytes], str | None] = lambda path, data: None


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


def judge(
    commits: Sequence[Commit],
    signers: Mapping[str, Signer],
    before: Inventory,
    blobs: Blobs,
) -> Verdict:
    """Judge commits one after the other, each against what the allowed ones before it left.

    Args:
        commits: oldest first.
        signers: commit id -> who signed it.
        before: what the vault held before them. It is used as scratch and is as it was again
            when this returns.
        blobs: questions about bytes.
    """
    allowed: dict[str, Entry | None] = {}
    findings: list[Finding] = []
    undo: dict[str, Entry | None] = {}
    try:
        for commit in commits:
            trial = _Trial(commit, signers[commit.oid], before, blobs)
            good, bad = trial.decide()
            for path, entry in trial.was.items():
                undo.setdefault(path, entry)
            allowed.update(good)
            findings += bad
    finally:
        before.update(undo)
    return Verdict(allowed, tuple(findings))


class _Trial:
    """One commit before the gate."""

    def __init__(
        self,
        commit: Commit,
        signer: Signer,
        there: Inventory,
        blobs: Blobs,
    ) -> None:
        self.commit = commit
        self.signer = signer
        self.there = there
        self.blobs = blobs
        self.was: dict[str, Entry | None] = {}
        # A merge is listed against each parent; what it leaves at a path is the same each time.
        self.changes = {change.path: change for change in commit.changes}
        self.own = f"{Folder.IN_PROGRESS}/{signer.name}/"
        self.whole = self._fault_of_whole()
        self.arrived = {c.path: c.after for c in self.changes.values() if c.after}
        self.sizes: Mapping[str, int] = {}
        self.contents: Mapping[str, bytes] = {}
        if signer.role is not Role.LOCAL and not self.whole:
            self._look_at_bytes()

    def decide(self) -> tuple[dict[str, Entry | None], list[Finding]]:
        """Divide the changes into those that hold, which the inventory then has, and the rest."""
        good: dict[str, Entry | None] = {}
        bad: dict[str, str] = {}
        for change in sorted(self.changes.values(), key=_order):
            if reason := self.fault(change):
                bad[change.path] = reason
            else:
                good[change.path] = change.after
                self._apply(change.path, change.after)
        self._take_back_lost_moves(good, bad)
        findings = [
            Finding(self.commit.oid, self.signer, path, bad[path], self.changes[path].after)
            for path in self.changes
            if path in bad
        ]
        return good, findings

    def _take_back_lost_moves(self, good: dict[str, Entry | None], bad: dict[str, str]) -> None:
        """What left for a place that was refused stays where it was."""
        if self.signer.role is Role.LOCAL or not bad:
            return
        self.arrived = {path: entry for path, entry in good.items() if entry}
        for path in [path for path, entry in good.items() if entry is None]:
            self._apply(path, self.was[path])
            if self._fault_of_removal(self.changes[path]):
                bad[path] = "its new place was refused"
                del good[path]
            else:
                self._apply(path, None)

    def _apply(self, path: str, entry: Entry | None) -> None:
        self.was.setdefault(path, self.there.get(path))
        self.there.update({path: entry})

    def _look_at_bytes(self) -> None:
        new = {
            change.path: change.after.oid
            for change in self.changes.values()
            if change.after and not fault(change.path, change.after)
        }
        self.sizes = self.blobs.sizes(set(new.values()))
        small = {oid for oid in new.values() if self.sizes.get(oid, 0) <= MAX_NOTE_BYTES}
        self.contents = self.blobs.read(small)

    def _fault_of_whole(self) -> str | None:
        """What refuses everything in the commit, whatever it touches."""
        if self.signer.role is Role.LOCAL:
            return None
        if len(self.commit.parents) != 1:
            kind = "begins a history of its own" if not self.commit.parents else "is a merge"
            return f"the commit {kind}; the hub's history is one line"
        if len(self.changes) > MAX_CHANGES:
            return f"the commit touches {len(self.changes)} files, more than {MAX_CHANGES}"
        if self.signer.role is Role.CLOUD and self.commit.author != self.signer.name:
            author = self.commit.author.encode("utf-8", "backslashreplace").decode()[:60]
            return f"the commit names {author!r} as its author, but {self.signer.name!r} signed it"
        return None

    def fault(self, change: Changed) -> str | None:
        """Say why a change is refused, or None."""
        if change.after and (reason := fault(change.path, change.after)):
            return reason
        if self.signer.role is Role.LOCAL:
            return None
        if change.after is None and self.there.get(change.path) is None:
            return None  # it never came in
        return next(filter(None, self._faults(change)), None)

    def _faults(self, change: Changed) -> Iterator[str | None]:
        """What there is to say against a change, the most telling first."""
        kind = _kind(change, self.there)
        yield self.whole
        if not may_write(self.signer.role, change.path, kind, self.signer.name):
            yield _not_in_table(self.signer, change.path, kind)
        if change.after is None:
            yield self._fault_of_removal(change)
            return
        yield self._fault_of_size(change.path, change.after)
        yield from self._faults_of_place(change.path)
        if place_of(change.path).is_state:
            yield from self._faults_of_state(change.path, kind)
        yield self._fault_of_content(change.path, change.after)

    # What leaves a place ------------------------------------------------------------------

    def _fault_of_removal(self, change: Changed) -> str | None:
        path = change.path
        if path.startswith(f"{Folder.NEEDS_ACTION}/"):
            target = self.own + place_of(path).name
            here = self.there.get(path)
            if here is None or self.arrived.get(target) == here:
                return None
            return "a task leaves Needs_Action/ only by a claim: the same name, the same bytes"
        if path.startswith(self.own):
            if self.there.has_card(path):
                return _CARD_WAITS
            if not any(self._is_move(change, to) for to in self.arrived):
                return "a claimed task leaves its folder only to Done/ or back to Needs_Action/"
        return None

    def _is_move(self, change: Changed, target: str) -> bool:
        if not target.startswith((f"{Folder.DONE}/", f"{Folder.NEEDS_ACTION}/", self.own)):
            return False
        if place_of(target).name == place_of(change.path).name:
            return True
        # Filed under its id, where a person had named the file otherwise.
        here = self.there.get(change.path)
        return target.startswith(f"{Folder.DONE}/") and self.arrived[target] == here

    # What arrives at a place ---------------------------------------------------------------

    def _fault_of_size(self, path: str, entry: Entry) -> str | None:
        size = self.sizes.get(entry.oid, 0)
        if path.endswith(".md"):
            large = size > MAX_NOTE_BYTES
            return f"the note is larger than {MAX_NOTE_BYTES >> 10} KiB" if large else None
        if not path.startswith(f"{Folder.ATTACHMENTS}/"):
            return "only notes (.md) go here; other files belong into Attachments/"
        if path.rpartition(".")[2].casefold() not in ATTACHMENTS:
            return "this kind of file is no attachment that is taken"
        if size > MAX_ATTACHMENT_BYTES:
            return f"the attachment is larger than {MAX_ATTACHMENT_BYTES >> 20} MiB"
        return None

    def _faults_of_place(self, path: str) -> Iterator[str]:
        if path.count("/") > MAX_FOLDERS:
            yield f"it lies deeper than {MAX_FOLDERS} folders"
        if len(path.rpartition("/")[2].encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
            yield f"its name is longer than {MAX_NAME_BYTES} bytes"
        if twin := self.there.twin(path):
            yield f"on some disks it is the same as {twin}"

    def _faults_of_state(self, path: str, kind: Change) -> Iterator[str]:
        if is_conflict_copy(place_of(path).name):
            yield "a conflict copy in a folder that is a state could be taken for a second task"
        if kind is Change.CREATE and (others := self.there.same_name(path)):
            yield f"a note of this name is at {others[0]} already"
        changed = kind is Change.CHANGE and path.startswith(self.own)
        if (changed or path.startswith(f"{Folder.DONE}/")) and self.there.has_card(path):
            yield _CARD_WAITS

    def _fault_of_content(self, path: str, entry: Entry) -> str | None:
        data = self.contents.get(entry.oid)
        if data is None:
            return None
        if reason := self.blobs.secret(path, data):
            return reason
        place = place_of(path)
        if not place.is_state or not place.is_note or self._only_moved(entry):
            return None
        try:
            said = plain_id(data)
        except NotPlainError:
            return "its properties are not written as an agent writes them"
        if said not in {"", place.stem}:
            return f"it says that its id is {said!r}, but its name is {place.name!r}"
        return None

    def _only_moved(self, entry: Entry) -> bool:
        # Of what came in: what the commit's parent held may have been refused.
        return any(
            change.after is None and self.was.get(change.path) == entry
            for change in self.changes.values()
        )


def _order(change: Changed) -> tuple[bool, bool, str]:
    """What leaves comes first, so that its name is free; then cards, which close their tasks."""
    card = change.path.startswith(f"{Folder.PENDING}/")
    return change.after is not None, not card, change.path


def _kind(change: Changed, there: Inventory) -> Change:
    if change.after is None:
        return Change.REMOVE
    # What counts is what came in, not what the commit's parent held: a change of something that
    # was refused would bring it in after all.
    return Change.CHANGE if there.get(change.path) else Change.CREATE


def _not_in_table(signer: Signer, path: str, kind: Change) -> str:
    who = "nobody whom this desk knows" if signer.role is None else f"the agent {signer.name!r}"
    verb = {Change.CREATE: "add to", Change.CHANGE: "change", Change.REMOVE: "remove from"}[kind]
    top, slash, _ = path.partition("/")
    if signer.role is None:
        return f"the commit is signed by {who}, who may not {verb} {top + slash}"
    return f"{who} may not {verb} {top + slash}"


def start_of_judging(commits: Sequence[Commit], signers: Mapping[str, Signer]) -> Iterator[Commit]:
    """Leave out what a trusted signer has judged already.

    The laptop signs only trees whose history it has judged, so judging starts after its newest
    commit; what is not an ancestor of that commit is still judged.

    Args:
        commits: oldest first, parents before children.
    """
    passed: set[str] = set()
    for commit in reversed(commits):
        if signers[commit.oid].gates or commit.oid in passed:
            passed.add(commit.oid)
            passed.update(commit.parents)
    return (commit for commit in commits if commit.oid not in passed)

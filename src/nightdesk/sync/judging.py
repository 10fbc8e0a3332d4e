"""Judging on this machine: the gate with git's answers, before a merge and before a push.

docs/design.md, section 5. The laptop undoes what it refuses; a cloud agent, which may not, only
keeps it from its own disk (`distrust`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nightdesk.errors import SyncHalted
from nightdesk.policy import Role
from nightdesk.sync.commits import Commits
from nightdesk.sync.entries import Changed, Commit, Entry, HeldBack, printable
from nightdesk.sync.gate import Blobs, Finding, Verdict, fault, judge, start_of_judging
from nightdesk.sync.git import Git
from nightdesk.sync.inventory import Inventory
from nightdesk.sync.pathmaps import changes_between
from nightdesk.sync.signers import STRANGER, Key, Signer, Trust

Judge = Callable[
    [Sequence[Commit], Mapping[str, Signer], Inventory, Blobs],
    Verdict,
]
"""The gate itself: `gate.judge`."""

_REMEMBER = 5000


def on_the_line(
    base: str, commits: Sequence[Commit], signers: Mapping[str, Signer]
) -> Mapping[str, Signer]:
    """Whose word counts: the owner's only on the line that goes on from the base.

    A commit of the laptop's that was never accepted (it lost a race, say) is signed all the
    same, and a merge of anybody's could bring it back: an approval that was taken back since,
    or all notes as they were then. What a merge of the owner's own devices brings in counts,
    but not as a tree that was judged.

    Args:
        base: what this disk has merged.
        commits: those after it, oldest first.
        signers: commit id -> whose signature it carries.
    """
    line = {base}
    for commit in commits:
        if not line.isdisjoint(commit.parents):
            line.add(commit.oid)
    if commits[-1].oid not in line:
        return signers  # a person has said that nothing before counts (`hub adopt`)
    vouched: set[str] = set()
    found = dict(signers)
    for commit in reversed(commits):
        signer = signers[commit.oid]
        if commit.oid not in line and signer.role is Role.LOCAL:
            known = commit.oid in vouched
            found[commit.oid] = signer = replace(signer, gates=False) if known else STRANGER
        if signer.role is Role.LOCAL or commit.oid in vouched:
            vouched.update(commit.parents)
    return found


@dataclass(frozen=True, slots=True)
class Incoming:
    """What came from the hub since the base, judged.

    Attributes:
        changes: path -> entry (None: removed), of what may be merged.
        findings: what was refused.
        by_owner: paths that a device of the owner's changed last.
        commits: all of them, oldest first.
        judged: the newest commit among them that the owner has judged; "" where there is none.
    """

    changes: Mapping[str, Entry | None] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    by_owner: frozenset[str] = frozenset()
    commits: tuple[Commit, ...] = ()
    judged: str = ""


class Judging:
    """The gate of one agent.

    Args:
        trust: which keys are whose.
        role: a cloud agent that knows no key of its owner's takes everything for the owner's.
        me: this agent's public key.
        secret: why bytes must not come from anybody but the owner (they hold a credential of
            this machine), or None.
        gate: the gate itself.
    """

    def __init__(
        self,
        git: Git,
        commits: Commits,
        trust: Trust,
        role: Role,
        me: Key,
        *,
        secret: Callable[[str, bytes], str | None] = lambda path, data: None,
        gate: Judge = judge,
    ) -> None:
        self._git = git
        self._commits = commits
        self._trust = trust
        self._role = role
        self._me = trust.signer_of(me)
        self._gate = gate
        self._blobs = Blobs(git.sizes, lambda oids: git.read(sorted(oids)), secret)
        self._known: dict[str, Signer] = {}
        self._there = Inventory()
        self._at: str | None = None

    def incoming(self, base: str, tip: str) -> Incoming:
        """Judge what the hub has beyond the base.

        Raises:
            SyncHalted: this laptop knows no cloud agent yet, and somebody whom it does not know
                has written into the hub.
        """
        commits = self._git.log(base, tip)
        if not commits:
            return Incoming()
        signers = on_the_line(base, commits, self._signers(commits))
        todo = list(start_of_judging(commits, signers))
        start = self._newest_judged(commits, todo)
        changes: dict[str, Entry | None] = {}
        if start:
            changes.update(
                changes_between(self._commits.at(base).vault, self._commits.at(start).vault)
            )
        verdict = self._gate(todo, signers, self._inventory(start or base), self._blobs)
        if self._role is Role.LOCAL and not self._trust.cloud:
            self._halt_at_strangers(verdict.findings)
        changes.update(verdict.allowed)
        refused = {(finding.commit, finding.path) for finding in verdict.findings}
        by_owner: set[str] = set()
        for commit in commits:
            paths = {c.path for c in commit.changes if (commit.oid, c.path) not in refused}
            if signers[commit.oid].role is Role.LOCAL:
                by_owner |= paths
            else:
                by_owner -= paths
        return Incoming(changes, verdict.findings, frozenset(by_owner), tuple(commits), start or "")

    def is_clean(self, base: str, tip: str) -> bool:
        """Whether everything between the base and the tip may be built upon as it is."""
        return tip == base or not self.incoming(base, tip).findings

    def owner_went_on(self, base: str, tip: str) -> bool:
        """Whether the owner has signed something on a line that does not contain the base."""
        if not self._trust.owner:
            return False
        commits = self._git.log(base, tip)[-_REMEMBER:]
        return any(signer.gates for signer in self._signers(commits).values())

    def outgoing(
        self, tip: str, changes: Mapping[str, Entry | None]
    ) -> tuple[dict[str, Entry | None], list[HeldBack]]:
        """Leave out of our own commit what we may not write.

        Args:
            tip: the commit that it will stand on.
        """
        there = self._inventory(tip)
        draft = Commit(
            "our own",
            (tip,),
            self._me.name,
            0,
            tuple(Changed(path, there.get(path), entry) for path, entry in changes.items()),
        )
        signer = self._me
        if signer.role is None:  # a key of our own that nobody was told of yet
            signer = Signer(self._role)
            draft = replace(draft, author=signer.name)
        verdict = self._gate([draft], {draft.oid: signer}, there, self._blobs)
        held = [
            HeldBack(printable(f.path), f"this machine may not write it: {f.reason}")
            for f in verdict.findings
        ]
        refused = {finding.path for finding in verdict.findings}
        return {path: e for path, e in changes.items() if path not in refused}, held

    def _signers(self, commits: Sequence[Commit]) -> dict[str, Signer]:
        if self._role is Role.CLOUD and not (self._trust.owner or self._trust.devices):
            return {c.oid: Signer(Role.LOCAL, c.author) for c in commits}
        new = [commit.oid for commit in commits if commit.oid not in self._known]
        if len(self._known) + len(new) > _REMEMBER:
            self._known.clear()
            new = [commit.oid for commit in commits]
        self._known.update(self._git.signers(new, self._trust))
        return {commit.oid: self._known[commit.oid] for commit in commits}

    @staticmethod
    def _newest_judged(commits: Sequence[Commit], todo: Sequence[Commit]) -> str | None:
        left = {commit.oid for commit in todo}
        return next((c.oid for c in reversed(commits) if c.oid not in left), None)

    def _inventory(self, commit: str) -> Inventory:
        if self._at is None:
            self._there.update(self._commits.at(commit).vault)
        elif self._at != commit:
            changed = self._git.diff(self._at, commit)
            self._there.update(
                {p: None if e is None or fault(p, e) else e for p, e in changed.items()}
            )
        self._at = commit
        return self._there

    def _halt_at_strangers(self, findings: Sequence[Finding]) -> None:
        strange = next((f for f in findings if f.signer == STRANGER), None)
        if strange is None:
            return
        raise SyncHalted(
            f"the hub holds changes that nobody whom this laptop trusts has signed"
            f" ({strange.commit[:12]}: {printable(strange.path)})",
            remedy="If they are your cloud agent's, run `agent-local init --trust-cloud FILE` with"
            " the line that `agent-cloud init` printed. Nothing was changed here",
            where=self._git.hub,
        )

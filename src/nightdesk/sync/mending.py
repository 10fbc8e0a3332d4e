"""When the hub and this vault have grown apart: take the hub's line over, or put the hub right.

Sync never does either by itself (docs/hub.md). A person asks for it by command; while the agent
runs, the command leaves a request in the state folder and the next cycle carries it out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nightdesk.errors import HubUnreachable, NightdeskError
from nightdesk.sync.address import local_path
from nightdesk.sync.git import Git
from nightdesk.sync.pushes import PushOutcome, refused
from nightdesk.sync.refs import BASE, KEPT, MAIN, NOTHING, REPAIR
from nightdesk.sync.signers import Trust
from nightdesk.vault.files import write

QUARANTINE = "refs/nightdesk/hub"
_REQUEST = "hub-request.json"
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for.

    Attributes:
        deed: "adopt" or "repair".
        tip: the hub's commit that the person saw when asking; another one is not touched.
    """

    deed: str
    tip: str


def ask(state: Path, request: Request) -> None:
    """Leave a request for the running agent."""
    write(state / _REQUEST, json.dumps({"deed": request.deed, "tip": request.tip}).encode())


def asked(state: Path) -> Request | None:
    """The request that waits, if there is one."""
    try:
        found = json.loads((state / _REQUEST).read_text("utf-8"))
        return Request(str(found["deed"]), str(found["tip"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def answered(state: Path) -> None:
    """The request is carried out, or is of no more use."""
    (state / _REQUEST).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Difference:
    """How the hub stands to this vault, for a person to look at.

    Attributes:
        base: the hub's commit that this vault has merged.
        tip: the hub's commit now; "" where it holds no history.
        common: the newest commit that both contain; "" where there is none.
        theirs: (commit, signer, first line) of what only the hub has, newest first.
        missing: how many commits only this vault has.
    """

    base: str
    tip: str
    common: str
    theirs: tuple[tuple[str, str, str], ...] = ()
    missing: int = 0

    @property
    def apart(self) -> bool:
        """Whether sync has stopped because of it."""
        return self.tip not in {"", self.base} and self.common not in {self.base, self.tip}


def look(git: Git, trust: Trust) -> Difference:
    """See how the hub stands to this vault.

    Raises:
        HubUnreachable: the hub does not answer.
        SyncHalted: it sends objects that git refuses.
    """
    base = git.resolve(BASE) or ""
    git.fetch([f"+{MAIN}:{QUARANTINE}"])
    tip = git.resolve(QUARANTINE) or ""
    if not tip or not base:
        return Difference(base, tip, "")
    common = git.common(base, tip)
    commits = [commit.oid for commit in reversed(git.log(base, tip))][:_SHOWN]
    signers = git.signers(commits, trust)
    theirs = tuple((oid, signers[oid].name or "a stranger", git.subject(oid)) for oid in commits)
    return Difference(base, tip, common, theirs, len(git.log(tip, base)))


def adopt(git: Git, base: str, tip: str) -> str:
    """Take the hub's line of history for the true one; nothing on this disk is changed.

    The next cycle merges from what both have in common, so this disk's notes meet the hub's as
    after a long time offline, and everything new in the hub passes the gate.

    Returns:
        The new base: the common commit, or an empty one that the whole history counts after.
    """
    common = git.common(base, tip)
    if not common:
        common = git.commit(git.empty_tree(), [], "nothing in common", signed=False)
        git.update_refs((NOTHING, common))
    git.update_refs((f"{KEPT}/{base[:12]}", base), (BASE, common))
    return common


def repair(git: Git, good: str) -> None:
    """Make the hub's branch this vault's last good commit again, whatever it is now.

    The one push that may rewrite. A hub of ours refuses it from everybody but its owner, whom it
    lets in by a ref of its own.

    Raises:
        HubUnreachable: no answer, or the hub's repository is broken beyond this.
        HubRefused: the hub will not be rewritten.
    """
    push = git.push(f"+{good}:{MAIN}")
    if push.outcome is PushOutcome.ACCEPTED:
        return
    push = git.push(f"+{good}:{REPAIR}")
    if push.outcome is PushOutcome.REFUSED:
        raise refused(git.hub, push)
    folder = local_path(git.hub)
    if push.outcome is PushOutcome.ACCEPTED and folder is not None:
        hub = Git(folder, git.state, git.hub, "repair", folder=folder)
        if hub.resolve(MAIN) != good:
            hub.update_refs((MAIN, good))
        if hub.resolve(REPAIR):
            hub.update_refs((REPAIR, ""))
    if git.remote_tip() != good:
        raise HubUnreachable(
            f"the hub could not be put right: {push.reason or 'its branch has not moved'}",
            remedy="Move the hub's repository away, make a new one with `agent-cloud init"
            " --hub-only` in its place, and sync: the laptop fills it with the whole history",
            where=git.hub,
        )


def repair_if_asked(git: Git, state: Path, base: str) -> None:
    """Put the hub right where a person has asked for it.

    Raises:
        HubUnreachable, HubRefused: as `repair`; the request is then answered all the same, and
            the person asks again.
    """
    request = asked(state)
    if request and request.deed == "repair":
        answered(state)
        repair(git, base)


def adopt_if_asked(
    git: Git, state: Path, base: str, tip: str | None, trouble: NightdeskError
) -> str:
    """Take over a hub that has stopped sync, where a person has asked for just that.

    Args:
        tip: the hub's commit; None where it could not be fetched.
        trouble: why sync has stopped.

    Returns:
        The new base.

    Raises:
        NightdeskError: `trouble`, where nobody asked, or for another commit.
    """
    request = asked(state)
    if request is None or tip is None or request.deed != "adopt":
        raise trouble
    answered(state)
    if request.tip != tip:
        raise trouble
    return adopt(git, base, tip)

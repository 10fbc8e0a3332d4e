"""Who signed a commit: trusted SSH keys, and what git says about a commit's signature.

Standard library only, because the hub's hook runs this. A signature counts when three things
agree: git's exit code, its verdict `G`, and a principal that stands in our own list – a key
that is not in the list makes git print "Good signature" all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nightdesk.policy import Role

AGENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
PUBLIC_KEY = re.compile(
    r"(?P<type>ssh-ed25519|sk-ssh-ed25519@openssh\.com) (?P<blob>[A-Za-z0-9+/]{60,}={0,2})"
    r"(?: (?P<name>[^\r\n]*))?"
)

VERIFY_OPTIONS: tuple[str, ...] = (
    "gpg.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=ssh-keygen",
    "log.showSignature=false",
)
"""Only SSH signatures count: whatever lies in a GnuPG keyring proves nothing here."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature a commit carries.

    Attributes:
        role: None for an unsigned commit and for a key that nobody here trusts.
        name: the agent's or device's name; "" with role None.
        gates: whether this signer signs only trees that it has judged itself, so that
            judging starts after its newest commit.
    """

    role: Role | None = None
    name: str = ""
    gates: bool = False


STRANGER = Signer()


@dataclass(frozen=True, slots=True)
class Key:
    """A public SSH key.

    Attributes:
        line: "ssh-ed25519 AAAA…", without the comment.
        name: the comment when it is an agent's name, else "".
    """

    line: str
    name: str

    def __str__(self) -> str:
        return f"{self.line} {self.name}".strip()

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read the one line that `init` prints.

        Raises:
            ValueError: it is no public Ed25519 SSH key.
        """
        match = PUBLIC_KEY.fullmatch(text.strip())
        if not match:
            raise ValueError("this is no public Ed25519 SSH key (`ssh-ed25519 AAAA… name`)")
        name = (match["name"] or "").strip()
        line = f"{match['type']} {match['blob']}"
        return cls(line, name if AGENT_NAME.fullmatch(name) else "")


@dataclass(frozen=True, slots=True)
class Trust:
    """Which keys are whose.

    Attributes:
        owner: the laptop's own key and, on other machines, the key of the laptop: they sign
            only what they have judged.
        devices: further devices of the owner's; they may do all, but judge nothing.
        cloud: the cloud agents' keys.
    """

    owner: tuple[Key, ...] = ()
    devices: tuple[Key, ...] = ()
    cloud: tuple[Key, ...] = ()
    _signers: Mapping[str, Signer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[str, Signer] = {}
        groups = (
            ("owner", Role.LOCAL, self.owner),
            ("device", Role.LOCAL, self.devices),
            ("cloud", Role.CLOUD, self.cloud),
        )
        for group, role, keys in groups:
            for number, key in enumerate(keys):
                signer = Signer(role, key.name or str(role), gates=group == "owner")
                found.setdefault(f"{group}-{number}", signer)
        object.__setattr__(self, "_signers", found)

    def __bool__(self) -> bool:
        return bool(self._signers)

    def allowed_signers(self) -> str:
        """The list in ssh-keygen's form: a principal of ours, the namespace git, the key.

        One key stands once, under the first principal that it has.
        """
        lines: dict[str, str] = {}
        for group, keys in (("owner", self.owner), ("device", self.devices), ("cloud", self.cloud)):
            for number, key in enumerate(keys):
                lines.setdefault(key.line, f"{group}-{number}")
        return "".join(f'{who} namespaces="git" {line}\n' for line, who in lines.items())

    def signer_of(self, key: Key) -> Signer:
        """Whose key this is."""
        groups = (("owner", self.owner), ("device", self.devices), ("cloud", self.cloud))
        for group, keys in groups:
            for number, known in enumerate(keys):
                if known.line == key.line:
                    return self._signers[f"{group}-{number}"]
        return STRANGER

    def signer(self, principal: str) -> Signer:
        """Whose principal this is; a stranger's where it is not in the list."""
        return self._signers.get(principal, STRANGER)


_AT_ONCE = 200
"""Commits that one git process looks at: each signature takes two processes of ssh-keygen."""

Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs git with these arguments (after `git`); exit code and standard output."""


def signers_of(commits: Sequence[str], trust: Trust, run: Run) -> dict[str, Signer]:
    """Ask git who signed each commit.

    Args:
        commits: ids, 40 hex.
        run: must set `gpg.ssh.allowedSignersFile` to a file with `trust.allowed_signers()`,
            and `VERIFY_OPTIONS`.
    """
    if not trust:
        return dict.fromkeys(commits, STRANGER)
    found = dict.fromkeys(commits, STRANGER)
    for start in range(0, len(commits), _AT_ONCE):
        some = commits[start : start + _AT_ONCE]
        said = _said(some, run)
        good = [oid for oid in some if said.get(oid, ("", ""))[0] == "G"]
        found.update((oid, trust.signer(said[oid][1])) for oid in _verified(good, run))
    return found


def _said(commits: Sequence[str], run: Run) -> dict[str, tuple[str, str]]:
    """Each commit's verdict and principal.

    Git gives up at a signature in a form that it has never heard of, so such a commit is
    looked for by halves: it must not make strangers of those beside it.
    """
    code, out = run(["log", "--no-walk=unsorted", "--format=%H %G? %GS", *commits])
    if code == 0:
        return dict(_verdicts(out.splitlines()))
    middle = len(commits) // 2
    return {**_said(commits[:middle], run), **_said(commits[middle:], run)} if middle else {}


def _verdicts(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    for line in lines:
        oid, _, rest = line.partition(" ")
        verdict, _, principal = rest.partition(" ")
        yield oid, (verdict, principal.strip())


def _verified(commits: Sequence[str], run: Run) -> Iterable[str]:
    """Those for which git's exit code says yes; together first, one by one when one fails."""
    if not commits or run(["verify-commit", *commits])[0] == 0:
        return commits
    return [oid for oid in commits if run(["verify-commit", oid])[0] == 0]

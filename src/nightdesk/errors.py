"""Every error a person can see: what happened, where, what to do next, and the exit code.

A class a kind. A lost race is not an error (it is a normal return value).
"""

from __future__ import annotations


def _printable(text: str) -> str:
    # A file name that is not UTF-8 comes with half characters; no log or terminal takes them.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class NightdeskError(Exception):
    """Something went wrong that a person should read.

    Args:
        what: what happened, one sentence without a final full stop.
        remedy: what to do next, one sentence; may be empty when nothing is to be done.
        where: the file, account or server that it happened to.
    """

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "", where: str = "") -> None:
        what, remedy, where = _printable(what), _printable(remedy), _printable(where)
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.where = where

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.remedy}" if self.remedy else text


class UsageError(NightdeskError):
    """The command was called with words that do not fit."""

    exit_code = 2


class ConfigError(NightdeskError):
    """The configuration, a credential or a skill is missing or wrong."""

    exit_code = 3


class PolicyDenied(NightdeskError):
    """The policy forbids it; trying again changes nothing."""

    exit_code = 4


class AuditBroken(NightdeskError):
    """The log or the journal is not what was written; executing goes on."""

    exit_code = 5


class NoteError(NightdeskError):
    """A note cannot be read as what it should be; it stays where it is.

    Args:
        line: line number in the file, counted from 1; 0 when no one line is at fault.
    """

    def __init__(self, what: str, *, remedy: str = "", where: str = "", line: int = 0) -> None:
        super().__init__(what, remedy=remedy, where=where)
        self.line = line

    def __str__(self) -> str:
        place = f"{self.where}, line {self.line}" if self.line else self.where
        text = f"{place}: {self.what}" if place else self.what
        return f"{text}. {self.remedy}" if self.remedy else text


class ClaimLost(NightdeskError):
    """The task is no longer this agent's: work on it stops, and nothing is written for it."""


class Transient(NightdeskError):
    """It may work later; the daemon tries again by itself."""


class HubUnreachable(Transient):
    """The hub did not answer. Work goes on; sync catches up later."""


class HubRefused(NightdeskError):
    """The hub answered and said no (hook, quota, key). The same push is not sent again."""


class SyncHalted(NightdeskError):
    """Sync stopped because a person must look (rewritten hub, mass deletion, broken objects)."""


class VaultUnavailable(NightdeskError):
    """The vault's folder is missing, empty, unmounted or read-only."""


class NotSent(NightdeskError):
    """Certain: nothing has left. The card goes back to the person with this reason."""


class OutcomeUnknown(NightdeskError):
    """Nobody can know from here whether it left. It is never tried again blindly."""


class ModelUnavailable(Transient):
    """The model provider did not answer usefully (down, over budget, wrong key)."""

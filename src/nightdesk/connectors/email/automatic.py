"""Mails that no person wrote: why no reply should be drafted to them (RFC 3834)."""

from __future__ import annotations

import re
from email.message import Message

from nightdesk.connectors.email.headers import first, raw

_NO_REPLY = re.compile(
    r"(?:.*[._+-])?(?:no|not|do[._-]?not)[._-]?(?:reply|respond|answer)(?:[._+-].*|\d*)?"
)
_DAEMONS = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "bounce", "bounces", "root"})
_SUPPRESS = frozenset({"all", "oof", "autoreply"})
_LISTS = ("List-Id", "List-Unsubscribe", "List-Post", "List-Help")


def why_automatic(message: Message, sender: str, answer_to: str) -> str:
    """Say why nobody waits for an answer, or "" where somebody may.

    Args:
        message: the parsed mail.
        sender: the address in From; "" where there is none.
        answer_to: the address that an answer would go to.
    """
    why = ""
    if any(value.replace(" ", "") == "<>" for value in raw(message, "Return-Path")):
        why = "a bounce or notification (its return path is empty)"
    elif message.get_content_type() == "multipart/report":
        why = "a delivery or read report"
    elif not answer_to:
        why = "without a sender's address"
    elif by_header := _by_header(message):
        why = by_header
    elif sender.partition("@")[0].lower() in _DAEMONS:
        why = f"from a mail system ({sender})"
    elif _NO_REPLY.fullmatch(answer_to.partition("@")[0].lower()):
        why = f"from an address that takes no replies ({answer_to})"
    return why


def _by_header(message: Message) -> str:
    auto = first(message, "Auto-Submitted").partition(";")[0].strip().lower()
    if auto and auto != "no":
        return f"an automatic message (Auto-Submitted: {auto[:40]})"
    for name in _LISTS:
        if first(message, name):
            return f"sent to a list ({name})"
    precedence = first(message, "Precedence").lower()
    if precedence in {"bulk", "list", "junk"}:
        return f"a bulk mail (Precedence: {precedence})"
    suppressed = {
        word.strip().lower() for word in first(message, "X-Auto-Response-Suppress").split(",")
    }
    if suppressed & _SUPPRESS:
        return "a message that asks for no automatic answer (X-Auto-Response-Suppress)"
    for name in ("X-Autoreply", "X-Autorespond", "X-Autoresponder"):
        if first(message, name).lower() not in {"", "no"}:
            return f"an automatic reply ({name})"
    return ""

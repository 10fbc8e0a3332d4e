"""Whom a card goes to: strangers, answers that are led elsewhere, addresses in the text.

Typing a domain makes a person look at it. Where the domain says nothing (anybody can have an
address at gmail.com), the whole address is typed.
"""

from __future__ import annotations

import re
from email.utils import parseaddr

from nightdesk.local_agent.checks.case import Case, Risk, domain_of, listed, shown

_PUBLIC = (
    "aol.com duck.com email.com fastmail.com free.fr gmail.com gmx.at gmx.ch gmx.com gmx.de "
    "gmx.net googlemail.com hotmail.com hushmail.com icloud.com inbox.com laposte.net libero.it "
    "live.com mac.com mail.com mail.ru mailbox.org me.com msn.com orange.fr outlook.com "
    "outlook.de pm.me posteo.de proton.me protonmail.com qq.com t-online.de tuta.com "
    "tutanota.com web.de yahoo.co.uk yahoo.com yahoo.de yandex.com yandex.ru ymail.com "
    "163.com"
)
PUBLIC_DOMAINS = frozenset(_PUBLIC.split())
"""Where anybody gets an address, so that a familiar domain proves nothing."""

_ADDRESS = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}")


def new_recipient(case: Case) -> list[Risk]:
    """Recipients who have no part in the message that is answered."""
    risks = []
    if case.task is None and case.recipients:
        risks.append(
            Risk(
                "Recipients not checked: this card answers no message in the vault. "
                "Look at each address.",
                "recipients not checked",
            )
        )
    familiar = case.known.domains | {domain_of(address) for address in case.thread}
    wanted = case.original.casefold() if case.task and not case.thread else ""
    for address in dict.fromkeys(case.recipients):
        known = address.casefold()
        if known in case.thread or known in case.known.own:
            continue
        domain = domain_of(address)
        if known in case.known.handbook.people:
            line, token = "is in your handbook, but has no part in this message.", ""
        elif known in case.known.written:
            line, token = "has no part in this message; you have written there before.", ""
        elif re.search(rf"(?<![\w.+%-]){re.escape(known)}(?![\w-])", wanted):
            line, token = "stands in the request itself. Is it the one that you mean?", ""
        elif domain in familiar and domain not in PUBLIC_DOMAINS:
            line, token = "is new; others at its domain are known.", ""
        else:
            line, token = "has no part in the message that this answers.", domain
            if domain in PUBLIC_DOMAINS or domain in familiar:
                token = known if known.isascii() else domain
        risks.append(Risk(f"New recipient: {shown(address)} {line}", "new recipient", token))
    return risks


def answers_elsewhere(case: Case) -> list[Risk]:
    """A mail that asks for its answers to go to somebody other than its sender."""
    if case.task is None:
        return []
    sender = parseaddr(case.task.sender)[1].casefold()
    reply = parseaddr(case.task.reply_to)[1].casefold()
    if not sender or not reply or sender == reply:
        return []
    goes_there = reply in {address.casefold() for address in case.recipients}
    line = f"Answers led elsewhere: the mail came from {shown(sender)}, but asks for answers to "
    line += f"{shown(reply)}" + (", where this goes." if goes_there else ".")
    domain, home = domain_of(reply), domain_of(sender)
    related = domain == home or domain.endswith(f".{home}") or home.endswith(f".{domain}")
    token = ""
    if goes_there and not related and reply not in case.known.trusted:
        token = reply if domain in PUBLIC_DOMAINS and reply.isascii() else domain
    return [Risk(line, "answers led elsewhere", token)]


def strange_address(case: Case) -> list[Risk]:
    """An address in the text of the draft, which its reader may write to."""
    known = case.known.trusted | case.thread | {a.casefold() for a in case.recipients}
    rules = case.known.handbook.text.casefold()
    named = {a.casefold(): a for a in _ADDRESS.findall(case.said)}
    found = [a for plain, a in named.items() if plain not in known and plain not in rules]
    if not found:
        return []
    return [
        Risk(
            f"Address in the text: {listed(map(shown, found))}, which is nobody's in this message.",
            "address in the text",
        )
    ]

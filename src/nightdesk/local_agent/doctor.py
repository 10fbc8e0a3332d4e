"""`agent-local doctor`: the shared checks, and those of the laptop alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from nightdesk.config import credential
from nightdesk.connectors.email.sent import SentMaildir
from nightdesk.connectors.email.smtp import SmtpServer, check_login
from nightdesk.errors import NightdeskError
from nightdesk.local_agent import log_check
from nightdesk.local_agent.handbook import read_handbook
from nightdesk.local_agent.journal import Journal
from nightdesk.runtime.command import Desk
from nightdesk.runtime.doctor import shared_checks
from nightdesk.runtime.shown import Check
from nightdesk.sync.evidence import read as read_evidence


def checks(desk: Desk) -> Iterator[Check]:
    """Look at everything, one check after the other."""
    yield from shared_checks(desk)
    yield _mail_server(desk)
    yield _sent_mails(desk)
    yield _journal(desk)
    yield _handbook(desk)
    yield _refused(desk)


def _refused(desk: Desk) -> Check:
    found = read_evidence(desk.state)
    if not found:
        return Check("from the hub", True, "nothing was refused")
    last = found[-1]
    remedy = "`agent-local hub refused` lists it; find out who pushed it"
    return Check("from the hub", None, f"{len(found)} refused, last {last.at}: {last.path}", remedy)


def _mail_server(desk: Desk) -> Check:
    email = desk.settings.email
    name = "mail server"
    if not email.smtp:
        return Check(name, None, "none is set", "Set `smtp` in [email] to send what you approve")
    if not email.address:
        return Check(name, False, "no sender", "Set `address` in [email]")
    try:
        server = SmtpServer.parse(
            email.smtp,
            user=email.smtp_user,
            password=credential("smtp_password") or "",
            timeout=min(10.0, email.smtp_timeout_seconds),
        )
        check_login(server)
    except NightdeskError as e:
        return Check(name, False, str(e.what), e.remedy)
    return Check(name, True, f"{email.smtp} takes mail from {email.address}")


def _sent_mails(desk: Desk) -> Check:
    name, place = "sent mails", desk.settings.email.sent_maildir
    if not place:
        remedy = "Set `sent_maildir` in [email]; without it you are asked when a send is in doubt"
        return Check(name, None, "no place to look is set", remedy)
    try:
        sight = SentMaildir(place).find("<nothing@nightdesk.invalid>")
    except NightdeskError as e:
        return Check(name, False, e.what, e.remedy)
    return Check(name, True, f"{sight.looked} in {place}")


def _handbook(desk: Desk) -> Check:
    book = read_handbook(desk.vault)
    if book.faults:
        return Check("handbook", False, str(book.faults[0].what), book.faults[0].remedy)
    limits = book.limits
    said = f"{limits.sends_a_day} sends a day; amounts above {limits.confirm_above} are typed"
    return Check("handbook", True, said)


def _journal(desk: Desk) -> Check:
    try:
        with Journal(desk.state / "journal.sqlite") as journal:
            report = log_check.verify(desk.vault, journal, datetime.now(UTC))
    except NightdeskError as e:
        return Check("journal and log", False, e.what, e.remedy)
    if report.faults:
        first = report.faults[0]
        place = f"{first.path}, line {first.line}" if first.line else first.path
        detail = f"{len(report.faults)} faults in the log, the first: {place}: {first.what}"
        return Check("journal and log", False, detail, "`agent-local log verify` lists them")
    detail = f"{report.events} events, {report.entries} entries in Logs/, unbroken"
    return Check("journal and log", True, detail)

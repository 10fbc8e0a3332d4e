"""Every row of the specification, and what breaks when the code that it rests on is broken.

`tests/test_requirements.py` checks both ways: a proven row needs a test that names it, an open
row may have none yet but must say which part of the work it waits for, and a test may name
only rows that stand here.

`broken`: what was broken once, by hand, to see a test of this row turn red, and which did.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of the specification.

    Attributes:
        text: what it asks for, short.
        waits_for: for an open row, what is still to be built; "" where it is proven.
        broken: for a proven row, the break that turned a test red, and the test.
    """

    text: str
    waits_for: str = ""
    broken: str = ""


SIGNED = "signatures and the gate"
RACE = "the long race of many agents, judged from outside"
MAIL = "real mailboxes (IMAP, Gmail)"
HEALTH = "supervisor, health, alerts, deployment"
ODOO = "Odoo"
SOCIAL = "social networks"
PRIVATE = "WhatsApp, browser and payments"
ONCE = "the executor's full form (probes, freshness, typed confirmation)"

ROWS: dict[str, Row] = {
    # User stories: acceptance scenarios (USn.m) and independent tests (USn.test)
    "US1.test": Row("laptop off, mail arrives, draft waits when it comes on"),
    "US1.1": Row("local offline, mail arrives: cloud drafts and creates an approval file"),
    "US1.2": Row("local comes online: the person sees the pending approval"),
    "US1.3": Row("a finished draft is reported in Updates/, not in Dashboard.md"),
    "US2.test": Row("approve a mail on the laptop; the laptop's agent sends it through MCP"),
    "US2.1": Row("an approved file is executed through MCP"),
    "US2.2": Row("after execution Dashboard.md is updated, by Local alone"),
    "US2.3": Row("the cloud's attempt to execute is blocked"),
    "US3.test": Row("both agents on, one file in Needs_Action/, one claims it"),
    "US3.1": Row("the cloud's claim moves the file to In_Progress/cloud/"),
    "US3.2": Row("Local ignores what the cloud claimed"),
    "US3.3": Row("the cloud ignores what Local claimed"),
    "US4.test": Row(".env and sessions stay out of sync, Markdown syncs"),
    "US4.1": Row("a file of the cloud's appears in the local vault"),
    "US4.2": Row(".env is not uploaded"),
    "US4.3": Row("WhatsApp session files are not uploaded"),
    "US5.test": Row("cloud drafts mail and posts only; Local has WhatsApp and payments", PRIVATE),
    "US5.1": Row("mail arrives: the cloud drafts, it does not send"),
    "US5.2": Row("a WhatsApp task: only Local may process it"),
    "US5.3": Row("an approved payment: only Local executes", PRIVATE),
    "US6.test": Row("cloud drafts an invoice in Odoo, the person approves, Local posts", ODOO),
    "US6.1": Row("an invoice request becomes a draft invoice", ODOO),
    "US6.2": Row("an approved draft invoice is posted by Local", ODOO),
    "US6.3": Row("the cloud cannot execute a payment", ODOO),
    "US7.test": Row("a killed watcher is back within 60 s", HEALTH),
    "US7.1": Row("a crashed watcher is restarted", HEALTH),
    "US7.2": Row("a crashed orchestrator is restarted by systemd", HEALTH),
    "US7.3": Row("after the last failed retry the user is alerted", HEALTH),
    # Edge cases
    "EDGE.1": Row("sync conflict: the last write wins, the other is kept as a conflict file"),
    "EDGE.2": Row("both claim at once: the first mover wins, the second backs off"),
    "EDGE.3": Row("cloud unreachable for long: Local goes on, sync catches up later"),
    # Functional requirements
    "FR-001": Row("the cloud agent runs around the clock on a VM", HEALTH),
    "FR-002": Row("the cloud agent only drafts"),
    "FR-003": Row("Local owns the execution of sensitive actions"),
    "FR-004": Row("Local alone writes Dashboard.md"),
    "FR-005": Row("the cloud writes its updates to Updates/"),
    "FR-006": Row("claim-by-move: who moves it to In_Progress/<agent>/ first owns it"),
    "FR-007": Row("sync excludes .env, tokens, sessions, banking credentials"),
    "FR-008": Row("the vault syncs through Git"),
    "FR-009": Row("the cloud stores and reads no WhatsApp session", PRIVATE),
    "FR-010": Row("the cloud stores and reads no banking credential", PRIVATE),
    "FR-011": Row("the cloud's Odoo work is draft-only", ODOO),
    "FR-012": Row("Local approves and executes Odoo posting", ODOO),
    "FR-013": Row("crashed components are restarted within 60 s", HEALTH),
    "FR-014": Row("after 3 failed restarts the user is alerted", HEALTH),
    "FR-015": Row("all of the cloud's connections are encrypted", SIGNED),
    "FR-016": Row("backups of the cloud's Odoo data", HEALTH),
    "FR-017": Row("all AI functionality is Agent Skills"),
    # Success criteria
    "SC-001": Row("99 % uptime over 30 days", HEALTH),
    "SC-002": Row("mail drafts within 5 minutes of arrival"),
    "SC-003": Row("no sensitive action executed by the cloud", SIGNED),
    "SC-004": Row("no credential file synced to the cloud"),
    "SC-005": Row("claim conflicts resolved correctly in every case", RACE),
    "SC-006": Row("crashed components restart within 60 s", HEALTH),
    "SC-007": Row("sync completes within 5 minutes of a change"),
    "SC-008": Row("approval to execution within 30 s"),
    # Skills
    "SKILL.cloud-draft-email": Row("drafts replies without sending"),
    "SKILL.cloud-draft-social": Row("drafts posts without posting", SOCIAL),
    "SKILL.cloud-odoo-draft": Row("creates draft invoices and entries", ODOO),
    "SKILL.cloud-write-update": Row("writes a status update after draft work"),
    "SKILL.cloud-health-check": Row("monitors components every 60 s", HEALTH),
    "SKILL.local-execute-approved": Row("executes approved actions through MCP"),
    "SKILL.local-merge-updates": Row("merges Updates/ into Dashboard.md"),
    "SKILL.local-whatsapp": Row("monitors and answers WhatsApp", PRIVATE),
    "SKILL.local-payments": Row("executes approved payments", PRIVATE),
    "SKILL.claim-task": Row("moves a task to In_Progress/<agent>/"),
    "SKILL.check-claimed": Row("checks that nobody else has claimed a task"),
    "SKILL.sync-vault": Row("triggers vault synchronisation"),
    # MCP servers
    "MCP.cloud.email": Row("draft_email, search_emails; no send"),
    "MCP.cloud.social": Row("draft_post; no publish", SOCIAL),
    "MCP.cloud.odoo": Row("get_data, create_draft; no post", ODOO),
    "MCP.local.email": Row("send_email, draft_email, search_emails"),
    "MCP.local.social": Row("create_post, publish_post", SOCIAL),
    "MCP.local.odoo": Row("get_data, create_draft, post_invoice, record_payment", ODOO),
    "MCP.local.whatsapp": Row("get_messages, send_message", PRIVATE),
    "MCP.local.browser": Row("navigate, click, fill", PRIVATE),
    # Deployment and sync
    "DEPLOY.vm": Row("Ubuntu 22.04, 2 vCPU, 4 GB, on Oracle, AWS, Azure or GCP", HEALTH),
    "DEPLOY.https": Row("HTTPS by Let's Encrypt", HEALTH),
    "DEPLOY.systemd": Row("systemd manages the processes", HEALTH),
    "DEPLOY.backups": Row("daily automated backups", HEALTH),
    "SYNC.git": Row("the sync method is Git"),
    "SYNC.gitignore": Row(".gitignore holds .env, *.session, credentials.json, banking/"),
    "SYNC.conflicts": Row("last write wins, with .conflict files"),
}

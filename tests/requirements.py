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


ENCRYPTED = "the connections to Odoo, IMAP and alerts (the hub's are encrypted)"
MAIL = "real mailboxes (IMAP, Gmail)"
HEALTH = "supervisor, health, alerts, deployment"
ODOO = "Odoo"
SOCIAL = "social networks"
PRIVATE = "WhatsApp, browser and payments"

ROWS: dict[str, Row] = {
    # User stories: acceptance scenarios (USn.m) and independent tests (USn.test)
    "US1.test": Row(
        "laptop off, mail arrives, draft waits when it comes on",
        broken="the cloud's `_work` drafts nothing -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "US1.1": Row(
        "local offline, mail arrives: cloud drafts and creates an approval file",
        broken="the cloud's `_work` drafts nothing -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "US1.2": Row(
        "local comes online: the person sees the pending approval",
        broken="`Reviewer.incoming` refuses every card -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "US1.3": Row(
        "a finished draft is reported in Updates/, not in Dashboard.md",
        broken="`write_update` writes into Plans/ -> test_an_update_is_written_once_and_reads_back",
    ),
    "US2.test": Row(
        "approve a mail on the laptop; the laptop's agent sends it through MCP",
        broken="`_call` confirms without calling the tool -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    "US2.1": Row(
        "an approved file is executed through MCP",
        broken="`_call` confirms without calling the tool -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    "US2.2": Row(
        "after execution Dashboard.md is updated, by Local alone",
        broken="`LocalAgent._show` never writes the dashboard -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    "US2.3": Row(
        "the cloud's attempt to execute is blocked",
        broken="`agent-cloud mcp email` serves the full set -> test_the_clouds_server_offers_no_way_to_send",
    ),
    "US3.test": Row(
        "both agents on, one file in Needs_Action/, one claims it",
        broken="a lost push counts as won in `Claiming.claim` -> test_two_engines_race_for_the_same_tasks_and_each_has_one_owner",
    ),
    "US3.1": Row(
        "the cloud's claim moves the file to In_Progress/cloud/",
        broken="`claim_path` leaves the owner's folder out -> test_processes_racing_on_one_folder_win_each_task_once",
    ),
    "US3.2": Row(
        "Local ignores what the cloud claimed",
        broken="`claimable` offers what somebody has claimed -> test_a_claimed_task_is_ignored_by_the_other_agent",
    ),
    "US3.3": Row(
        "the cloud ignores what Local claimed",
        broken="`claimable` offers what somebody has claimed -> test_a_claimed_task_is_ignored_by_the_other_agent",
    ),
    "US4.test": Row(
        ".env and sessions stay out of sync, Markdown syncs",
        broken="the credentials.json pattern is missing in `sync.exclude` -> test_credentials_and_sessions_never_leave",
    ),
    "US4.1": Row(
        "a file of the cloud's appears in the local vault",
        broken="`_publish` pushes to another branch -> test_markdown_goes_both_ways",
    ),
    "US4.2": Row(
        ".env is not uploaded",
        broken="dot-files are scanned and `excluded` lets .env pass -> test_credentials_and_sessions_never_leave",
    ),
    "US4.3": Row(
        "WhatsApp session files are not uploaded",
        broken="the session pattern is missing in `sync.exclude` -> test_credentials_and_sessions_never_leave",
    ),
    "US5.test": Row("cloud drafts mail and posts only; Local has WhatsApp and payments", PRIVATE),
    "US5.1": Row(
        "mail arrives: the cloud drafts, it does not send",
        broken="the cloud puts its draft into Approved/ -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "US5.2": Row(
        "a WhatsApp task: only Local may process it",
        broken="the table lets the cloud claim whatsapp -> test_who_works_in_which_zone",
    ),
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
    "EDGE.1": Row(
        "sync conflict: the last write wins, the other is kept as a conflict file",
        broken="`merge` keeps no copy of the loser -> test_a_conflict_keeps_both_versions_and_the_later_one_wins",
    ),
    "EDGE.2": Row(
        "both claim at once: the first mover wins, the second backs off",
        broken="a lost push counts as won in `Claiming.claim` -> test_two_engines_race_for_the_same_tasks_and_each_has_one_owner",
    ),
    "EDGE.3": Row(
        "cloud unreachable for long: Local goes on, sync catches up later",
        broken="an unreachable hub is an exception of the cycle -> test_offline_for_long_then_catching_up",
    ),
    # Functional requirements
    "FR-001": Row("the cloud agent runs around the clock on a VM", HEALTH),
    "FR-002": Row(
        "the cloud agent only drafts",
        broken="`agent-cloud mcp email` serves the full set -> test_the_clouds_server_offers_no_way_to_send",
    ),
    "FR-003": Row(
        "Local owns the execution of sensitive actions",
        broken="`_call` confirms without calling the tool -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    "FR-004": Row(
        "Local alone writes Dashboard.md",
        broken="the cloud writes Dashboard.md -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "FR-005": Row(
        "the cloud writes its updates to Updates/",
        broken="`write_update` writes into Plans/ -> test_an_update_is_written_once_and_reads_back",
    ),
    "FR-006": Row(
        "claim-by-move: who moves it to In_Progress/<agent>/ first owns it",
        broken="`claim_path` leaves the owner's folder out -> test_processes_racing_on_one_folder_win_each_task_once",
    ),
    "FR-007": Row(
        "sync excludes .env, tokens, sessions, banking credentials",
        broken="the session pattern is missing in `sync.exclude` -> test_credentials_and_sessions_never_leave",
    ),
    "FR-008": Row(
        "the vault syncs through Git",
        broken="`_publish` pushes to another branch -> test_markdown_goes_both_ways",
    ),
    "FR-009": Row("the cloud stores and reads no WhatsApp session", PRIVATE),
    "FR-010": Row("the cloud stores and reads no banking credential", PRIVATE),
    "FR-011": Row("the cloud's Odoo work is draft-only", ODOO),
    "FR-012": Row("Local approves and executes Odoo posting", ODOO),
    "FR-013": Row("crashed components are restarted within 60 s", HEALTH),
    "FR-014": Row("after 3 failed restarts the user is alerted", HEALTH),
    "FR-015": Row("all of the cloud's connections are encrypted", ENCRYPTED),
    "FR-016": Row("backups of the cloud's Odoo data", HEALTH),
    "FR-017": Row(
        "all AI functionality is Agent Skills",
        broken="the registry accepts a skill without a handler -> test_a_skill_without_handler_stops_the_start",
    ),
    # Success criteria
    "SC-001": Row("99 % uptime over 30 days", HEALTH),
    "SC-002": Row(
        "mail drafts within 5 minutes of arrival",
        broken="the cloud's `_work` drafts nothing -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "SC-003": Row(
        "no sensitive action executed by the cloud",
        broken="`policy.CLOUD_MAY_WRITE` lets the cloud create in Approved/ -> test_what_the_cloud_may_not_do_is_refused",
    ),
    "SC-004": Row(
        "no credential file synced to the cloud",
        broken="the credentials.json pattern is missing in `sync.exclude` -> test_credentials_and_sessions_never_leave",
    ),
    "SC-005": Row(
        "claim conflicts resolved correctly in every case",
        broken="a lost push counts as won in `Claiming.claim` -> test_three_agents_race_through_kills_and_cuts",
    ),
    "SC-006": Row("crashed components restart within 60 s", HEALTH),
    "SC-007": Row(
        "sync completes within 5 minutes of a change",
        broken="`sync_vault` runs no cycle -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    "SC-008": Row(
        "approval to execution within 30 s",
        broken="the hold lasts a minute longer -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    # Skills
    "SKILL.cloud-draft-email": Row(
        "drafts replies without sending",
        broken="`draft_reply` drops In-Reply-To -> test_a_reply_is_threaded_and_goes_to_the_sender_and_all_but_oneself",
    ),
    "SKILL.cloud-draft-social": Row("drafts posts without posting", SOCIAL),
    "SKILL.cloud-odoo-draft": Row("creates draft invoices and entries", ODOO),
    "SKILL.cloud-write-update": Row(
        "writes a status update after draft work",
        broken="the handler `write_update` writes nothing -> test_mail_is_drafted_while_the_laptop_is_off",
    ),
    "SKILL.cloud-health-check": Row("monitors components every 60 s", HEALTH),
    "SKILL.local-execute-approved": Row(
        "executes approved actions through MCP",
        broken="the handler `execute_approved` runs no pass -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    "SKILL.local-merge-updates": Row(
        "merges Updates/ into Dashboard.md",
        broken="`UpdateLog.merge` removes nothing -> test_merging_keeps_the_news_and_empties_the_folder",
    ),
    "SKILL.local-whatsapp": Row("monitors and answers WhatsApp", PRIVATE),
    "SKILL.local-payments": Row("executes approved payments", PRIVATE),
    "SKILL.claim-task": Row(
        "moves a task to In_Progress/<agent>/",
        broken="`claim_path` leaves the owner's folder out -> test_processes_racing_on_one_folder_win_each_task_once",
    ),
    "SKILL.check-claimed": Row(
        "checks that nobody else has claimed a task",
        broken="`claimable` offers what somebody has claimed -> test_a_claimed_task_is_ignored_by_the_other_agent",
    ),
    "SKILL.sync-vault": Row(
        "triggers vault synchronisation",
        broken="`sync_vault` runs no cycle -> test_an_approved_mail_is_sent_once_and_filed",
    ),
    # MCP servers
    "MCP.cloud.email": Row(
        "draft_email, search_emails; no send",
        broken="`agent-cloud mcp email` serves the full set -> test_the_clouds_server_offers_no_way_to_send",
    ),
    "MCP.cloud.social": Row("draft_post; no publish", SOCIAL),
    "MCP.cloud.odoo": Row("get_data, create_draft; no post", ODOO),
    "MCP.local.email": Row(
        "send_email, draft_email, search_emails",
        broken="`Receipts.verify` and `redeem` accept anything -> test_the_laptops_server_sends_nothing_without_a_receipt",
    ),
    "MCP.local.social": Row("create_post, publish_post", SOCIAL),
    "MCP.local.odoo": Row("get_data, create_draft, post_invoice, record_payment", ODOO),
    "MCP.local.whatsapp": Row("get_messages, send_message", PRIVATE),
    "MCP.local.browser": Row("navigate, click, fill", PRIVATE),
    # Deployment and sync
    "DEPLOY.vm": Row("Ubuntu 22.04, 2 vCPU, 4 GB, on Oracle, AWS, Azure or GCP", HEALTH),
    "DEPLOY.https": Row("HTTPS by Let's Encrypt", HEALTH),
    "DEPLOY.systemd": Row("systemd manages the processes", HEALTH),
    "DEPLOY.backups": Row("daily automated backups", HEALTH),
    "SYNC.git": Row(
        "the sync method is Git",
        broken="`_publish` pushes to another branch -> test_markdown_goes_both_ways",
    ),
    "SYNC.gitignore": Row(
        ".gitignore holds .env, *.session, credentials.json, banking/",
        broken="the template's .gitignore lacks *.session -> test_gitignore_holds_back_what_must_not_sync",
    ),
    "SYNC.conflicts": Row(
        "last write wins, with .conflict files",
        broken="`merge` keeps no copy of the loser -> test_a_conflict_keeps_both_versions_and_the_later_one_wins",
    ),
}

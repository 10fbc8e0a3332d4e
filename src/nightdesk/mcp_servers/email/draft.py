"""The e-mail server's draft set: search the mailbox, propose a mail. It cannot send."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from importlib.metadata import version

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightdesk.connectors.email.maildir import MAX_PAGE, MaildirMailbox
from nightdesk.connectors.email.search import SYNTAX
from nightdesk.errors import NightdeskError, VaultUnavailable
from nightdesk.mcp_servers.email.context import EmailContext
from nightdesk.mcp_servers.stdio import nothing_done
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, read_card, stamp
from nightdesk.vault.files import create
from nightdesk.vault.layout import MAX_NOTE_BYTES, Folder, card_id, task_id, zone_path

INSTRUCTIONS = (
    "Drafts wait in the vault's Pending_Approval/ for the person; only what the person moves to "
    "Approved/ is ever sent, by the laptop."
)


class Draft(BaseModel):
    """A proposal card that was written."""

    id: str
    path: str
    status: str


class FoundMail(BaseModel):
    """One hit of a search; `received` in ISO 8601, UTC."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    message_id: str
    sender: str = Field(alias="from")
    subject: str
    received: str
    snippet: str


class FoundMails(BaseModel):
    """A page of hits, newest first."""

    total: int
    mails: list[FoundMail]
    next_offset: int | None


def make_server(context: EmailContext) -> MCPServer:
    """Make the server with `draft_email` and `search_emails`."""
    server = MCPServer(
        "nightdesk-email",
        version=version("nightdesk"),
        instructions=INSTRUCTIONS,
        log_level="WARNING",
    )
    add_draft_tools(server, context)
    return server


def add_draft_tools(server: MCPServer, context: EmailContext) -> None:
    """Give a server the two tools that change nothing outside the vault."""
    mailbox = MaildirMailbox(context.maildir) if context.maildir else None

    @server.tool(
        title="Propose an e-mail",
        structured_output=True,
        annotations=ToolAnnotations(
            read_only_hint=False,
            destructive_hint=False,
            idempotent_hint=False,
            open_world_hint=False,
        ),
    )
    def draft_email(
        to: list[str],
        subject: str,
        body: str,
        cc: list[str] = [],  # noqa: B006 - read only; the schema shows the default
        in_reply_to: str = "",
        references: list[str] = [],  # noqa: B006
    ) -> Draft:
        """Write an approval card for an e-mail into the vault. This sends nothing: the card
        waits in Pending_Approval/email/ until the person moves it to Approved/.

        in_reply_to and references are message ids with their brackets, from search_emails.
        """
        try:
            action = EmailSend(
                to=to, cc=cc, subject=subject, body=body, in_reply_to=in_reply_to,
                references=references,
            )  # fmt: skip
            return _write_card(context, action)
        except ValidationError as e:
            fault = e.errors(include_url=False)[0]
            key = ".".join(str(part) for part in fault["loc"])
            raise nothing_done(f"{key}: {fault['msg']}") from e
        except NightdeskError as e:
            raise nothing_done(e) from e
        except OSError as e:
            raise nothing_done(f"the card could not be written ({e.strerror})") from e

    @server.tool(
        title="Search the mailbox",
        structured_output=True,
        description=f"Search the mailbox. Query syntax: {SYNTAX}. An empty query finds every mail. "
        f"Newest first; limit 1 to {MAX_PAGE}; pass next_offset as offset for the next page.",
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    def search_emails(query: str, limit: int = 20, offset: int = 0) -> FoundMails:
        if mailbox is None:
            raise nothing_done("no mailbox is set. Set `maildir` in [email]")
        try:
            mailbox.check()
            page = mailbox.search(query, limit, offset)
        except NightdeskError as e:
            raise nothing_done(e) from e
        except OSError as e:
            raise nothing_done(f"the mailbox cannot be read ({e.strerror})") from e
        hits = [
            FoundMail(
                id=hit.key,
                message_id=hit.message_id,
                sender=hit.sender,
                subject=hit.subject,
                received=stamp(hit.received),
                snippet=hit.snippet,
            )
            for hit in page.hits
        ]
        return FoundMails(total=page.total, mails=hits, next_offset=page.next_offset)


def _write_card(context: EmailContext, action: EmailSend) -> Draft:
    if not context.vault.is_dir():
        raise VaultUnavailable(
            "the vault is not there", remedy="Mount it or run init", where=str(context.vault)
        )
    now = datetime.now(UTC)
    # A draft on its own account: the task that its card names exists only in its name.
    task = task_id(now, action.subject or f"mail to {action.to[0]}", secrets.token_hex(16))
    card = Card(
        id=card_id(task, action.NAME, 1),
        task=task,
        zone=Zone.EMAIL,
        created_by=context.agent,
        created=now,
        action=action,
    )
    path = zone_path(Folder.PENDING, Zone.EMAIL, card.id)
    data = card.note()
    if len(data) > MAX_NOTE_BYTES:
        raise nothing_done(f"the mail is too long for a card ({MAX_NOTE_BYTES // 1024} KiB)")
    if read_card(data, path).action != action:
        raise nothing_done("the text holds a line that marks the end of a draft. Leave it out")
    create(context.vault / path, data)
    return Draft(
        id=card.id,
        path=path,
        status="waits for the person's approval; nothing was sent",
    )

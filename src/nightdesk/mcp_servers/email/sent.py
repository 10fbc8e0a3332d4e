"""`find_sent`: the laptop's look whether a mail went out. It reads, and does nothing else."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from nightdesk.connectors.email.sent import SentMaildir
from nightdesk.errors import NightdeskError
from nightdesk.mcp_servers.email.context import EmailContext
from nightdesk.mcp_servers.stdio import nothing_done


class SentReport(BaseModel):
    """What a look among the sent mails saw; `found` false proves nothing by itself."""

    found: bool
    where: str
    looked: str


def add_sent_tool(server: MCPServer, context: EmailContext) -> None:
    """Give a server the tool that looks for a sent mail."""
    sent = SentMaildir(context.sent_maildir) if context.sent_maildir else None

    @server.tool(
        title="Look for a sent mail",
        structured_output=True,
        annotations=ToolAnnotations(
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )
    def find_sent(message_id: str) -> SentReport:
        """Look whether a mail with this Message-ID (with its brackets) is among the sent mails.
        Changes nothing and sends nothing; a mail that was sent may take a while to appear.
        """
        if sent is None:
            raise nothing_done("no place of sent mails is set. Set `sent_maildir` in [email]")
        try:
            sight = sent.find(message_id)
        except NightdeskError as e:
            raise nothing_done(e) from e
        return SentReport(
            found=sight.found,
            where=f"the sent mails in {sight.where}",
            looked=f"{sight.looked} mails there",
        )

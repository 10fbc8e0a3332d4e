"""The e-mail server's full set, for the laptop: the draft set, `find_sent` and `send_email`.

`send_email` refuses without a receipt of the executor, uses each receipt once, and tells of
every recipient what became of the mail.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from nightdesk.connectors.email.outgoing import (
    Outgoing,
    OutgoingAttachment,
    build,
    message_id_for,
    serialise,
)
from nightdesk.connectors.email.smtp import Refused, SmtpServer, SubmissionUnknown, submit
from nightdesk.errors import ConfigError, NightdeskError, NotSent
from nightdesk.mcp_servers.email import draft
from nightdesk.mcp_servers.email.context import EmailContext
from nightdesk.mcp_servers.email.sent import add_sent_tool
from nightdesk.mcp_servers.receipts import Receipts, arguments_digest
from nightdesk.mcp_servers.stdio import nothing_done
from nightdesk.vault.attached import Attached, check_total, fetch

_Fate = Literal["accepted", "refused", "unknown"]


class RecipientReport(BaseModel):
    """What became of the mail for one recipient, in the server's own words."""

    outcome: _Fate
    detail: str


class SendReport(BaseModel):
    """What became of a mail.

    `accepted`: the server took it for at least one recipient. `refused`: it said no to all.
    `not_sent`: it was never asked. `unknown`: the connection was lost, nobody can know.
    """

    outcome: Literal["accepted", "refused", "not_sent", "unknown"]
    message_id: str
    recipients: dict[str, RecipientReport]
    detail: str


def make_server(context: EmailContext) -> MCPServer:
    """Make the server with `draft_email`, `search_emails`, `find_sent` and `send_email`."""
    server = draft.make_server(context)
    add_sent_tool(server, context)
    receipts = Receipts(context.state)

    @server.tool(
        title="Send an approved e-mail",
        structured_output=True,
        annotations=ToolAnnotations(
            read_only_hint=False,
            destructive_hint=True,
            idempotent_hint=False,
            open_world_hint=True,
        ),
    )
    def send_email(
        ctx: Context,
        to: list[str],
        subject: str,
        body: str,
        cc: list[str] = [],  # noqa: B006 - read only; the schema shows the default
        in_reply_to: str = "",
        references: list[str] = [],  # noqa: B006
        attachments: list[Attached] = [],  # noqa: B006
        message_id: str = "",
        receipt: str = "",
    ) -> SendReport:
        """Send an e-mail that the person has approved. Needs a receipt, which only Nightdesk's
        executor makes; without one, use draft_email and let the person decide.

        attachments are files as they were approved: name, sha256 and size in bytes. They are
        sent from the executor's private copies, and only with that hash.
        """
        received = _received(ctx)
        try:
            action_id = receipts.verify(receipt, "send_email", received)
        except NightdeskError as e:
            raise nothing_done(e) from e
        digest = arguments_digest(received)
        own_id = message_id or message_id_for(action_id, digest, context.address.rpartition("@")[2])
        try:
            server_ = _server(context)
            outgoing = Outgoing(
                sender=context.address,
                sender_name=context.name,
                to=tuple(to),
                cc=tuple(cc),
                subject=subject,
                body=body,
                in_reply_to=in_reply_to,
                references=tuple(references),
                message_id=own_id,
                date=datetime.now(UTC),
                attachments=tuple(_attachments(context, attachments)),
            )
            data = serialise(build(outgoing))
        except NightdeskError as e:
            return _report("not_sent", own_id, str(e))
        try:
            receipts.redeem(receipt, "send_email", received)
        except NightdeskError as e:
            raise nothing_done(e) from e
        return _submit(server_, outgoing, data)

    return server


def _received(ctx: Context[Any, Any]) -> dict[str, Any]:
    # The arguments as they came over the wire: what was signed is exactly what is compared.
    params = ctx.request_context.params or {}
    return dict(params.get("arguments") or {})


def _server(context: EmailContext) -> SmtpServer:
    if not context.smtp:
        raise ConfigError("no mail server is set", remedy="Set `smtp` in [email]")
    if not context.address:
        raise ConfigError("no sender is set", remedy="Set `address` in [email]")
    password = context.password() if context.smtp_user else ""
    if context.smtp_user and not password:
        raise ConfigError(
            f"there is no password for {context.smtp_user}",
            remedy="Set the credential `smtp_password`",
        )
    return SmtpServer.parse(
        context.smtp, user=context.smtp_user, password=password, timeout=context.timeout
    )


def _attachments(context: EmailContext, files: list[Attached]) -> Iterable[OutgoingAttachment]:
    check_total(file.size for file in files)
    for file in files:
        yield OutgoingAttachment(file.name, file.media_type, fetch(context.state, file))


def _submit(server: SmtpServer, outgoing: Outgoing, data: bytes) -> SendReport:
    everybody, own_id = outgoing.recipients, outgoing.message_id
    try:
        done = submit(server, outgoing.sender, everybody, data)
    except Refused as e:
        return _report("refused", own_id, str(e), refused=e.refused)
    except NotSent as e:
        return _report("not_sent", own_id, str(e))
    except SubmissionUnknown as e:
        unknown = dict.fromkeys(e.asked, e.what)
        return _report("unknown", own_id, str(e), refused=e.refused, unknown=unknown)
    accepted = dict.fromkeys(done.accepted, done.reply)
    return _report("accepted", own_id, done.reply, accepted=accepted, refused=done.refused)


def _report(
    outcome: Literal["accepted", "refused", "not_sent", "unknown"],
    message_id: str,
    detail: str,
    **fates: dict[str, str],
) -> SendReport:
    recipients: dict[str, RecipientReport] = {}
    for fate in ("accepted", "refused", "unknown"):
        for address, words in fates.get(fate, {}).items():
            recipients[address] = RecipientReport(outcome=fate, detail=words)
    return SendReport(outcome=outcome, message_id=message_id, recipients=recipients, detail=detail)

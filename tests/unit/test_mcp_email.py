"""The e-mail servers as an MCP client meets them: over stdio, in both protocol generations."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiosmtpd.controller import Controller
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from nightdesk.config import parse
from nightdesk.errors import NotSent, OutcomeUnknown
from nightdesk.mcp_servers.client import ServerProcess, ToolRefused
from nightdesk.mcp_servers.email import draft, full
from nightdesk.mcp_servers.email.context import EmailContext, context_for
from nightdesk.mcp_servers.receipts import Receipts
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.attached import attached, keep
from nightdesk.vault.documents import read_card

SERVER = """
import sys
from pathlib import Path
from nightdesk.mcp_servers.email import draft, full
from nightdesk.mcp_servers.email.context import EmailContext
from nightdesk.mcp_servers.stdio import run_stdio
root = Path(sys.argv[2])
context = EmailContext(
    vault=root / "vault", state=root / "state", agent="local", address="me@example.com",
    name="Me", maildir=root / "mail", smtp=sys.argv[3], timeout=float(sys.argv[4]),
)
run_stdio({"draft": draft, "full": full}[sys.argv[1]].make_server(context))
"""
ARGUMENTS: dict[str, Any] = {
    "to": ["ada@example.com"],
    "subject": "Re: Invoice question",
    "body": "Hi Ada,\nGrüße",
    "in_reply_to": "<2@example.com>",
    "references": ["<1@example.com>", "<2@example.com>"],
    "message_id": "<nd.1@example.com>",
}
DRAFT_TOOLS, FULL_TOOLS = ["draft_email", "search_emails"], ["find_sent", "send_email"]


class Inbox:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.answer = "250 queued"
        self.delay = 0.0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append(envelope.original_content)
        await asyncio.sleep(self.delay)
        return self.answer


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def smtp(inbox: Inbox) -> Iterator[str]:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("mail/cur", "mail/new", "mail/tmp", "vault/Attachments", "state"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "mail/new/1.host").write_bytes(
        b"From: Ada <ada@example.com>\r\nSubject: Invoice question\r\n"
        b"Message-ID: <2@example.com>\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
        b"\r\nWhere is it?\r\n"
    )
    return tmp_path


def command(root: Path, kind: str, smtp: str, timeout: float = 5) -> list[str]:
    return [sys.executable, str(root / "server.py"), kind, str(root), smtp, str(timeout)]


@pytest.fixture
def server(root: Path, smtp: str) -> Iterator[ServerProcess]:
    with ServerProcess("email", command(root, "full", smtp), {}) as process:
        yield process


@pytest.fixture
def receipts(root: Path) -> Receipts:
    return Receipts(root / "state")


def approved(receipts: Receipts, arguments: dict[str, Any], **ttl: float) -> dict[str, Any]:
    receipt = receipts.issue("card-1", "send_email", arguments, **ttl)
    return {**arguments, "receipt": receipt}


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "server.py" in str(p.cmdline())]


@pytest.mark.requirement("MCP.local.email")
def test_an_approved_mail_is_sent_once_and_threads(
    server: ServerProcess, receipts: Receipts, inbox: Inbox
) -> None:
    arguments = approved(receipts, ARGUMENTS)
    assert server.call("send_email", arguments, 20) == {
        "outcome": "accepted",
        "message_id": "<nd.1@example.com>",
        "recipients": {"ada@example.com": {"outcome": "accepted", "detail": "250 queued"}},
        "detail": "250 queued",
    }
    with pytest.raises(ToolRefused, match="has been used"):
        server.call("send_email", arguments, 20)
    assert len(inbox.got) == 1
    read = message_from_bytes(inbox.got[0], policy=policy.default)
    assert read["In-Reply-To"] == "<2@example.com>"
    assert read["References"] == "<1@example.com> <2@example.com>"
    assert read["Message-ID"] == "<nd.1@example.com>"
    assert (read["Subject"], read["From"]) == ("Re: Invoice question", "Me <me@example.com>")
    assert read.get_content() == "Hi Ada,\r\nGrüße\r\n"


def test_without_a_right_receipt_nothing_is_sent(
    server: ServerProcess, receipts: Receipts, inbox: Inbox, root: Path
) -> None:
    with pytest.raises(ToolRefused, match=r"needs a receipt.*draft"):
        server.call("send_email", ARGUMENTS, 20)
    other = {**approved(receipts, ARGUMENTS), "to": ["eve@example.com"]}
    with pytest.raises(ToolRefused, match="not those that were approved"):
        server.call("send_email", other, 20)
    more = {**approved(receipts, ARGUMENTS), "cc": ["eve@example.com"]}
    with pytest.raises(ToolRefused, match="not those that were approved"):
        server.call("send_email", more, 20)
    with pytest.raises(ToolRefused, match="expired"):
        server.call("send_email", approved(receipts, ARGUMENTS, ttl_seconds=0), 20)
    foreign = Receipts(root / "elsewhere")
    with pytest.raises(ToolRefused, match="not signed"):
        server.call("send_email", approved(foreign, ARGUMENTS), 20)
    assert inbox.got == []


@pytest.mark.requirement("FR-002", "MCP.cloud.email")
def test_the_draft_set_cannot_send(root: Path, smtp: str, inbox: Inbox) -> None:
    with ServerProcess("email", command(root, "draft", smtp), {}) as process:
        assert sorted(process.tools()) == DRAFT_TOOLS
        receipts = Receipts(root / "state")
        with pytest.raises(ToolRefused, match="Unknown tool"):
            process.call("send_email", approved(receipts, ARGUMENTS), 20)
    assert inbox.got == []


@pytest.mark.requirement("MCP.local.email")
def test_the_full_set_has_what_looks_and_what_sends(server: ServerProcess) -> None:
    assert sorted(server.tools()) == sorted(DRAFT_TOOLS + FULL_TOOLS)


def test_both_generations_of_the_protocol(root: Path, smtp: str, receipts: Receipts) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=command(root, "full", smtp)[1:])

    async def older() -> tuple[str, list[str], Any]:
        async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
            version = (await session.initialize()).protocol_version
            tools = [tool.name for tool in (await session.list_tools()).tools]
            return version, tools, await session.call_tool("send_email", ARGUMENTS)

    async def newer() -> tuple[str, list[str], Any]:
        async with Client(parameters) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool("send_email", approved(receipts, ARGUMENTS))
            return client.protocol_version, tools, result

    version, tools, result = asyncio.run(older())
    assert version == "2025-11-25"
    assert sorted(tools) == sorted(DRAFT_TOOLS + FULL_TOOLS)
    assert result.is_error
    assert "needs a receipt" in result.content[0].text
    version, tools, result = asyncio.run(newer())
    assert version == "2026-07-28"
    assert sorted(tools) == sorted(DRAFT_TOOLS + FULL_TOOLS)
    assert result.structured_content["outcome"] == "accepted"


def test_annotations_are_true(root: Path) -> None:
    context = EmailContext(root / "vault", root / "state", "local", "me@example.com")

    async def hints() -> dict[str, Any]:
        return {
            tool.name: tool.annotations for tool in await full.make_server(context).list_tools()
        }

    found = asyncio.run(hints())
    assert found["search_emails"].read_only_hint is True
    assert found["find_sent"].read_only_hint is True
    assert found["find_sent"].destructive_hint is False
    assert found["draft_email"].read_only_hint is False
    assert found["draft_email"].destructive_hint is False
    assert found["draft_email"].open_world_hint is False
    assert found["send_email"].read_only_hint is False
    assert found["send_email"].destructive_hint is True
    assert found["send_email"].open_world_hint is True


def test_a_draft_is_a_card_that_waits(server: ServerProcess, root: Path, inbox: Inbox) -> None:
    given = {"to": ["Ada <ada@example.com>"], "subject": "Grüße", "body": "Hi\n\nMe"}
    made = server.call("draft_email", given, 20)
    assert made["path"] == f"Pending_Approval/email/{made['id']}.md"
    assert "approval" in made["status"]
    card = read_card((root / "vault" / made["path"]).read_bytes(), made["path"])
    assert (card.id, card.created_by) == (made["id"], "local")
    assert card.action == EmailSend(to=["ada@example.com"], subject="Grüße", body="Hi\n\nMe")
    assert inbox.got == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"to": ["nobody"]}, "not an e-mail address"),
        ({"to": []}, "to"),
        ({"subject": "a\nb"}, "subject"),
        ({"body": " "}, "empty"),
        ({"body": "a\n%% end of draft %%\nb"}, "end of draft"),
        ({"in_reply_to": "x"}, "message id"),
        ({"to": 5}, "arguments do not fit"),
    ],
)
def test_a_crooked_draft_is_refused(root: Path, change: dict[str, Any], why: str) -> None:
    # In process: the texts are what counts here.
    context = EmailContext(root / "vault", root / "state", "cloud", "me@example.com")

    async def ask() -> Any:
        async with Client(draft.make_server(context)) as client:
            given = {"to": ["ada@example.com"], "subject": "s", "body": "b", **change}
            return await client.call_tool("draft_email", given)

    result = asyncio.run(ask())
    assert result.is_error
    process = ServerProcess("email", ["x"], {})
    with pytest.raises(ToolRefused, match=why):
        process._result("draft_email", result)
    assert not (root / "vault" / "Pending_Approval").exists()


def test_a_missing_vault_is_not_made_anew(root: Path) -> None:
    context = EmailContext(root / "gone", root / "state", "cloud", "me@example.com")

    async def ask() -> Any:
        async with Client(draft.make_server(context)) as client:
            given = {"to": ["ada@example.com"], "subject": "s", "body": "b"}
            return await client.call_tool("draft_email", given)

    assert "the vault is not there" in asyncio.run(ask()).content[0].text
    assert not (root / "gone").exists()


def test_searching(server: ServerProcess) -> None:
    assert server.call("search_emails", {"query": "from:ada invoice"}, 20) == {
        "total": 1,
        "mails": [
            {
                "id": "1.host",
                "message_id": "<2@example.com>",
                "from": "Ada <ada@example.com>",
                "subject": "Invoice question",
                "received": "2026-11-23T08:00:00Z",
                "snippet": "Where is it?",
            }
        ],
        "next_offset": None,
    }
    with pytest.raises(ToolRefused, match="not a date"):
        server.call("search_emails", {"query": "since:never"}, 20)


def test_what_the_server_answers_is_told(
    server: ServerProcess, receipts: Receipts, inbox: Inbox
) -> None:
    inbox.answer = "550 5.7.1 spam"
    told = server.call("send_email", approved(receipts, ARGUMENTS), 20)
    assert told["outcome"] == "refused"
    assert told["recipients"]["ada@example.com"] == {
        "outcome": "refused", "detail": "550 5.7.1 spam",
    }  # fmt: skip


def test_what_is_certain_is_not_sent(
    root: Path, receipts: Receipts, inbox: Inbox, smtp: str
) -> None:
    (root / "state/attachments").mkdir()
    pdf, other = attached("a.pdf", b"%PDF"), attached("b.pdf", b"%PDF other")
    keep(root / "state", b"%PDF")
    (root / "state/attachments" / other.sha256).symlink_to(root / "server.py")
    changed = attached("c.pdf", b"%PDF was")
    (root / "state/attachments" / changed.sha256).write_bytes(b"%PDF now")
    parts = [attached(f"{n}.bin", bytes(n) + bytes(10 * 1024 * 1024 - 3)) for n in range(3)]
    for n in range(3):
        keep(root / "state", bytes(n) + bytes(10 * 1024 * 1024 - 3))
    with ServerProcess("email", command(root, "full", smtp), {}) as server:
        for files, why in (
            ([attached("missing.pdf", b"x")], "missing"),
            ([other], "missing"),  # a link is not followed
            ([changed], "not what was approved"),
            ([pdf.model_copy(update={"size": 5})], "not what was approved"),
            (parts, "more than 25 MiB"),
        ):
            given = {**ARGUMENTS, "attachments": [file.model_dump() for file in files]}
            told = server.call("send_email", approved(receipts, given), 20)
            assert told["outcome"] == "not_sent", files
            assert why in told["detail"]
        for change in ({"name": "../../secret"}, {"name": "/etc/passwd"}, {"name": ".hidden"},
                       {"name": "a\x00b"}, {"sha256": "../x"}, {"size": 2**30}):  # fmt: skip
            given = {**ARGUMENTS, "attachments": [pdf.model_dump() | change]}
            with pytest.raises(ToolRefused, match="do not fit"):
                server.call("send_email", approved(receipts, given), 20)
        bad = {**ARGUMENTS, "subject": "😀=?UTF-8?Q?=0A?=Bcc: x@example.com"}
        assert server.call("send_email", approved(receipts, bad), 20)["outcome"] == "not_sent"
        assert inbox.got == []
        given = {**ARGUMENTS, "attachments": [pdf.model_dump()]}
        assert server.call("send_email", approved(receipts, given), 20)["outcome"] == "accepted"
    read = message_from_bytes(inbox.got[0], policy=policy.default)
    assert [(p.get_filename(), p.get_content()) for p in read.iter_attachments()] == [
        ("a.pdf", b"%PDF")
    ]


def test_nobody_listens_is_not_sent_and_silence_is_unknown(
    root: Path, receipts: Receipts, inbox: Inbox, smtp: str
) -> None:
    with ServerProcess("email", command(root, "full", "127.0.0.1:1"), {}) as server:
        told = server.call("send_email", approved(receipts, ARGUMENTS), 20)
        assert (told["outcome"], told["recipients"]) == ("not_sent", {})
    inbox.delay = 1.5
    with ServerProcess("email", command(root, "full", smtp, timeout=0.5), {}) as server:
        told = server.call("send_email", approved(receipts, ARGUMENTS), 20)
        assert told["outcome"] == "unknown"
        assert told["recipients"]["ada@example.com"]["outcome"] == "unknown"


def test_the_context_comes_from_the_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = parse(
        {"name": "local", "vault": str(root / "vault"), "hub": {"url": "x"},
         "email": {"address": "me@example.com", "smtp": "h:465", "smtp_user": "me"}}, "x",
    )  # fmt: skip
    context = context_for(settings, root / "state")
    assert (context.agent, context.smtp, context.state) == ("local", "h:465", root / "state")
    assert context.password() == ""
    monkeypatch.setenv("NIGHTDESK_SMTP_PASSWORD", "s3cret")
    assert context.password() == "s3cret"
    assert "s3cret" not in repr(context)


# The client: what became of a call that failed.


def test_the_server_dies_during_the_call(
    server: ServerProcess, receipts: Receipts, inbox: Inbox
) -> None:
    inbox.delay = 1.0
    server.start()
    (child,) = children()

    async def kill_when_it_arrived(*_: Any) -> str:
        child.kill()
        await asyncio.sleep(0.3)
        return "250 OK"

    inbox.handle_DATA = kill_when_it_arrived  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        server.call("send_email", approved(receipts, ARGUMENTS), 20)
    assert children() == []


def test_a_dead_server_is_started_again(server: ServerProcess) -> None:
    assert not server.alive
    server.start()
    assert server.alive
    (child,) = children()
    child.kill()
    deadline = time.monotonic() + 5
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.alive
    assert server.call("search_emails", {"query": ""}, 20)["total"] == 1
    (other,) = children()
    assert other.pid != child.pid


def test_a_call_that_never_reached_a_dead_server_is_made_anew(
    server: ServerProcess, receipts: Receipts, inbox: Inbox
) -> None:
    server.start()
    (child,) = children()
    child.kill()
    link = server._link
    assert link
    assert link.gone.wait(5)
    link.gone.clear()  # as if its end had not been noticed yet
    assert server.call("send_email", approved(receipts, ARGUMENTS), 20)["outcome"] == "accepted"
    assert len(inbox.got) == 1


def test_a_time_out_after_the_call_was_written_is_unknown(
    server: ServerProcess, receipts: Receipts, inbox: Inbox
) -> None:
    inbox.delay = 30
    server.start()
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        server.call("send_email", approved(receipts, ARGUMENTS), 0.5)
    assert children() == []  # stopped, so that nothing happens late


CRASHING = """
import os
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
server = MCPServer("x", version="1", log_level="CRITICAL")
@server.tool()
def crash() -> dict[str, int]: raise RuntimeError("inner")
@server.tool()
def complain() -> dict[str, int]: raise ToolError("it may have happened")
@server.tool()
def plain() -> str: return "words"
server.run("stdio")
"""


def test_an_error_that_proves_nothing_is_unknown(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(CRASHING)
    with ServerProcess("x", [sys.executable, str(script)], {}) as process:
        for tool in ("crash", "complain"):
            with pytest.raises(OutcomeUnknown):
                process.call(tool, {}, 20)
        with pytest.raises(NotSent, match="JSON"):
            process.call("plain", {"x": "\ud800"}, 20)
        assert process.call("plain", {}, 20) == {"result": "words"}
        assert process.alive


def test_what_cannot_start_is_not_sent(tmp_path: Path) -> None:
    for argv in ([str(tmp_path / "nothing")], [sys.executable, "-c", "raise SystemExit(3)"]):
        process = ServerProcess("email", argv, {})
        with pytest.raises(NotSent, match="could not be started"):
            process.call("send_email", {}, 20)
        assert not process.alive
        process.close()
    assert psutil.Process().children() == []


def test_close_leaves_nothing_behind(server: ServerProcess) -> None:
    server.start()
    (child,) = children()
    server.close()
    server.close()
    assert not psutil.pid_exists(child.pid)
    assert not server.alive


PARENT = """
import sys
from nightdesk.mcp_servers.client import ServerProcess
process = ServerProcess("email", sys.argv[2:], {})
process.start()
print("up", flush=True)
if sys.argv[1] == "wait":
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["killed", "forgets to close"])
def test_the_server_ends_with_its_parent(root: Path, end: str) -> None:
    (root / "parent.py").write_text(PARENT)
    mode = "wait" if end == "killed" else "go"
    argv = [sys.executable, str(root / "parent.py"), mode, *command(root, "draft", "127.0.0.1:1")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdin
        before = time.monotonic()
        if mode == "wait":
            assert parent.stdout.readline() == b"up\n"
            (server,) = psutil.Process(parent.pid).children()
            parent.kill()
            assert not psutil.wait_procs([server], timeout=10)[1]
        else:
            parent.wait(20)
            assert time.monotonic() - before < 20
    mine = [p for p in psutil.process_iter(["cmdline"]) if str(root) in str(p.info["cmdline"])]
    assert not psutil.wait_procs(mine, timeout=10)[1]

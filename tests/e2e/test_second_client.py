"""Somebody else's MCP client at the laptop's own server: it sees every tool and sends nothing.

The tools are read from `tools/list`, and what must be refused is told by their annotations: a tool
that is added later is tried without a change here. The judge is the mail server's own ledger.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from desk import ME, Desk
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import CallToolResult, TextContent, Tool

from nightdesk.local_agent.demo_mail import MailServer
from nightdesk.local_agent.sending import Sender
from nightdesk.mcp_servers.receipts import Receipts
from nightdesk.policy import Role
from nightdesk.runtime.command import open_desk

SERVERS = ["email"]
"""Every server that `agent-local mcp` knows; `test_no_server_is_forgotten` holds it complete."""

GOOD: dict[str, dict[str, Any]] = {
    "send_email": {
        "to": ["ada@example.com"],
        "subject": "Re: Invoice",
        "body": "Hi Ada",
        "message_id": "<nd.1@example.com>",
    },
}
"""Arguments with which a tool really acts; others are called with what their schema allows."""

REFUSED = ("Nothing was done: ", "Approved/", "call draft_")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with MailServer(tmp_path / "mail") as mail:
        made = Desk(tmp_path, mail)
        made.mail.maildir(ME)
        made.command(
            "local", "init", "--non-interactive", "--config", str(made.config("local")),
            "--vault", str(made.vault("local")), "--hub", str(made.hub),
            "--address", ME, "--smtp", f"127.0.0.1:{mail.port}",
        )  # fmt: skip
        yield made


def ledger(desk: Desk) -> list[str]:
    """What the mail server took, whoever it was for; its sender's own copies do not count."""
    files = (path for path in (desk.root / "mail").rglob("*") if path.is_file())
    return [str(path) for path in files if ".Sent" not in path.parts]


def outside_and_vault(desk: Desk) -> dict[str, str]:
    files = [p for p in desk.vault("local").rglob("*") if p.is_file() and ".git" not in p.parts]
    found = {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return found | dict.fromkeys(ledger(desk), "mail")


@asynccontextmanager
async def client(desk: Desk, server: str = "email") -> AsyncIterator[ClientSession]:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[
            *("-m", "nightdesk.local_agent.cli", "mcp", server),
            *("--config", str(desk.config("local"))),
        ],
        env=dict(desk.environment),
    )
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


def is_full(tool: Tool) -> bool:
    """Whether a tool says that it changes the world outside."""
    hints = tool.annotations
    return not (hints and hints.read_only_hint) and not (hints and hints.open_world_hint is False)


def example(schema: dict[str, Any], whole: dict[str, Any] | None = None) -> Any:
    """Some value that a schema allows."""
    whole = whole or schema
    if reference := schema.get("$ref"):
        return example(whole["$defs"][reference.rpartition("/")[2]], whole)
    for choice in ("enum", "anyOf", "oneOf"):
        if choice in schema:
            first = schema[choice][0]
            return first if choice == "enum" else example(first, whole)
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {key: example(fields[key], whole) for key in schema.get("required", [])}
        case "array":
            return [example(schema["items"], whole)]
        case "integer" | "number":
            return 1
        case "boolean":
            return False
        case _:
            pattern = re.compile(schema.get("pattern", ""))
            return next(text for text in ("x", "0" * 64, "2026-11-23") if pattern.search(text))


def arguments_for(tool: Tool) -> dict[str, Any]:
    return dict(GOOD.get(tool.name) or example(tool.input_schema))


def alterations(tool: Tool, arguments: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each argument changed, left out, and every one that was not given added."""
    fields = tool.input_schema["properties"]
    for key, schema in fields.items():
        if key == "receipt":
            continue
        if key in arguments:
            value = arguments[key]
            other = [*value, *value] if isinstance(value, list) else f"{value} "
            other = value + 1 if isinstance(value, int) else other
            yield f"{key} altered", {**arguments, key: other}
            if key not in tool.input_schema.get("required", []):
                yield f"{key} left out", {k: v for k, v in arguments.items() if k != key}
        else:
            yield f"{key} by default", {**arguments, key: schema.get("default", "")}
            yield f"{key} added", {**arguments, key: example(schema, tool.input_schema)}
    yield "an unknown argument", {**arguments, "bcc": ["eve@example.com"]}


def said(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def must_refuse(result: CallToolResult, why: str, about: str) -> None:
    text = said(result)
    assert result.is_error, (about, text)
    assert why in text, (about, text)
    assert all(words in text for words in REFUSED), (about, text)


def on_every_full_tool(
    desk: Desk, attempt: Callable[[ClientSession, Tool, dict[str, Any]], Awaitable[None]]
) -> None:
    async def run() -> int:
        tried = 0
        for server in SERVERS:
            async with client(desk, server) as session:
                for tool in (await session.list_tools()).tools:
                    if is_full(tool):
                        await attempt(session, tool, arguments_for(tool))
                        tried += 1
        return tried

    assert asyncio.run(run()) >= 1


def test_no_server_is_forgotten(desk: Desk) -> None:
    told = desk.on("local", "mcp", "nothing", code=2).stderr
    assert told.partition("Known servers: ")[2].split() == SERVERS


def test_no_full_tool_acts_without_a_right_receipt(desk: Desk) -> None:
    state = desk.state("local")
    receipts = Receipts(state)
    receipts.issue("x", "y", {})  # the executor has made its key
    foreign = Receipts(desk.root / "another-laptop")

    async def attempt(session: ClientSession, tool: Tool, good: dict[str, Any]) -> None:
        async def tried(arguments: dict[str, Any], receipt: str | None, why: str, it: str) -> None:
            given = arguments if receipt is None else {**arguments, "receipt": receipt}
            must_refuse(await session.call_tool(tool.name, given), why, f"{tool.name}: {it}")
            assert ledger(desk) == [], (tool.name, it)

        await tried(good, None, "none was given", "without a receipt")
        await tried(good, "", "none was given", "an empty one")
        await tried(good, "nd1.e30.AAAA", "not signed by this laptop", "a made-up one")
        bad = foreign.issue("card-1", tool.name, good)
        await tried(good, bad, "not signed by this laptop", "a foreign key")
        late = receipts.issue("card-1", tool.name, good, ttl_seconds=-1)
        await tried(good, late, "has expired", "an expired one")
        other = receipts.issue("card-1", "another_tool", good)
        await tried(good, other, "is for another_tool", "for another tool")
        unlike = receipts.issue("card-2", tool.name, {**good, "message_id": "<nd.2@example.com>"})
        await tried(good, unlike, "not those that were approved", "for another action")
        for name, altered in alterations(tool, good):
            fitting = receipts.issue("card-1", tool.name, good)
            await tried(altered, fitting, "not those that were approved", name)
            backwards = receipts.issue("card-1", tool.name, altered)
            await tried(good, backwards, "not those that were approved", f"{name}, the other way")
        spent = receipts.issue("card-1", tool.name, good)
        receipts.spend(spent)
        await tried(good, spent, "has been used", "one whose call is over")

    on_every_full_tool(desk, attempt)


def test_a_receipt_opens_once_also_after_a_restart(desk: Desk) -> None:
    receipts = Receipts(desk.state("local"))
    used: dict[str, dict[str, Any]] = {}

    async def first(session: ClientSession, tool: Tool, good: dict[str, Any]) -> None:
        used[tool.name] = {**good, "receipt": receipts.issue("card-1", tool.name, good)}
        before = len(ledger(desk))
        result = await session.call_tool(tool.name, used[tool.name])
        assert "receipt" not in said(result)  # it was let through
        if tool.name in GOOD:
            assert len(ledger(desk)) == before + 1
            must_refuse(
                await session.call_tool(tool.name, used[tool.name]), "has been used", "at once"
            )

    async def again(session: ClientSession, tool: Tool, good: dict[str, Any]) -> None:
        before = ledger(desk)
        if tool.name in GOOD:
            result = await session.call_tool(tool.name, used[tool.name])
            must_refuse(result, "has been used", "after a restart")
        assert ledger(desk) == before

    on_every_full_tool(desk, first)
    on_every_full_tool(desk, again)


def test_a_call_that_did_nothing_leaves_no_receipt_that_opens(desk: Desk) -> None:
    sender = Sender(open_desk(Role.LOCAL, desk.config("local")))
    try:
        bad = {**GOOD["send_email"], "subject": "a\nBcc: eve@example.com"}
        assert sender("email/send_email", bad, "card-1")["outcome"] == "not_sent"
    finally:
        sender.close()
    assert ledger(desk) == []
    (spent,) = (desk.state("local") / "receipts-used").iterdir()
    assert spent.name[0].isdigit()


def test_of_two_clients_at_once_one_is_let_through(desk: Desk) -> None:
    receipts = Receipts(desk.state("local"))

    async def race() -> None:
        async with client(desk) as one, client(desk) as other:
            tools = [t for t in (await one.list_tools()).tools if is_full(t) and t.name in GOOD]
            for number, tool in enumerate(tools * 5):
                good = {**arguments_for(tool), "message_id": f"<nd.{number}@example.com>"}
                call = {**good, "receipt": receipts.issue(f"card-{number}", tool.name, good)}
                before = len(ledger(desk))
                results = await asyncio.gather(
                    *(session.call_tool(tool.name, call) for session in (one, other, one, other))
                )
                refused = [said(result) for result in results if result.is_error]
                assert len(refused) == 3, refused
                assert all("has been used" in text for text in refused)
                assert len(ledger(desk)) == before + 1

    asyncio.run(race())


def test_annotations_are_true(desk: Desk) -> None:
    async def look() -> None:
        async with client(desk) as session:
            for tool in (await session.list_tools()).tools:
                hints = tool.annotations
                assert hints, tool.name
                takes_receipt = "receipt" in tool.input_schema["properties"]
                # What can change the world outside asks for a receipt, and says what it is.
                assert is_full(tool) == takes_receipt, tool.name
                if takes_receipt:
                    assert hints.read_only_hint is False, tool.name
                    assert hints.destructive_hint is True, tool.name
                    assert hints.open_world_hint is True, tool.name
                    assert hints.idempotent_hint is False, tool.name
                    continue
                before = outside_and_vault(desk)
                mails = ledger(desk)
                await session.call_tool(tool.name, example(tool.input_schema))
                good = {"to": ["ada@example.com"], "subject": "s", "body": "b", "query": ""}
                fitting = {k: v for k, v in good.items() if k in tool.input_schema["properties"]}
                await session.call_tool(tool.name, fitting)
                after = outside_and_vault(desk)
                assert ledger(desk) == mails, tool.name
                if hints.read_only_hint:
                    assert after == before, tool.name
                else:  # adds to the vault, and destroys nothing
                    assert hints.destructive_hint is False, tool.name
                    assert json.dumps(after) != json.dumps(before), tool.name
                    assert before.items() <= after.items(), tool.name
                    new = [path for path in after.keys() - before.keys() if path.endswith(".md")]
                    assert all("/Pending_Approval/" in path for path in new), tool.name

    asyncio.run(look())

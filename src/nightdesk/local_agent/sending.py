"""How the executor's one call leaves: through the laptop's own MCP server, with a receipt.

Looking for an effect goes the same way without one, to tools that only read.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from nightdesk.errors import NightdeskError, NotSent
from nightdesk.local_agent.effects import EFFECTS
from nightdesk.mcp_servers.client import ServerProcess
from nightdesk.mcp_servers.receipts import Receipts
from nightdesk.runtime.command import Desk
from nightdesk.runtime.desk import passed_environment

_LOOK_SECONDS = 30.0
"""A mailbox that cannot be looked through in so many seconds counts as one that cannot be read."""


class Sender:
    """Full MCP servers, kept warm, one process each."""

    def __init__(self, desk: Desk) -> None:
        self._receipts = Receipts(desk.state)
        self._timeout = desk.settings.email.smtp_timeout_seconds + 30.0
        self._servers = {
            name: ServerProcess(
                name,
                [
                    *(sys.executable, "-m", "nightdesk.local_agent.cli", "mcp", name),
                    *("--config", str(desk.config_file)),
                ],
                passed_environment(),
            )
            for name in ("email",)
        }

    def warm_up(self) -> None:
        """Start the servers before the first approval needs them."""
        for server in self._servers.values():
            server.start()

    def __call__(self, tool: str, arguments: dict[str, Any], action_id: str) -> dict[str, Any]:
        """Call a full tool once.

        Args:
            tool: "server/tool", for example "email/send_email".
            arguments: exactly what was approved.
            action_id: what the receipt is for.

        Raises:
            NotSent: certain that nothing left.
            OutcomeUnknown: nobody can know from here.
        """
        server, _, name = tool.partition("/")
        receipt = self._receipts.issue(action_id, name, arguments)
        try:
            result = self._servers[server].call(
                name, {**arguments, "receipt": receipt}, timeout=self._timeout
            )
        finally:
            # A call that ended before its receipt was used must not leave one that still opens.
            with suppress(NightdeskError):
                self._receipts.spend(receipt)
        fates: dict[str, dict[str, str]] = result.get("recipients") or {}
        refused = {a: f["detail"] for a, f in fates.items() if f["outcome"] == "refused"}
        return {**result, "refused": refused}

    def ask(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask a tool that looks for an effect; it changes nothing, so every failure is the same.

        Args:
            tool: "server/tool", the probe of an effect.
            arguments: the effect's key.

        Raises:
            NotSent: it could not be asked, or could not look; the text says why.
            OutcomeUnknown: it did not answer in time.
        """
        if tool not in {effect.probe for effect in EFFECTS.values()}:
            raise NotSent(f"{tool} is no tool that only looks", remedy="Nothing was called")
        server, _, name = tool.partition("/")
        return self._servers[server].call(name, arguments, timeout=_LOOK_SECONDS)

    def close(self) -> None:
        """Stop the servers; no process stays behind."""
        for server in self._servers.values():
            server.close()

"""Serving tools over standard input and output, and how a tool says that it did nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ToolError

from nightdesk.errors import NightdeskError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

NOTHING_DONE = "Nothing was done: "
"""Begins every error text of a tool that is certain of that; see `client.ServerProcess.call`."""


def nothing_done(error: NightdeskError | str) -> ToolError:
    """Make the tool error that tells a client what happened, what to do, and that it is safe."""
    return ToolError(f"{NOTHING_DONE}{error}")


def run_stdio(server: MCPServer) -> None:
    """Serve until standard input closes. Standard output belongs to the protocol; logs go to
    standard error."""
    with suppress(KeyboardInterrupt, BrokenPipeError):
        server.run("stdio")

"""Serving tools over standard input and output, and how a tool says that it did nothing."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ToolError

from nightdesk.errors import NightdeskError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

NOTHING_DONE = "Nothing was done: "
"""Begins every error text of a tool that is certain of that; see `client.ServerProcess.call`."""

_LOOK_SECONDS = 0.1


def nothing_done(error: NightdeskError | str) -> ToolError:
    """Make the tool error that tells a client what happened, what to do, and that it is safe."""
    return ToolError(f"{NOTHING_DONE}{error}")


def run_stdio(server: MCPServer) -> None:
    """Serve until standard input closes, or whoever started the server is gone.

    Standard output belongs to the protocol; logs go to standard error.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with suppress(KeyboardInterrupt, BrokenPipeError):
        server.run("stdio")


def _end_with(parent: int) -> None:
    # A call under way must not go on when the executor was killed: the person is asked at once
    # whether it went out, and what leaves after the answer would leave twice.
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)

"""Structured logs: readable on a terminal, JSON lines under systemd and in pipes.

Logs go to standard error; standard output belongs to a command's result (and, in an MCP
server, to the protocol).
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import structlog


def configure(*, verbose: bool = False, json_lines: bool | None = None) -> None:
    """Set up logging for this process.

    Args:
        verbose: also show debug lines.
        json_lines: force JSON or not; by default JSON unless standard error is a terminal.
    """
    if json_lines is None:
        json_lines = not sys.stderr.isatty() or "JOURNAL_STREAM" in os.environ
    level = logging.DEBUG if verbose else logging.INFO
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")

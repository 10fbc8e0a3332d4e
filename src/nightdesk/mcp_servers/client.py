"""A stdio MCP server kept warm, for synchronous callers.

The one thing that matters here is honesty about a call that failed: it was not written to the
server (certain, nothing happened), the tool said that it did nothing (certain), or nobody knows.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.message import SessionMessage
from mcp_types import CallToolResult, TextContent

from nightdesk.errors import NotSent, OutcomeUnknown
from nightdesk.mcp_servers.stdio import NOTHING_DONE

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_T = TypeVar("_T")


class ToolRefused(NotSent):
    """The tool answered with an error that says: nothing was done."""


class _NeverWritten(Exception):
    """The connection was gone before the call went through the pipe."""


@dataclass(eq=False)
class _Link:
    """One run of the server: its loop, its client, and what has gone through the pipe."""

    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    ready: Future[Client] = field(default_factory=Future)
    gone: threading.Event = field(default_factory=threading.Event)
    calls_written: int = 0


class ServerProcess:
    """One MCP server of ours as a child process; started on the first call, restarted when dead.

    Args:
        name: how errors name it, for example "email".
        command: program and arguments.
        env: added to the few variables that a child inherits (HOME, PATH, USER…).
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self._parameters = StdioServerParameters(
            command=command[0], args=list(command[1:]), env=dict(env)
        )
        self._lock = threading.RLock()
        self._link: _Link | None = None
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the server is running and connected."""
        link = self._link
        return link is not None and link.ready.done() and not link.gone.is_set()

    def start(self) -> None:
        """Start the server if it is not running.

        Raises:
            NotSent: it could not be started, or did not speak MCP.
        """
        with self._lock:
            self._connected()

    def call(self, tool: str, arguments: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Call a tool once and return its structured result. Calls run one after another.

        Args:
            arguments: must be JSON.
            timeout: seconds; afterwards the server is stopped, so that nothing happens late.

        Raises:
            NotSent: the server could not be started, or the call was not written to it.
            ToolRefused: the tool is certain that it did nothing; the text says why.
            OutcomeUnknown: the server died, timed out or failed after the call was written.
        """
        self._check_json(arguments)
        with self._lock:
            client, link = self._connected()
            try:
                result = self._written_call(client, link, tool, arguments, timeout)
            except _NeverWritten:
                # The server had died meanwhile and saw nothing: once more, with a new one.
                client, link = self._connected()
                try:
                    result = self._written_call(client, link, tool, arguments, timeout)
                except _NeverWritten as e:
                    raise self._not_sent(f"it could not be called ({e})") from e
            return self._result(tool, result)

    def _written_call(
        self, client: Client, link: _Link, tool: str, arguments: Mapping[str, Any], timeout: float
    ) -> CallToolResult:
        before = link.calls_written
        try:
            return self._run(link, lambda: client.call_tool(tool, dict(arguments)), timeout)
        except Exception as e:  # whatever it is, only whether the call was written decides
            written = link.calls_written > before
            self.close()
            if written:
                raise self._unknown(tool, e) from e
            raise _NeverWritten(_why(e)) from e

    def tools(self) -> list[str]:
        """The names of the server's tools.

        Raises:
            NotSent: it could not be started or asked.
        """
        with self._lock:
            client, link = self._connected()
            try:
                listed = self._run(link, client.list_tools, _START_SECONDS)
            except Exception as e:  # asking changes nothing, so every failure is the same
                self.close()
                raise self._not_sent(f"its tools could not be listed ({_why(e)})") from e
            return [tool.name for tool in listed.tools]

    def close(self) -> None:
        """Stop the server: close its input, wait, then end it with its children."""
        with self._lock:
            link, thread = self._link, self._thread
            self._link = self._thread = None
            if link and thread:
                if not link.loop.is_closed():
                    with suppress(RuntimeError):  # its loop ended in this very moment
                        link.loop.call_soon_threadsafe(link.stop.set)
                thread.join(_STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connected(self) -> tuple[Client, _Link]:
        if self._link and self.alive:
            return self._link.ready.result(), self._link
        self.close()
        started: Future[_Link] = Future()
        # A daemon thread: if the caller's program ends without `close`, the pipe ends with it,
        # and the server stops at the end of its input.
        self._thread = threading.Thread(
            target=self._serve, args=(started,), name=f"mcp-{self.name}", daemon=True
        )
        self._thread.start()
        try:
            self._link = started.result(_START_SECONDS)
            return self._link.ready.result(_START_SECONDS), self._link
        except Exception as e:  # nothing has been asked of it yet
            self.close()
            raise self._not_sent(f"it could not be started ({_why(e)})") from e

    def _serve(self, started: Future[_Link]) -> None:
        async def live() -> None:
            link = _Link(asyncio.get_running_loop(), asyncio.Event())
            started.set_result(link)
            try:
                async with Client(_pipe(self._parameters, link)) as client:
                    link.ready.set_result(client)
                    await link.stop.wait()
            except BaseException as e:  # noqa: BLE001 - handed to whoever waits for the start
                if not link.ready.done():
                    link.ready.set_exception(_first(e))
                # After that, whoever waits for a call learns it from the call itself.
            finally:
                link.gone.set()

        asyncio.run(live())

    def _run(self, link: _Link, ask: Callable[[], Awaitable[_T]], timeout: float) -> _T:
        async def bounded() -> _T:
            async with asyncio.timeout(timeout):
                return await ask()

        return asyncio.run_coroutine_threadsafe(bounded(), link.loop).result(timeout + 5.0)

    def _result(self, tool: str, result: CallToolResult) -> dict[str, Any]:
        text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
        if result.is_error:
            refusal = _refusal(tool, text)
            if refusal is None:
                raise self._unknown(tool, RuntimeError(text))
            raise ToolRefused(refusal, where=f"MCP server {self.name}")
        if result.structured_content is not None:
            return dict(result.structured_content)
        return {"text": text}

    def _check_json(self, arguments: Mapping[str, Any]) -> None:
        try:
            json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False).encode("utf-8")
        except (TypeError, ValueError) as e:
            raise self._not_sent(f"the arguments cannot be written as JSON ({e})") from e

    def _not_sent(self, what: str) -> NotSent:
        return NotSent(what, remedy="See the agent's log", where=f"MCP server {self.name}")

    def _unknown(self, tool: str, error: BaseException) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{tool} was called and what came of it is not known ({_why(error)})",
            remedy="Look whether it happened before you try it again",
            where=f"MCP server {self.name}",
        )


class _Counting:
    """The stream to the server; notes each tool call before it is written."""

    def __init__(self, stream: Any, link: _Link) -> None:
        self._stream = stream
        self._link = link

    async def send(self, item: SessionMessage, /) -> None:
        if getattr(item.message, "method", "") == "tools/call":
            self._link.calls_written += 1
        await self._stream.send(item)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Watching:
    """The stream from the server; notes its end."""

    def __init__(self, stream: Any, link: _Link) -> None:
        self._stream = stream
        self._link = link

    async def receive(self) -> SessionMessage | Exception:
        try:
            item: SessionMessage | Exception = await self._stream.receive()
        except BaseException:
            self._link.gone.set()
            raise
        return item

    async def aclose(self) -> None:
        self._link.gone.set()
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            item: SessionMessage | Exception = await self._stream.__anext__()
        except BaseException:
            self._link.gone.set()
            raise
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


@asynccontextmanager
async def _pipe(
    parameters: StdioServerParameters, link: _Link
) -> AsyncIterator[tuple[_Watching, _Counting]]:
    with _error_stream() as errors:
        async with stdio_client(parameters, errlog=errors) as (read, write):
            yield _Watching(read, link), _Counting(write, link)


def _error_stream() -> TextIO:
    # A duplicate of the descriptor: sys.stderr itself may be replaced by something without one.
    try:
        return os.fdopen(os.dup(2), "w", encoding="utf-8")
    except OSError:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - closed by the caller


def _refusal(tool: str, text: str) -> str | None:
    """The reason, if an error text proves that the tool did nothing; None otherwise.

    The SDK puts "Error executing tool NAME" before every text of a tool; alone it stands for a
    crash inside the tool. Unknown tools and arguments that do not fit never reach the tool.
    """
    text = text.removeprefix(f"Error executing tool {tool}: ")
    if text.startswith(NOTHING_DONE):
        return text.removeprefix(NOTHING_DONE)
    if re.match(rf"\d+ validation errors? for {re.escape(tool)}Arguments\n", text):
        return f"the arguments do not fit: {text}"
    return text if text == f"Unknown tool: {tool}" else None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _why(error: BaseException) -> str:
    error = _first(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__

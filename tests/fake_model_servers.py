"""Loopback servers that speak the providers' documented protocols, failures included."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]
"""HTTP status, and what to answer: JSON, or bytes as they are."""


@dataclass
class Seen:
    """What one request carried."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class FakeServer:
    """A running server: where it is, what it saw, what it will answer."""

    url: str
    answer: Callable[[Seen], Reply]
    requests: list[Seen] = field(default_factory=list)
    extra_headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(answer: Callable[[Seen], Reply]) -> Iterator[FakeServer]:
    """Run a server on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {k.lower(): v for k, v in self.headers.items()}
            seen = Seen(self.path, headers, json.loads(raw))
            fake.requests.append(seen)
            if fake.delay:
                fake.released.wait(fake.delay)
            status, value = fake.answer(seen)
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                for key, text in fake.extra_headers.items():
                    self.send_header(key, text)
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up waiting, which is the test

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake = FakeServer(f"http://127.0.0.1:{server.server_port}", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def openai_tool(value: dict[str, Any]) -> Callable[[Seen], Reply]:
    """Answer as OpenAI does: through the tool that was offered."""

    def answer(seen: Seen) -> Reply:
        tool = seen.body["tools"][-1]["function"]["name"]
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": tool, "arguments": json.dumps(value)},
        }
        return 200, _completion({"role": "assistant", "tool_calls": [call]}, "tool_calls")

    return answer


def openai_text(text: str) -> Callable[[Seen], Reply]:
    """Answer in words, as a server does that ignores tools."""
    return lambda _: (200, _completion({"role": "assistant", "content": text}, "stop"))


def _completion(message: dict[str, Any], reason: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    }


def anthropic_tool(value: dict[str, Any]) -> Callable[[Seen], Reply]:
    """Answer as Anthropic does: through the tool that was offered."""

    def answer(seen: Seen) -> Reply:
        tool = seen.body["tools"][-1]["name"]
        use = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": value}
        return 200, _message([use], "tool_use")

    return answer


def _message(content: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "fake",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }

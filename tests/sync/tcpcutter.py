"""A TCP relay that cuts, delays or stops what goes through it, like a bad network."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

UP = "up"
"""From the client to the server."""
DOWN = "down"


@dataclass
class Rule:
    """What happens to connections.

    Attributes:
        cut_up: cut both ways after so many bytes from the client were passed on; None: never.
            One cut and the rule is over.
        cut_down: the same for bytes from the server.
        delay: seconds by which each piece is held up.
        stopped: nothing more is passed on, and nothing is closed: a black hole.
    """

    cut_up: int | None = None
    cut_down: int | None = None
    delay: float = 0.0
    stopped: bool = False


class Cutter:
    """The relay.

    Args:
        target: the server's port on loopback.

    Attributes:
        port: where it listens.
        rule: may be changed at any time; it counts for open connections too.
        passed: bytes passed on, by direction, since the last `count`.
        cuts: how many connections it has cut.
        connections: how many were made.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.rule = Rule()
        self.passed = {UP: 0, DOWN: 0}
        self.cuts = 0
        self.connections = 0
        self._epoch = 0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def count(self) -> None:
        """Begin to count anew."""
        self.passed = {UP: 0, DOWN: 0}

    def cut(self) -> None:
        """Cut every connection that stands now; new ones are welcome."""
        self._epoch += 1

    def _accept(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._relay, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, selectors.DefaultSelector() as selector:
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                return
            with server:
                selector.register(client, selectors.EVENT_READ, (UP, server))
                selector.register(server, selectors.EVENT_READ, (DOWN, client))
                with suppress(OSError):
                    self._pump(selector)

    def _pump(self, selector: selectors.BaseSelector) -> None:
        went = {UP: 0, DOWN: 0}
        epoch = self._epoch
        while not self._closing.is_set():
            if self._epoch != epoch:
                self.cuts += 1
                return
            if self.rule.stopped:
                time.sleep(0.02)
                continue
            for key, _ in selector.select(0.05):
                direction, other = key.data
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(65536)
                if not data:
                    return
                limit = self.rule.cut_up if direction == UP else self.rule.cut_down
                cut = limit is not None and went[direction] + len(data) >= limit
                if cut:
                    assert limit is not None
                    data = data[: max(limit - went[direction], 0)]
                time.sleep(self.rule.delay)
                other.sendall(data)
                went[direction] += len(data)
                self.passed[direction] += len(data)
                if cut:
                    self.cuts += 1
                    self.rule = Rule()
                    return

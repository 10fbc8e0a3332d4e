"""One cycle in a process of its own that dies at a named point, at its n-th passing."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from nightdesk.config import SyncSettings
from nightdesk.policy import Role
from nightdesk.sync.engine import Engine


def main() -> None:
    vault, hub, state, role, trust, point, number = sys.argv[1:]
    left = int(number)

    def crash(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os._exit(9)

    def render(path: str, data: bytes) -> bytes:
        return data.replace(b"raw", b"rendered")

    engine = Engine(
        Path(vault), hub, Path(state), Role(role), role, SyncSettings(),
        incoming=render if role == "local" else None, trust=pickle.loads(bytes.fromhex(trust)),
        crash=crash,
    )  # fmt: skip
    engine.open()
    engine.cycle()
    engine.close()


main()

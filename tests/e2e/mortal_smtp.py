"""A mail server that dies in the middle of a mail; run as a script.

    python mortal_smtp.py ROOT PORT MODE

ROOT holds the Maildirs. It prints "ready" when it listens. MODE is what happens with the first
mail: "taken" (delivered, then killed before it answers), "lost" (killed before anything is
delivered), "hangs" (delivered, and no answer ever comes), or "lives" (an ordinary mail server).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from nightdesk.local_agent.demo_mail import MailServer


class MortalServer(MailServer):
    def __init__(self, root: Path, mode: str) -> None:
        super().__init__(root)
        self.mode = mode

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.mode == "lost":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await super().handle_DATA(server, session, envelope)
        if self.mode == "taken":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "hangs":
            await asyncio.sleep(3600)
        return answer


def main(root: str, port: str, mode: str) -> None:
    handler = MortalServer(Path(root), mode)
    controller = Controller(handler, hostname="127.0.0.1", port=int(port))
    controller.start()
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])

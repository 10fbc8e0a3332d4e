"""The commands of the zip application: `python3 -I HUB/hooks/nightdesk.pyz COMMAND …`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nightdesk.hub.receive import post_receive, pre_receive
from nightdesk.hub.serve import serve
from nightdesk.hub.watch import watch_refs

Command = Callable[[Path, Sequence[str]], int]

COMMANDS: dict[str, Command] = {
    "serve": serve,
    "watch": watch_refs,
    "pre-receive": pre_receive,
    "post-receive": post_receive,
}
"""Name -> what is called with the repository and the further words; returns the exit code."""


def main(arguments: Sequence[str]) -> int:
    """Run one command on the repository whose `hooks` folder holds this program."""
    repository = Path(sys.argv[0]).resolve().parent.parent
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        print(f"nightdesk: the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return command(repository, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

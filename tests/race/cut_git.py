"""A git whose connection breaks: stands before the real one, for one call of push or fetch.

`python -I cut_git.py REAL_GIT LOG arguments...` carries out the call with one of the fates below
and appends `<fate> <exit code of the real git, or ->` to LOG. What the caller sees is exit 128
without a word, as after a cut: whether the push arrived, it has to find out.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PUSH = {"before": 2, "middle": 4, "client": 3, "after": 4, "slow": 1}
FETCH = {"before": 2, "client": 1, "slow": 1}


def main() -> int:
    if sys.argv[1] == "receive-pack":
        return _dying_receive_pack(float(sys.argv[2]), sys.argv[3])
    real, log, *arguments = sys.argv[1:]
    kind = "push" if "push" in arguments else "fetch"
    fates = PUSH if kind == "push" else FETCH
    fate = random.choices(list(fates), list(fates.values()))[0]
    code: int | str = "-"
    moment = random.uniform(0.001, 0.035)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if fate == "slow":
        time.sleep(random.uniform(0.05, 0.4))
        code = subprocess.run([real, *arguments], check=False).returncode
    elif fate == "after":
        code = subprocess.run([real, *arguments], check=False, **quiet).returncode
    elif fate == "client":
        child = subprocess.Popen([real, *arguments], **quiet)
        with suppress(subprocess.TimeoutExpired):
            child.wait(moment)
        child.kill()
        code = child.wait()
    elif fate == "middle":
        at = arguments.index("push") + 1
        dying = f"'{sys.executable}' -I '{__file__}' receive-pack {moment}"
        with_it = [*arguments[:at], f"--receive-pack={dying}", *arguments[at:]]
        code = subprocess.run([real, *with_it], check=False, **quiet).returncode
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{kind}-{fate} {code}\n".encode())
    os.close(handle)
    return int(code) if fate == "slow" else 128


def _dying_receive_pack(after: float, hub: str) -> int:
    """The far side of a push: killed after so many seconds, wherever it stands."""
    child = subprocess.Popen(["git", "receive-pack", hub])
    with suppress(subprocess.TimeoutExpired):
        return child.wait(after)
    child.kill()
    return child.wait()


def write_wrapper(path: Path, real: str, log: Path, percent: int) -> Path:
    """Write an executable that cuts so many of a hundred pushes and fetches.

    A shell decides, by its process number, so that all other calls cost next to nothing.
    """
    path.write_text(
        f"""#!/bin/sh
case " $* " in
*" push "*|*" fetch "*)
  if [ $(($$ * 7919 % 100)) -lt {percent} ]; then
    exec '{sys.executable}' -I '{__file__}' '{real}' '{log}' "$@"
  fi;;
esac
exec '{real}' "$@"
"""
    )
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    sys.exit(main())

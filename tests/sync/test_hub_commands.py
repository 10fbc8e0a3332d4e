"""The commands with a hub over ssh, as a new user meets them: init, its stops, doctor, run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from realservers import make_key, sshd


def command(side: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", f"nightdesk.{side}_agent.cli", *words],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


def doctor(side: str, config: Path, code: int = 0) -> dict[str, dict[str, Any]]:
    said = json.loads(command(side, "doctor", "--json", "--config", str(config), code=code).stdout)
    return {check["name"]: check for check in said["checks"]}


@pytest.mark.timeout(300)
@pytest.mark.requirement("FR-015")
def test_a_new_user_comes_from_nothing_to_two_halves_over_ssh(tmp_path: Path) -> None:
    with sshd(tmp_path, with_hub=False) as server:
        local, cloud = tmp_path / "local.toml", tmp_path / "cloud.toml"
        known = {side: tmp_path / f"{side}.toml.state/known_hosts" for side in ("local", "cloud")}
        first = ["init", "--non-interactive", "--config", str(local), "--hub", server.url,
                 "--vault", str(tmp_path / "local"), "--smtp", "none"]  # fmt: skip
        # 1. The host is not known; the remedy is a command that can be pasted.
        said = command("local", *first, code=1).stderr
        assert "host key is not known here yet" in said
        subprocess.run(re.findall(r"`(ssh-keyscan .*?)`", said)[0], shell=True, check=True,
                       capture_output=True)  # fmt: skip
        # 2. The key is not known; the message holds the line that the hub needs.
        said = command("local", *first, code=1).stderr
        assert "the hub refuses our key" in said
        owner = tmp_path / "owner.pub"
        owner.write_text(re.findall(r"ssh-ed25519 \S+ local", said)[0] + "\n")
        made = command("cloud", "init", "--hub-only", str(server.hub), "--owner-key", str(owner))
        lines = [line for line in made.stdout.splitlines() if line.startswith("restrict,")]
        assert len(lines) == 1
        server.keys.write_text(lines[0] + "\n")
        # 3. It works, and the cloud is let in the same way.
        command("local", *first)
        second = ["init", "--non-interactive", "--config", str(cloud), "--hub", server.url,
                  "--vault", str(tmp_path / "cloud"), "--trust-local", str(owner)]  # fmt: skip
        known["cloud"].parent.mkdir(mode=0o700)
        known["cloud"].write_text(server.known())
        key = tmp_path / "cloud.pub"
        key.write_text(make_key(known["cloud"].with_name("signing_key"), "cloud"))
        made = command("cloud", "init", "--hub-only", str(server.hub), "--agent-key", str(key))
        lines = [line for line in made.stdout.splitlines() if line.startswith("restrict,")]
        assert len(lines) == 2
        server.keys.write_text("".join(f"{line}\n" for line in lines))
        command("cloud", *second)
        assert doctor("local", local)["cloud's key"]["ok"] is None
        command("local", "init", "--config", str(local), "--trust-cloud", str(key))
        assert doctor("local", local)["cloud's key"]["ok"] is True

        found = doctor("cloud", cloud)
        assert found["hub"]["ok"] is True
        assert "our key is accepted" in found["hub"]["detail"]
        assert "held connection" in found["hub's notices"]["detail"]
        assert "no held" not in found["hub's notices"]["detail"]
        known["cloud"].write_text("")
        broken = doctor("cloud", cloud, code=1)["hub"]
        assert broken["ok"] is False
        assert "not known here yet" in broken["detail"]
        assert "ssh-keyscan" in broken["remedy"]
        known["cloud"].write_text(server.known())

        # 4. The daemons; a note goes over without waiting for the poll of 15 s.
        running = [
            subprocess.Popen(
                [sys.executable, "-m", f"nightdesk.{side}_agent.cli", "run", "--config", str(file)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for side, file in (("local", local), ("cloud", cloud))
        ]  # fmt: skip
        try:
            sockets = [tmp_path / f"{side}.toml.state/ssh/hub" for side in ("local", "cloud")]
            if all(len(os.fsencode(s)) <= 85 for s in sockets):
                wait_for_all(sockets)
            note = tmp_path / "cloud/Inbox/hello.md"
            note.parent.mkdir(exist_ok=True)
            note.write_text("hello\n")
            wait_for_all([tmp_path / "local/Inbox/hello.md"])
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                assert process.wait(30) == 0


def wait_for_all(files: list[Path], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not all(file.exists() for file in files):
        assert time.monotonic() < end, [str(f) for f in files if not f.exists()]
        time.sleep(0.05)

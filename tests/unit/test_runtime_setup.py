"""Set-up: the configuration is checked before it is written, and never overwritten."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nightdesk import config
from nightdesk.errors import ConfigError
from nightdesk.policy import Role
from nightdesk.runtime.setup import trust, write_config
from nightdesk.sync.signing import KEY_FILE, signing_key

VALUES = {"name": "local", "vault": Path("/v"), "hub": {"url": "/h.git"}, "email": {"smtp": ""}}


def test_the_written_configuration_reads_back_and_is_private(tmp_path: Path) -> None:
    """Empty values are left out; the file is the user's alone."""
    file = tmp_path / "local.toml"
    write_config(file, VALUES, "one\ntwo")
    assert config.load(file).vault == Path("/v")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("# one\n# two\n")


def test_an_existing_configuration_is_never_overwritten(tmp_path: Path) -> None:
    """A second init cannot lose what the user wrote."""
    file = tmp_path / "local.toml"
    write_config(file, VALUES, "x")
    with pytest.raises(ConfigError):
        write_config(file, VALUES | {"name": "other"}, "x")
    assert config.load(file).name == "local"


def test_trust_is_added_once_and_keeps_the_rest(tmp_path: Path) -> None:
    """Keys may come later and more than once; comments and tables survive."""
    file, key = tmp_path / "local.toml", tmp_path / "cloud.pub"
    write_config(file, VALUES, "a comment")
    line = str(signing_key(tmp_path / "state", "cloud"))
    key.write_text(line + "\n")
    other = tmp_path / "other.pub"
    other.write_text(str(signing_key(tmp_path / "state2", "phone")))
    trust(file, "cloud", [key])
    trust(file, "cloud", [key, other])
    trust(file, "devices", [other])
    trusted = config.load(file).trusted
    assert (trusted.cloud, trusted.devices) == ([line, other.read_text()], [other.read_text()])
    assert config.load(file).hub.url == "/h.git"
    assert "# a comment" in file.read_text()


@pytest.mark.parametrize("text", ["", "ssh-rsa AAAA x", "-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_what_is_no_public_key_is_refused(tmp_path: Path, text: str) -> None:
    """A private key pasted by mistake is not put into the configuration."""
    file, key = tmp_path / "local.toml", tmp_path / "k"
    write_config(file, VALUES, "x")
    key.write_text(text)
    with pytest.raises(ConfigError):
        trust(file, "cloud", [key])
    assert config.load(file).trusted.cloud == []


def test_the_signing_key_is_made_once_and_private(tmp_path: Path) -> None:
    """The same line each time, and one that ssh itself reads."""
    line = str(signing_key(tmp_path, "cloud"))
    assert str(signing_key(tmp_path, "cloud")) == line
    assert line.startswith("ssh-ed25519 ")
    assert line.endswith(" cloud")
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("role", list(Role))
def test_wrong_use_ends_with_code_2(role: Role) -> None:
    """An unknown option or a missing answer is wrong use, not a failure."""
    for words in (["--nonsense"], ["init", "--non-interactive"], ["mcp", "nonsense"]):
        done = subprocess.run(
            [sys.executable, "-m", f"nightdesk.{role}_agent.cli", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2, (words, done.stderr)


@pytest.mark.parametrize("role", list(Role))
def test_no_configuration_is_code_3_with_the_remedy(role: Role) -> None:
    """The first thing a new user meets says what to do."""
    done = subprocess.run(
        [sys.executable, "-m", f"nightdesk.{role}_agent.cli", "status"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "init" in done.stderr

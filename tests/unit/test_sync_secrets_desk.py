"""What an agent arms its guard with, what may be released, and what `status` and `doctor` tell."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nightdesk.cloud_agent import cli as cloud
from nightdesk.config import held_credentials, load
from nightdesk.errors import ConfigError
from nightdesk.local_agent import cli as local
from nightdesk.mcp_servers.receipts import Receipts
from nightdesk.policy import Role
from nightdesk.runtime.command import Desk
from nightdesk.runtime.desk import guard_for, own_secrets
from nightdesk.runtime.doctor import shared_checks
from nightdesk.sync.canary import CANARY_FILE, canary
from nightdesk.sync.engine import create_root
from nightdesk.sync.entries import HeldBack
from nightdesk.sync.held_back import HeldBackFile, read_held_back
from nightdesk.sync.signing import KEY_FILE, private_seed, signing_key

CONFIG = """name = "{role}"
role = "{role}"
vault = "{vault}"
[hub]
url = "{hub}"
[sync]
{sync}
"""


def desk_of(root: Path, sync: str = "", role: Role = Role.LOCAL) -> Desk:
    file = root / f"{role}.toml"
    (root / "vault").mkdir(exist_ok=True)
    text = CONFIG.format(role=role, vault=root / "vault", hub=root / "hub.git", sync=sync)
    file.write_text(text)
    state = root / f"{role}.toml.state"
    state.mkdir(mode=0o700, exist_ok=True)
    return Desk(role, load(file), file, state)


@pytest.mark.requirement("FR-007")
def test_everything_that_can_be_found_is_guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd's folder, the environment, the keyring, the agent's keys; each in another form."""
    import keyring

    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "bank_pin").write_text("from-the-folder\n")
    google = {"installed": {"client_id": "not-a-secret", "client_secret": "of-the-client"}}
    (folder / "google").write_text(json.dumps(google))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    monkeypatch.setenv("NIGHTDESK_ODOO_PASSWORD", "from-the-environment")
    monkeypatch.setenv("NIGHTDESK_CONFIG", "/etc/nightdesk.toml")
    stored = {"smtp_password": "from-the-keyring"}
    monkeypatch.setattr(keyring, "get_password", lambda service, name: stored.get(name))
    desk = desk_of(tmp_path)
    public = str(signing_key(desk.state, "local"))
    guard = guard_for(desk)
    for name, text in [
        ("bank_pin", "from-the-folder"), ("google: client_secret", "of-the-client"),
        ("odoo_password", "from-the-environment"), ("smtp_password", "from-the-keyring"),
    ]:  # fmt: skip
        hit = guard.check("n.md", b"\n" + base64.b64encode(b"x" + text.encode()))
        assert hit is not None, name
        assert f"`{name}`" in hit.reason
        assert hit.line == 2
    for text in ("not-a-secret", "/etc/nightdesk.toml", public):
        assert guard.check("n.md", text.encode()) is None
    key_file = (desk.state / KEY_FILE).read_bytes()
    own = [line for line in key_file.splitlines() if not line.startswith(b"-")]
    hit = guard.check("n.md", b"\n".join(own))
    assert hit is not None
    assert "signing key" in hit.reason
    seed = private_seed(desk.state)
    assert seed
    assert guard.check("n.md", seed.hex(":").encode())
    hit = guard.check("n.md", base64.b64encode(Receipts(desk.state).secret()))
    assert hit is not None
    assert "receipts" in hit.reason
    hit = guard.check("n.md", (desk.state / CANARY_FILE).read_bytes())
    assert hit is not None
    assert "canary" in hit.reason


def test_two_values_of_one_name_are_both_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is not used may open the account as well."""
    (tmp_path / "smtp_password").write_text("one-value")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("NIGHTDESK_SMTP_PASSWORD", "another-value")
    assert set(held_credentials(["smtp_password"]).values()) == {"one-value", "another-value"}


def test_a_damaged_receipt_key_does_not_stop_the_guard(tmp_path: Path) -> None:
    """The executor says so when it wants to sign."""
    (tmp_path / "receipt.key").write_bytes(b"x")
    assert own_secrets(Role.LOCAL, tmp_path) == []
    assert not (tmp_path / "nothing").exists()
    assert own_secrets(Role.CLOUD, tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("path", "why"),
    [("Notes/*.md", "pattern"), ("Notes/?.md", "pattern"), ("/Notes/x.md", "no path"),
     ("../x.md", "no path"), ("Notes//x.md", "no path"), ("Notes\\\\x.md", "no path"),
     (".env", "never released"), ("banking/x.md", "never released"), ("a/token.json", "rename"),
     ("Notes/.obsidian/x", "never released"), ("x.session", "never released"),
     ("Needs_Action/WhatsApp/x.md", "never released"), ("k.pem", "never released")],
)  # fmt: skip
def test_what_is_never_released_is_refused_with_the_remedy(
    tmp_path: Path, path: str, why: str
) -> None:
    """A pattern would free notes that nobody has looked at."""
    with pytest.raises(ConfigError, match=why):
        guard_for(desk_of(tmp_path, f'release = ["{path}"]'))


def test_a_released_path_is_taken_over(tmp_path: Path) -> None:
    """One line in the configuration, as the message said it."""
    token = b"ghp_" + b"a1B2" * 9
    first = guard_for(desk_of(tmp_path))
    hit = first.check('Notes/"api" ü.md', token)
    assert hit is not None
    line = hit.reason.partition("write ")[2].partition(" under")[0]
    second = guard_for(desk_of(tmp_path, line))
    assert second.check('Notes/"api" ü.md', token) is None
    assert second.check("Notes/other.md", token)


@pytest.mark.parametrize("role", list(Role))
def test_status_tells_what_is_held_back_also_without_a_daemon(tmp_path: Path, role: Role) -> None:
    """As text and as JSON, with the line and what to do."""
    desk = desk_of(tmp_path, role=role)
    held = [HeldBack("Notes/a.md", "it holds x; to let it out, write y", 3), HeldBack("b.md", "z")]
    HeldBackFile(desk.state).keep(held)
    app = {Role.LOCAL: local.app, Role.CLOUD: cloud.app}[role]
    words = ["status", "--config", str(desk.config_file)]
    text = CliRunner().invoke(app, words).stdout
    assert "held back: 2\n  Notes/a.md, line 3: it holds x; to let it out, write y\n" in text
    assert "  b.md: z\n" in text
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["held_back"][0] == {"where": "Notes/a.md", "line": 3, "what": held[0].reason}
    assert found["running"] is False


def test_the_list_on_disk_is_written_when_it_changes_and_read_whatever_it_is(
    tmp_path: Path,
) -> None:
    """A damaged file is an empty list: the next cycle writes it again."""
    file, kept = tmp_path / "held-back.json", HeldBackFile(tmp_path)
    kept.keep([HeldBack("a", "b", 1)])
    before = file.stat().st_mtime_ns, file.stat().st_ino
    kept.keep([HeldBack("a", "b", 1)])
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before
    kept.keep([])
    assert read_held_back(tmp_path) == []
    for damage in ("", "[1]", '[{"path": 1}]', "{"):
        file.write_text(damage)
        assert read_held_back(tmp_path) == []


def test_doctor_names_short_credentials_and_released_notes_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warnings, not failures; doctor itself plants nothing."""

    def check(desk: Desk) -> tuple[bool | None, str]:
        [found] = [c for c in shared_checks(desk) if c.name == "secrets"]
        return found.ok, found.detail

    assert check(desk_of(tmp_path))[0] is True
    assert not (tmp_path / "local.toml.state" / CANARY_FILE).exists()
    ok, detail = check(desk_of(tmp_path, 'release = ["Notes/gone.md"]'))
    assert ok is None
    assert "Notes/gone.md" in detail
    monkeypatch.setenv("NIGHTDESK_BANK_PIN", "12345")
    ok, detail = check(desk_of(tmp_path))
    assert ok is None
    assert "bank_pin" in detail
    assert check(desk_of(tmp_path, 'release = ["banking/x.md"]'))[0] is False


@pytest.mark.parametrize("role", list(Role))
def test_init_plants_a_canary(tmp_path: Path, role: Role) -> None:
    """And an existing state folder gets one when the agent starts."""
    file = tmp_path / f"{role}.toml"
    hub = str(tmp_path / "hub.git")
    words = ["init", "--config", str(file), "--vault", str(tmp_path / "vault"), "--hub", hub]
    words += ["--address", "none", "--non-interactive"]
    if role is Role.LOCAL:
        words += ["--smtp", "none"]
    else:
        template = tmp_path / "template"
        template.mkdir()
        (template / "Handbook.md").write_text("x\n")
        create_root(tmp_path / "first", hub, tmp_path / "first-state", "local", template)
    done = CliRunner().invoke({Role.LOCAL: local.app, Role.CLOUD: cloud.app}[role], words)
    assert done.exit_code == 0, done.output
    planted = tmp_path / f"{role}.toml.state" / CANARY_FILE
    first = planted.read_bytes()
    planted.unlink()
    guard_for(Desk(role, load(file), file, planted.parent))
    assert planted.read_bytes() != first


def test_a_broken_canary_is_told(tmp_path: Path) -> None:
    """An empty one would hold everything back, or nothing."""
    (tmp_path / CANARY_FILE).write_text("")
    with pytest.raises(ConfigError, match="canary"):
        canary(tmp_path)

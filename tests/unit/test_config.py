"""Configuration: every mistake names file and key; credentials never come from the TOML."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from nightdesk.config import config_path, credential, load, parse, state_path
from nightdesk.errors import ConfigError
from nightdesk.policy import Role

GOOD = """
name = "cloud"
vault = "/srv/vault"

[hub]
url = "/srv/hub.git"
"""


def refused(tmp_path: Path, text: str | bytes) -> ConfigError:
    file = tmp_path / "cloud.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.where == str(file)
    assert caught.value.remedy
    assert caught.value.exit_code == 3
    return caught.value


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("\ufeff" + GOOD, "utf-8")  # as a Windows editor saves it
    settings = load(file)
    assert (settings.name, settings.vault, settings.hub.url) == (
        "cloud",
        Path("/srv/vault"),
        "/srv/hub.git",
    )
    assert settings.model.provider == "outline"
    assert settings.approval.hold_seconds == 5.0


def test_everything_can_be_said(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        """
name = "local"
vault = "~/Vault"

[hub]
url = "ssh://desk@vm/srv/hub.git"
poll_seconds = 5
[email]
address = "me@example.com"
name = "Jürgen Müller"
aliases = ["jm@example.com"]
maildir = "~/Mail/inbox"
smtp = "smtp.example.com:587"
smtp_user = "me"
[model]
provider = "anthropic"
name = "claude-sonnet-4-5"
[approval]
quiet_seconds = 0
hold_seconds = 0
[sync]
max_deletions = 10
[trusted]
cloud = ["ssh-ed25519 AAAA cloud"]
"""
    )
    settings = load(file)
    assert settings.vault == Path.home() / "Vault"
    assert settings.email.maildir == Path.home() / "Mail/inbox"
    assert settings.hub.poll_seconds == 5.0


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('name = "cloud"', 'name = "cloud"\ncolour = "blue"', "unknown key `colour`"),
        ("[hub]", "[hub]\nuri = 'x'", "unknown key `hub.uri`"),
        ("[hub]", "[email]\npassword = 'hunter2'\n[hub]", "unknown key `email.password`"),
        ("[hub]", "[emial]\naddress = 'x'\n[hub]", "unknown key `emial`"),
        ('name = "cloud"', "", "`name`"),
        ('name = "cloud"', 'name = "Cloud"', "`name`"),
        ('name = "cloud"', 'name = "../x"', "`name`"),
        ('name = "cloud"', "name = 5", "`name`"),
        ('vault = "/srv/vault"', 'vault = "vault"', "`vault`: must be an absolute path"),
        ('vault = "/srv/vault"', "vault = 5", "`vault`"),
        ('vault = "/srv/vault"', "", "`vault`"),
        ('url = "/srv/hub.git"', 'url = ""', "`hub.url`"),
        ('url = "/srv/hub.git"', "", "`hub.url`"),
        ("[hub]", "[hub]\npoll_seconds = 0", "`hub.poll_seconds`"),
        ("[hub]", "[hub]\npoll_seconds = 'often'", "`hub.poll_seconds`"),
        ("[hub]", "[hub]\npoll_seconds = nan", "`hub.poll_seconds`"),
        ("[hub]", "[approval]\nexpire_hours = inf\n[hub]", "`approval.expire_hours`"),
        ("[hub]", "[approval]\nexpire_hours = 1e300\n[hub]", "`approval.expire_hours`"),
        ("[hub]", "[sync]\nmax_deletions = 0\n[hub]", "`sync.max_deletions`"),
        ("[hub]", "[email]\nsmtp = 'smtp.example.com'\n[hub]", "`email.smtp`"),
        ("[hub]", "[email]\nsmtp = 'smtp.example.com:99999'\n[hub]", "`email.smtp`"),
        ("[hub]", "[email]\nsmtp = 'smtp://x:25'\n[hub]", "`email.smtp`"),
        ("[hub]", "[email]\naddress = 'Me <me@example.com>'\n[hub]", "`email.address`"),
        ("[hub]", "[email]\naliases = 'me@example.com'\n[hub]", "`email.aliases`"),
        ("[hub]", "[email]\naliases = ['me']\n[hub]", "`email.aliases.0`"),
        ("[hub]", "[email]\nmaildir = 'Mail'\n[hub]", "`email.maildir`"),
        ("[hub]", "[model]\nprovider = 'gpt'\n[hub]", "`model.provider`"),
        ("[hub]", "hub = 5\n[other]", "`hub`"),
    ],
)
def test_a_wrong_value_names_its_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    assert old in GOOD
    error = refused(tmp_path, GOOD.replace(old, new))
    assert key in error.what
    assert "docs/configuration.md" in error.remedy
    assert "hunter2" not in str(error)
    assert "Value error" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "name = ",
        "name = 'a'\nname = 'b'",
        "[hub\n",
        "a = " + "[" * 5000,
        "day = 2026-02-30",
        "not toml at all",
        "name = 'a\x00'",
    ],
    ids=lambda text: text[:12],
)
def test_broken_toml_is_named(tmp_path: Path, text: str) -> None:
    assert "not valid TOML" in refused(tmp_path, text).what


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path, "name = 'Jürgen'".encode("latin-1")).what
    with pytest.raises(ConfigError, match="no configuration yet") as caught:
        load(tmp_path / "none.toml")
    assert "init" in caught.value.remedy
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_an_ipv6_address_and_a_port_are_a_server() -> None:
    values = {"name": "x", "vault": "/v", "hub": {"url": "h"}, "email": {"smtp": "[::1]:2525"}}
    assert parse(values, "x").email.smtp == "[::1]:2525"


# --- where things lie -------------------------------------------------------------------------


def test_config_path_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_path(Role.CLOUD) == Path.home() / ".config/nightdesk/cloud.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path(Role.LOCAL) == tmp_path / "nightdesk/local.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # the XDG specification says: ignore
    assert config_path(Role.LOCAL) == Path.home() / ".config/nightdesk/local.toml"
    monkeypatch.setenv("NIGHTDESK_CONFIG", "~/desk.toml")
    assert config_path(Role.LOCAL) == Path.home() / "desk.toml"
    assert config_path(Role.LOCAL, Path("given.toml")) == Path("given.toml")


def test_state_path_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = config_path(Role.LOCAL)
    assert state_path(Role.LOCAL, usual) == Path.home() / ".local/state/nightdesk/local"
    assert state_path(Role.LOCAL, tmp_path / "a.toml") == tmp_path / "a.toml.state"
    # Two desks never share a journal, wherever their files lie.
    assert state_path(Role.LOCAL, usual.with_name("second.toml")) != state_path(Role.LOCAL, usual)
    monkeypatch.chdir(tmp_path)
    assert state_path(Role.LOCAL, Path("a.toml")) == tmp_path / "a.toml.state"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert state_path(Role.CLOUD, config_path(Role.CLOUD)) == tmp_path / "state/nightdesk/cloud"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/nightdesk:/var/lib/other")
    assert state_path(Role.LOCAL, tmp_path / "a.toml") == Path("/var/lib/nightdesk")


# --- credentials ----------------------------------------------------------------------------


@pytest.fixture
def keyring_with(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A keyring of our own in the place of the machine's."""
    stored: dict[str, str] = {}
    fake = types.ModuleType("keyring")
    fake_errors = types.ModuleType("keyring.errors")

    class KeyringError(Exception):
        pass

    def get_password(service: str, name: str) -> str | None:
        assert service == "nightdesk"
        if name == "locked":
            raise KeyringError
        return stored.get(name)

    vars(fake)["get_password"] = get_password
    vars(fake_errors)["KeyringError"] = KeyringError
    monkeypatch.setitem(sys.modules, "keyring", fake)
    monkeypatch.setitem(sys.modules, "keyring.errors", fake_errors)
    return stored


def test_credentials_are_looked_up_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyring_with: dict[str, str]
) -> None:
    assert credential("smtp_password") is None
    keyring_with["smtp_password"] = "from the keyring"
    assert credential("smtp_password") == "from the keyring"
    monkeypatch.setenv("NIGHTDESK_SMTP_PASSWORD", "from the environment")
    assert credential("smtp_password") == "from the environment"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert credential("smtp_password") == "from the environment"
    (tmp_path / "smtp_password").write_text(" from systemd \r\n")
    assert credential("smtp_password") == " from systemd "
    # An empty one is none: the next place is asked.
    (tmp_path / "smtp_password").write_text("\n")
    assert credential("smtp_password") == "from the environment"
    monkeypatch.setenv("NIGHTDESK_SMTP_PASSWORD", "")
    assert credential("smtp_password") == "from the keyring"
    assert credential("locked") is None


def test_a_dash_is_an_underscore_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTDESK_MY_KEY", "x")
    assert credential("my-key") == "x"


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", ".env", "a b", "-x", "1x", "a.b", "ä", "x" * 65, "a\n"]
)
def test_a_credential_name_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path.parent / "x").write_text("secret")
    with pytest.raises(ConfigError, match="no credential name"):
        credential(name)


def test_an_unreadable_credential_is_named_and_never_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "key").write_bytes(b"hunter2\xff")
    with pytest.raises(ConfigError) as caught:
        credential("key")
    assert caught.value.where == str(tmp_path / "key")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError):
        credential("folder")


@pytest.mark.parametrize(
    ("hub", "word"),
    [
        ({"url": "ssh://h/x.git", "user": "me"}, "for https"),
        ({"url": "/srv/h.git", "proxy": "http://p:1"}, "for https"),
        ({"url": "https://h/x.git", "user": "me:pw"}, "hub.user"),
        ({"url": "https://h/x.git", "user": "me\nX: y"}, "hub.user"),
        ({"url": "https://h/x.git", "ca_file": "ca.pem"}, "absolute"),
        ({"url": "https://h/x.git", "proxy": "http://me:pw@p:1"}, "hub.proxy"),
        ({"url": "https://h/x.git", "password": "pw"}, "unknown key"),
    ],
)
def test_a_hubs_login_is_checked_and_its_password_is_no_setting(
    hub: dict[str, str], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        parse({"name": "cloud", "vault": "/srv/vault", "hub": hub}, "x.toml")
    good = {"url": "https://h/x.git", "user": "me", "ca_file": "/ca.pem", "proxy": "http://p:1"}
    assert parse({"name": "cloud", "vault": "/v", "hub": good}, "x.toml").hub.user == "me"

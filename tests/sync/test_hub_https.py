"""A hub behind https: nginx and git-http-backend, a login, and an authority of its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from realservers import Https, https
from twovaults import SETTINGS

import nightdesk.sync.process as processes
from nightdesk.config import HubSettings
from nightdesk.errors import ConfigError, HubUnreachable
from nightdesk.policy import Role
from nightdesk.sync.access import Access, access_for
from nightdesk.sync.engine import Engine, create_root, join
from nightdesk.sync.outside import probe_hub
from nightdesk.sync.process import run
from nightdesk.sync.signers import Trust
from nightdesk.sync.signing import signing_key


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Https]:
    with https(tmp_path_factory.mktemp("web")) as made:
        yield made


@pytest.fixture
def access(web: Https, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    monkeypatch.setenv("NIGHTDESK_HUB_PASSWORD", web.password)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return access_for(HubSettings(url=web.url, user=web.user, ca_file=web.ca), state, "cloud")


def fault(access: Access) -> HubUnreachable:
    with pytest.raises(HubUnreachable) as caught:
        probe_hub(access)
    return caught.value


@pytest.mark.requirement("FR-015")
def test_two_vaults_meet_in_a_hub_over_https(web: Https, access: Access, tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    (template / "Handbook.md").write_text("# Handbook\n")
    engines = {}
    keys = {}
    for role in Role:
        (tmp_path / f"{role}-state").mkdir()
        keys[role] = signing_key(tmp_path / f"{role}-state", str(role))
    trust = Trust(owner=(keys[Role.LOCAL],), cloud=(keys[Role.CLOUD],))
    for role in (Role.LOCAL, Role.CLOUD):
        vault, state = tmp_path / f"{role}-vault", tmp_path / f"{role}-state"
        opened = replace(access, state=state)
        if role is Role.LOCAL:
            create_root(vault, web.url, state, "local", template, access=opened)
        else:
            join(vault, web.url, state, "cloud", access=opened)
        engines[role] = Engine(
            vault, web.url, state, role, str(role), SETTINGS, access=opened, trust=trust
        )
        engines[role].open()
    try:
        task = tmp_path / "local-vault/Needs_Action/email/one.md"
        task.parent.mkdir(parents=True, exist_ok=True)
        task.write_text("---\nid: one\ntype: task\nzone: email\n---\n# One\n")
        assert not engines[Role.LOCAL].cycle().offline
        assert not engines[Role.CLOUD].cycle().offline
        claimed = engines[Role.CLOUD].claim(["Needs_Action/email/one.md"])
        assert claimed == ["In_Progress/cloud/one.md"]
        assert not engines[Role.LOCAL].cycle().offline
        assert not task.exists()
        assert (tmp_path / "local-vault" / claimed[0]).exists()
    finally:
        for engine in engines.values():
            engine.close()
    # The login is in no file of either side.
    secret = web.password.encode()
    coded = access.environment()["GIT_CONFIG_VALUE_5"].rsplit(" ", 1)[1].encode()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert secret not in data, file
            assert coded not in data, file


def test_the_login_stands_in_no_argument_list(
    access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Looked at from outside: what every process that git starts shows to the whole machine."""
    seen: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    try:
                        seen.add(Path(f"/proc/{entry}/cmdline").read_bytes())
                    except OSError:
                        continue

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(3):
            probe_hub(access)
    finally:
        stop.set()
        looking.join()
    ours = [line for line in seen if access.url.encode() in line]
    assert any(b"git-remote-https" in line or b"remote-https" in line for line in ours)
    coded = access.environment()["GIT_CONFIG_VALUE_5"].rsplit(" ", 1)[1].encode()
    assert not any(coded in line or access.password.encode() in line for line in seen)


@pytest.mark.requirement("FR-015")
@pytest.mark.parametrize("trusted", ["other_ca", None])
def test_a_certificate_of_another_authority_is_refused(
    web: Https, access: Access, trusted: str | None
) -> None:
    found = fault(replace(access, ca_file=getattr(web, trusted) if trusted else None))
    assert found.what == "the hub's certificate is not trusted"
    assert "ca_file" in found.remedy or str(web.other_ca) in found.remedy


def test_a_certificate_of_another_name_is_refused(web: Https, access: Access) -> None:
    found = fault(replace(access, url=web.url.replace("localhost", "127.0.0.1")))
    assert found.what == "the hub's certificate is not trusted"


def test_a_wrong_password_and_no_login_are_told_with_the_remedy(access: Access) -> None:
    wrong = fault(replace(access, password="wrong"))
    assert wrong.what == "the hub refuses our login"
    assert "hub_password" in wrong.remedy
    assert "wrong" not in str(wrong)
    nobody = fault(replace(access, user=""))
    assert nobody.what == "the hub refuses our login"
    assert "Set `user`" in nobody.remedy


@pytest.mark.requirement("FR-015")
def test_a_redirect_is_refused_even_to_the_same_host(web: Https, access: Access) -> None:
    moved = fault(replace(access, url=web.moved))
    assert "sends us to another address" in moved.what
    assert moved.remedy


def test_a_repository_that_is_not_there_is_told(web: Https, access: Access) -> None:
    found = fault(replace(access, url=web.url.replace("hub.git", "hob.git")))
    assert found.what == "there is no repository at the hub's address"


@pytest.mark.requirement("FR-015")
def test_the_vaults_own_git_configuration_weakens_nothing(
    web: Https, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, ["init", "-q", "."], environment={})
    helper = tmp_path / "asked"
    for key, value in (
        ("http.sslVerify", "false"),
        (f"http.{web.url}.sslVerify", "false"),
        (f"http.{web.moved}.followRedirects", "true"),
        ("http.proxy", "http://127.0.0.1:9"),
        (f"credential.{web.url}.helper", f"!touch {helper}; :"),
        ("credential.helper", f"!touch {helper}; :"),
        (f"http.{web.url}.extraHeader", "Authorization: Basic eDp5"),
    ):
        run(tmp_path, ["config", key, value], environment={})
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")

    def look(access: Access) -> processes.Result:
        return run(tmp_path, ["ls-remote", "--", access.url],
                   environment=access.environment(), protocols=("https",))  # fmt: skip

    assert look(access).code == 0
    assert "certificate" in look(replace(access, ca_file=web.other_ca)).err
    assert look(replace(access, url=web.moved)).code != 0
    assert look(replace(access, password="wrong")).code != 0
    assert not helper.exists()


def test_a_hub_that_says_nothing_is_left_when_the_agent_shall_stop(access: Access) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        hole = replace(access, url=f"https://localhost:{port}/h.git")
        started = time.monotonic()
        result = run(access.state, ["ls-remote", "--", hole.url], environment=hole.environment(),
                     protocols=("https",), timeout=1.0)  # fmt: skip
    assert result.timed_out
    assert time.monotonic() - started < 8


def test_a_missing_password_or_certificate_is_told_before_anything_is_tried(
    web: Https, access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert access.password not in repr(access)
    with pytest.raises(ConfigError, match="certificate authority is not there"):
        replace(access, ca_file=tmp_path / "none.pem").environment()
    monkeypatch.delenv("NIGHTDESK_HUB_PASSWORD")
    with pytest.raises(ConfigError, match="wants the password of cloud") as caught:
        access_for(HubSettings(url=web.url, user="cloud"), tmp_path, "cloud")
    assert "keyring set nightdesk hub_password" in caught.value.remedy

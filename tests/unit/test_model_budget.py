"""Settings that are safe, and a budget that ends with the UTC day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from fake_model_servers import openai_tool, serve
from nightdesk.config import ModelSettings
from nightdesk.errors import ConfigError
from nightdesk.skills.manifest import load_skill, skills_root
from nightdesk.skills.model import OutlineModel, check_base_url, make_model
from nightdesk.skills.outputs import EmailDraft
from nightdesk.skills.usage import Day, Usage

SKILL = load_skill(skills_root() / "cloud-draft-email")
DRAFT = {"body": "Yes."}
MATERIAL: Mapping[str, str] = {"mail": "Is it?"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("NIGHTDESK_OPENAI_API_KEY", "k")


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def openai(url: str, daily: int) -> ModelSettings:
    return ModelSettings(provider="openai", name="m", base_url=f"{url}/v1", daily_tokens=daily)


def test_the_outline_takes_over_when_the_day_is_spent_and_the_next_day_begins(
    tmp_path: Path,
) -> None:
    clock = Clock(datetime(2026, 11, 23, 22, 59, tzinfo=UTC))
    with serve(openai_tool(DRAFT)) as server:
        model = make_model(openai(server.url, 151), tmp_path, clock=clock)
        assert model.ask(SKILL, MATERIAL, EmailDraft).model == "openai:m"  # 150 tokens
        assert model.ask(SKILL, MATERIAL, EmailDraft).model == "openai:m"  # one was left
        spent = model.ask(SKILL, MATERIAL, EmailDraft)
        assert len(server.requests) == 2
        assert spent.model == "outline"
        assert "today's budget of 151 tokens is used up" in spent.note
        assert spent.output.body != "Yes."
        # A restart does not forget it; one hour later in Berlin it is the 24th, in UTC not yet.
        clock.now = datetime(2026, 11, 24, 0, 30, tzinfo=timezone(timedelta(hours=1)))
        model = make_model(openai(server.url, 151), tmp_path, clock=clock)
        assert model.ask(SKILL, MATERIAL, EmailDraft).model == "outline"
        clock.now = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
        assert model.ask(SKILL, MATERIAL, EmailDraft).model == "openai:m"
        assert len(server.requests) == 3
    assert json.loads((tmp_path / "model-usage.json").read_text()) == {
        "2026-11-23": {"calls": 2, "tokens_in": 240, "tokens_out": 60},
        "2026-11-24": {"calls": 1, "tokens_in": 120, "tokens_out": 30},
    }


def test_a_budget_of_nothing_asks_nobody(tmp_path: Path) -> None:
    with serve(openai_tool(DRAFT)) as server:
        answer = make_model(openai(server.url, 0), tmp_path).ask(SKILL, MATERIAL, EmailDraft)
        assert server.requests == []
    assert answer.model == "outline"


def test_a_broken_record_is_kept_and_counting_goes_on(tmp_path: Path) -> None:
    usage = Usage(tmp_path, Clock(datetime(2026, 11, 23, tzinfo=UTC)))
    usage.path.write_text('{"2026-11-23": {"calls": -1}}')
    assert usage.today() == Day()
    usage.record(tokens_in=1, tokens_out=2)
    assert usage.today() == Day(calls=1, tokens_in=1, tokens_out=2)
    assert "-1" in (tmp_path / "model-usage.broken.json").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model-usage.broken.json",
        "model-usage.json",
    ]


def test_a_state_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    usage = Usage(tmp_path / "state", Clock(datetime(2026, 11, 23, tzinfo=UTC)))
    with pytest.raises(ConfigError, match="cannot be read or recorded"):
        usage.record(tokens_in=1, tokens_out=1)


def test_the_default_needs_nothing(tmp_path: Path) -> None:
    model = make_model(ModelSettings(), tmp_path)
    assert isinstance(model, OutlineModel)
    answer = model.ask(SKILL, MATERIAL, EmailDraft)
    assert (answer.model, answer.note, answer.tokens_in) == ("outline", "", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("FR-015")
@pytest.mark.parametrize(
    "url",
    [
        "http://models.example.com/v1",
        "http://192.168.1.5:11434/v1",
        "http://localhost.evil.example/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://127.0.0.1@evil.example/v1",
        "https://user:pass@models.example.com/v1",
        "ftp://127.0.0.1/v1",
        "file:///etc/passwd",
        "127.0.0.1:11434",
        "http://",
        "http://[::1",
        "https://models.example.com:port/v1",
        "",
    ],
)
def test_mail_text_goes_out_encrypted_or_stays_here(url: str, tmp_path: Path) -> None:
    settings = ModelSettings(provider="openai-compatible", name="m", base_url=url)
    with pytest.raises(ConfigError) as caught:
        make_model(settings, tmp_path)
    assert caught.value.remedy
    assert "pass" not in str(caught.value).replace("password", "").replace("passwd", "")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434/v1",
        "http://localhost:8080/v1",
        "http://[::1]:8080/v1",
        "https://models.example.com/v1",
    ],
)
def test_safe_addresses_pass(url: str) -> None:
    check_base_url(ModelSettings(provider="openai-compatible", name="m", base_url=url))


def test_plain_http_is_refused_for_the_named_providers_too() -> None:
    for provider in ("openai", "anthropic"):
        settings = ModelSettings.model_validate(
            {"provider": provider, "name": "m", "base_url": "http://proxy.example/v1"}
        )
        with pytest.raises(ConfigError, match="plain HTTP"):
            check_base_url(settings)


def test_a_missing_name_or_credential_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no model is named"):
        make_model(ModelSettings(provider="openai"), tmp_path)
    monkeypatch.setenv("NIGHTDESK_OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_API_KEY", "from somewhere else")
    with pytest.raises(ConfigError, match="credential openai_api_key is missing"):
        make_model(ModelSettings(provider="openai", name="m"), tmp_path)

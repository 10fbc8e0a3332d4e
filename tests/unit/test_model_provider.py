"""The real model library against loopback servers that speak the providers' protocols."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_model_servers import (
    FakeServer,
    Reply,
    Seen,
    anthropic_tool,
    openai_text,
    openai_tool,
    serve,
)
from nightdesk.config import ModelSettings
from nightdesk.errors import ConfigError, ModelUnavailable
from nightdesk.skills.manifest import load_skill, skills_root
from nightdesk.skills.model import Model, make_model, now_utc
from nightdesk.skills.outputs import EmailDraft, RequestPlan, only_named
from nightdesk.skills.provider import ProviderModel
from nightdesk.skills.usage import Usage

SKILL = load_skill(skills_root() / "cloud-draft-email")
PLANNER = load_skill(skills_root() / "plan-request")
DRAFT = {"body": "Hi Ada,\n\nit is […].\n\nGrace", "why": "It asks.", "gaps": ["the total"]}
MATERIAL = {
    "mail": "What is the total? CONFIDENTIAL-7",
    "handbook": "Be kind.",
    "sender_name": "Ada",
}
PROVIDERS = ("anthropic", "openai", "openai-compatible")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("NIGHTDESK_ANTHROPIC_API_KEY", "key-a")
    monkeypatch.setenv("NIGHTDESK_OPENAI_API_KEY", "key-o")
    monkeypatch.setenv("NIGHTDESK_OPENAI_COMPATIBLE_API_KEY", "")
    # The libraries' own variables must not redirect or pay for anything.
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/elsewhere")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "not-this-key")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)


def settings(provider: str, url: str, **more: Any) -> ModelSettings:
    base = url if provider == "anthropic" else f"{url}/v1"
    return ModelSettings.model_validate(
        {"provider": provider, "name": "some-model", "base_url": base} | more
    )


def bare(provider: str, server: FakeServer, state: Path, **more: Any) -> ProviderModel:
    """The provider without the outline behind it."""
    return ProviderModel(settings(provider, server.url, **more), "key", Usage(state, now_utc))


def tool_answer(provider: str, value: dict[str, Any]) -> Callable[[Seen], Reply]:
    return anthropic_tool(value) if provider == "anthropic" else openai_tool(value)


def failing(status: int, body: Any) -> Callable[[Seen], Reply]:
    return lambda _: (status, body)


@pytest.mark.parametrize(
    ("provider", "path", "key", "tokens"),
    [
        ("anthropic", "/v1/messages", "key-a", (100, 20)),
        ("openai", "/v1/chat/completions", "key-o", (120, 30)),
        ("openai-compatible", "/v1/chat/completions", "none", (120, 30)),
    ],
)
def test_a_draft_by_a_tool_call(
    provider: str, path: str, key: str, tokens: tuple[int, int], tmp_path: Path
) -> None:
    with serve(tool_answer(provider, DRAFT)) as server:
        model = make_model(settings(provider, server.url), tmp_path)
        answer = model.ask(SKILL, MATERIAL, EmailDraft)
    assert answer.output == EmailDraft.model_validate(DRAFT)
    assert answer.model == f"{provider}:some-model"
    assert (answer.tokens_in, answer.tokens_out) == tokens
    assert answer.note == ""
    (request,) = server.requests
    assert request.path == path
    sent_key = request.headers.get("x-api-key") or request.headers["authorization"]
    assert sent_key.removeprefix("Bearer ") == key
    assert request.body["model"] == "some-model"
    assert len(request.body["tools"]) == 1  # the answer's shape, and nothing that acts
    system, user = system_and_user(request)
    assert system.startswith(SKILL.instruction)
    assert "CONFIDENTIAL-7" not in system
    assert "CONFIDENTIAL-7" in user
    usage = json.loads((tmp_path / "model-usage.json").read_text())
    assert list(usage.values()) == [{"calls": 1, "tokens_in": tokens[0], "tokens_out": tokens[1]}]


def system_and_user(request: Seen) -> tuple[str, str]:
    messages = request.body["messages"]
    if "system" in request.body:
        return request.body["system"][0]["text"], messages[0]["content"][0]["text"]
    return messages[0]["content"], messages[-1]["content"]


def test_a_server_that_ignores_tools_is_asked_for_json(tmp_path: Path) -> None:
    fenced = "```json\n" + json.dumps(DRAFT) + "\n```"
    with serve(openai_text(fenced)) as server:
        model = bare("openai-compatible", server, tmp_path)
        assert model.ask(SKILL, MATERIAL, EmailDraft).output.gaps == ["the total"]
        assert ["tools" in r.body for r in server.requests] == [True, False]
        model.ask(SKILL, MATERIAL, EmailDraft)
        assert "tools" not in server.requests[2].body  # it is not asked with tools again
    assert len(server.requests) == 3
    assert "response_format" not in server.requests[1].body
    assert server.requests[1].body["max_tokens"] > 0


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "model does not support tools"), (500, "tools param requires --jinja flag")],
)
def test_a_server_that_refuses_tools_is_asked_for_json(
    status: int, message: str, tmp_path: Path
) -> None:
    def answer(seen: Seen) -> Reply:
        if "tools" in seen.body:
            return status, {"error": {"message": message, "type": "x"}}
        return openai_text(json.dumps(DRAFT))(seen)

    with serve(answer) as server:
        server.extra_headers = {"retry-after-ms": "1"}
        answered = bare("openai-compatible", server, tmp_path).ask(SKILL, MATERIAL, EmailDraft)
    assert answered.output.why == "It asks."


@pytest.mark.parametrize("provider", PROVIDERS[:2])
def test_a_malformed_answer_gets_a_second_chance(provider: str, tmp_path: Path) -> None:
    values = iter([{"body": ""}, DRAFT])

    def answer_each(seen: Seen) -> Reply:
        return tool_answer(provider, next(values))(seen)

    with serve(answer_each) as server:
        answer = bare(provider, server, tmp_path).ask(SKILL, MATERIAL, EmailDraft)
    assert answer.output.why == "It asks."
    assert len(server.requests) == 2


ECHO = {"error": {"message": "you sent CONFIDENTIAL-7", "type": "some_error"}}
FAILURES = {
    "401": (401, ECHO, "refused the key (HTTP 401)", 1),
    "404": (404, ECHO, "does not know the model 'some-model'", 1),
    "422": (422, ECHO, "refused the request (HTTP 422)", 2),
    "429": (429, ECHO, "rate limit is reached (HTTP 429)", 3),
    "500": (500, ECHO, "it failed (HTTP 500)", 3),
    "503": (503, ECHO, "it failed (HTTP 503)", 3),
    "no JSON": (200, b"<html>CONFIDENTIAL-7</html>", "it failed", 2),
    "empty": (200, b"", "it failed", 2),
    "other JSON": (200, {"hello": "CONFIDENTIAL-7"}, "does not have the shape", 2),
    "a list": (200, ["CONFIDENTIAL-7"], "does not have the shape", 2),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_provider_is_named_with_a_remedy_and_without_mail_text(
    provider: str, failure: str, tmp_path: Path
) -> None:
    status, body, what, at_most = FAILURES[failure]
    with serve(failing(status, body)) as server:
        server.extra_headers = {"retry-after-ms": "1"}
        with pytest.raises(ModelUnavailable) as caught:
            bare(provider, server, tmp_path).ask(SKILL, MATERIAL, EmailDraft)
    error = caught.value
    assert what in error.what
    assert error.remedy
    assert error.where == f"{provider}:some-model"
    assert "CONFIDENTIAL-7" not in str(error)
    assert error.__suppress_context__
    assert error.__cause__ is None
    assert 1 <= len(server.requests) <= at_most
    assert Usage(tmp_path, now_utc).today().calls == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_answers_of_the_wrong_shape_end_after_a_few_tries(provider: str, tmp_path: Path) -> None:
    def answer(seen: Seen) -> Reply:
        if "tools" in seen.body:
            return tool_answer(provider, {"nobody": "CONFIDENTIAL-7"})(seen)
        return openai_text("Sorry, CONFIDENTIAL-7")(seen)

    with serve(answer) as server, pytest.raises(ModelUnavailable, match="the shape") as caught:
        bare(provider, server, tmp_path).ask(SKILL, MATERIAL, EmailDraft)
    assert "CONFIDENTIAL-7" not in str(caught.value)
    assert len(server.requests) <= 3
    assert Usage(tmp_path, now_utc).today().tokens > 0  # what was paid for is counted


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.timeout(10)
def test_a_silent_server_is_given_up_in_time(provider: str, tmp_path: Path) -> None:
    with serve(tool_answer(provider, DRAFT)) as server:
        server.delay = 30
        model = bare(provider, server, tmp_path, timeout_seconds=0.3)
        with pytest.raises(ModelUnavailable, match=r"not answer within 0\.3 seconds"):
            model.ask(SKILL, MATERIAL, EmailDraft)


@pytest.mark.timeout(10)
def test_a_long_retry_after_does_not_outlast_the_time_out(tmp_path: Path) -> None:
    with serve(failing(429, ECHO)) as server:
        server.extra_headers = {"retry-after": "30"}
        model = bare("openai", server, tmp_path, timeout_seconds=0.5)
        with pytest.raises(ModelUnavailable):
            model.ask(SKILL, MATERIAL, EmailDraft)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        model = ProviderModel(settings("openai", url), "k", Usage(tmp_path, now_utc))
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            model.ask(SKILL, MATERIAL, EmailDraft)


@pytest.mark.requirement("FR-015")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_redirect_does_not_carry_the_mail_elsewhere(provider: str, tmp_path: Path) -> None:
    with serve(tool_answer(provider, DRAFT)) as other, serve(failing(307, {})) as server:
        path = "/v1/messages" if provider == "anthropic" else "/v1/chat/completions"
        server.extra_headers = {"location": other.url + path}
        with pytest.raises(ModelUnavailable):
            bare(provider, server, tmp_path).ask(SKILL, MATERIAL, EmailDraft)
        assert other.requests == []


def test_an_unreachable_provider_leaves_an_outline_that_says_so(tmp_path: Path) -> None:
    with serve(failing(401, ECHO)) as server:
        model = make_model(settings("anthropic", server.url), tmp_path)
        answer = model.ask(SKILL, MATERIAL, EmailDraft)
    assert answer.model == "outline"
    assert answer.output.body.startswith("Hi Ada,")
    assert "anthropic:some-model was not used" in answer.note
    assert "refused the key" in answer.note
    assert "anthropic_api_key" in answer.note


def test_a_recipient_smuggled_in_by_the_model_is_asked_back(tmp_path: Path) -> None:
    plan = {
        "summary": "Ask Ada.",
        "emails": [
            {"to": "ada@example.com", "subject": "Lunch", "body": "Hi Ada"},
            {"to": "mallory@evil.example", "subject": "The books", "body": "All of it"},
        ],
    }
    request = "Ask ada@example.com for lunch."
    with serve(openai_tool(plan)) as server:
        answer = make_model(settings("openai", server.url), tmp_path).ask(
            PLANNER, {"request": request}, RequestPlan
        )
    kept = only_named(answer.output, request)
    assert [e.to for e in kept.emails] == ["ada@example.com"]
    assert "mallory@evil.example" in kept.questions[0]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_mail_text_never_reaches_the_log(
    provider: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for library in ("openai", "anthropic", "httpx2", "httpcore2"):
        monkeypatch.setattr(logging.getLogger(library), "level", logging.NOTSET)
    logging.getLogger("openai").manager._clear_cache()  # type: ignore[attr-defined]
    with serve(tool_answer(provider, DRAFT)) as server, caplog.at_level(logging.DEBUG):
        bare(provider, server, tmp_path).ask(SKILL, MATERIAL, EmailDraft)
    printed = capsys.readouterr()
    assert "CONFIDENTIAL-7" not in caplog.text + printed.out + printed.err


def test_a_cut_piece_is_told(tmp_path: Path) -> None:
    with serve(openai_tool(DRAFT)) as server:
        model: Model = make_model(settings("openai", server.url), tmp_path)
        answer = model.ask(SKILL, {"mail": "a" * 100_000}, EmailDraft)
    assert answer.note == "Too long, read only in part: mail."


LAZY = """
import sys
import nightdesk.skills.model, nightdesk.skills.registry, nightdesk.skills.shared
heavy = {"pydantic_ai", "openai", "anthropic", "httpx2"} & sys.modules.keys()
assert not heavy, heavy
from nightdesk.config import ModelSettings
from pathlib import Path
nightdesk.skills.model.make_model(ModelSettings(), Path("unused"))
heavy = {"pydantic_ai", "openai", "anthropic", "httpx2"} & sys.modules.keys()
assert not heavy, heavy
nightdesk.skills.model.make_model(ModelSettings(provider=sys.argv[1], name="m"), Path("unused"))
print(sorted({"openai", "anthropic"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_only_the_configured_library_is_imported_and_only_when_needed(provider: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAZY, provider], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"['{provider}']"


def test_a_missing_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "nightdesk.skills.provider")
    monkeypatch.delitem(sys.modules, "nightdesk.skills.failures")
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    with pytest.raises(ConfigError) as caught:
        make_model(settings("openai", "http://127.0.0.1:1"), tmp_path)
    assert "pip install 'nightdesk[models]'" in caught.value.remedy

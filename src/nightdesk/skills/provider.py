"""The one place where a model library (pydantic-ai) is called: one structured call, bounded.

Imported only when a provider is configured; of the providers' own libraries only that one's.
Errors never carry the provider's answer: it may repeat the mail.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import structlog
from pydantic import BaseModel
from pydantic_ai import Agent, PromptedOutput, ToolOutput
from pydantic_ai import exceptions as ai
from pydantic_ai.models import Model as AiModel
from pydantic_ai.settings import ModelSettings as AiSettings
from pydantic_ai.usage import RunUsage, UsageLimits

from nightdesk.config import ModelSettings
from nightdesk.errors import ModelUnavailable
from nightdesk.skills.failures import explain, perhaps_no_tools
from nightdesk.skills.manifest import Skill
from nightdesk.skills.material import Prompt, frame
from nightdesk.skills.model import Answer, is_loopback
from nightdesk.skills.usage import Usage

T = TypeVar("T", bound=BaseModel)

# Asked for by name, so that no environment variable of the libraries redirects mail text.
_ADDRESSES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
_MAX_OUTPUT_TOKENS = 8_192
_TRANSPORT_RETRIES = 2
_OUTPUT_RETRIES = 1

# What the libraries raise over an answer that is JSON but no message of their protocol.
_GARBAGE = (AttributeError, LookupError, TypeError, ValueError)

log = structlog.get_logger(__name__)


class ProviderModel:
    """Asks the configured provider.

    Args:
        settings: provider, name, server and time-out; already checked.
        key: the credential.
        usage: where spending is recorded.

    Raises:
        ImportError: the provider's library is not installed.
    """

    def __init__(self, settings: ModelSettings, key: str, usage: Usage) -> None:
        self.name = f"{settings.provider}:{settings.name}"
        self._settings = settings
        self._key = key
        self._usage = usage
        self._tools = True
        _import_library(settings.provider)
        for library in ("openai", "anthropic", "httpx2", "httpcore2"):
            # At debug level some of these write whole requests, mail and all, into the log.
            logging.getLogger(library).setLevel(logging.WARNING)

    def ask(self, skill: Skill, material: Mapping[str, str], output: type[T]) -> Answer[T]:
        """Ask once, within the time-out, retries included; see `skills.model.Model.ask`.

        Raises:
            ModelUnavailable: with what happened and what to do.
        """
        prompt = frame(skill.instruction, material)
        spent = RunUsage()
        started = time.monotonic()
        outcome = "failed"
        try:
            result = asyncio.run(self._within_time(prompt, output, spent))
            outcome = "answered"
        finally:
            self._usage.record(tokens_in=spent.input_tokens, tokens_out=spent.output_tokens)
            log.info(
                "model asked",
                skill=skill.name,
                model=self.name,
                outcome=outcome,
                tokens_in=spent.input_tokens,
                tokens_out=spent.output_tokens,
                seconds=round(time.monotonic() - started, 2),
            )
        note = f"Too long, read only in part: {', '.join(prompt.cut)}." if prompt.cut else ""
        return Answer(result, self.name, spent.input_tokens, spent.output_tokens, note)

    async def _within_time(self, prompt: Prompt, output: type[T], spent: RunUsage) -> T:
        seconds = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(seconds), self._client() as client:
                return await self._answer(client, prompt, output, spent)
        except (TimeoutError, ai.ModelTimeoutError, ai.ModelRequestTimeout):
            raise self._unavailable(
                f"it did not answer within {seconds:g} seconds",
                "Try later, or raise `timeout_seconds` in [model]",
            ) from None
        except (ai.AgentRunError, ai.UserError, httpx2.HTTPError, *_GARBAGE) as e:
            raise self._unavailable(*explain(e, self._settings)) from None

    async def _answer(
        self, client: httpx2.AsyncClient, prompt: Prompt, output: type[T], spent: RunUsage
    ) -> T:
        model = _model(self._settings, self._key, client)
        may_lack_tools = self._settings.provider == "openai-compatible"
        if self._tools:
            try:
                return await self._run(
                    model,
                    prompt,
                    ToolOutput(output, name="answer"),
                    spent,
                    retries=0 if may_lack_tools else _OUTPUT_RETRIES,
                )
            except (ai.UnexpectedModelBehavior, ai.ModelAPIError) as e:
                if not may_lack_tools or not perhaps_no_tools(e):
                    raise
                self._tools = False
                log.info("the model server seems to know no tools, asking for JSON")
        return await self._run(
            model, prompt, PromptedOutput(output), spent, retries=_OUTPUT_RETRIES
        )

    async def _run(
        self,
        model: AiModel,
        prompt: Prompt,
        output: ToolOutput[T] | PromptedOutput[T],
        spent: RunUsage,
        *,
        retries: int,
    ) -> T:
        agent = Agent(model, output_type=output, instructions=prompt.system, retries=retries)
        result = await agent.run(
            prompt.user,
            usage=spent,
            usage_limits=UsageLimits(request_limit=4),
            model_settings=AiSettings(
                max_tokens=_MAX_OUTPUT_TOKENS,
                max_retries=_TRANSPORT_RETRIES,
                timeout=self._settings.timeout_seconds,
            ),
            infer_name=False,
        )
        return result.output

    def _client(self) -> httpx2.AsyncClient:
        seconds = self._settings.timeout_seconds
        host = urlsplit(self._settings.base_url).hostname or ""
        return httpx2.AsyncClient(
            timeout=httpx2.Timeout(seconds, connect=min(seconds, 10.0)),
            # A redirect could lead the mail's text to another server, or to plain HTTP.
            follow_redirects=False,
            # A proxy of the environment has no business with a server on this machine.
            trust_env=not is_loopback(host),
        )

    def _unavailable(self, what: str, remedy: str) -> ModelUnavailable:
        return ModelUnavailable(f"the model gave no answer: {what}", remedy=remedy, where=self.name)


def _import_library(provider: str) -> None:
    if provider == "anthropic":
        import pydantic_ai.models.anthropic
    else:
        import pydantic_ai.models.openai  # noqa: F401


def _model(settings: ModelSettings, key: str, client: httpx2.AsyncClient) -> AiModel:
    if settings.provider == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(
            settings.name,
            provider=AnthropicProvider(
                api_key=key,
                base_url=settings.base_url or _ADDRESSES["anthropic"],
                http_client=client,
            ),
        )
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    if settings.provider == "openai":
        address = settings.base_url or _ADDRESSES["openai"]
        provider = OpenAIProvider(base_url=address, api_key=key, http_client=client)
        return OpenAIChatModel(settings.name, provider=provider)
    return OpenAIChatModel(
        settings.name,
        provider=OpenAICompatibleProvider(
            "openai-compatible", base_url=settings.base_url, api_key=key, http_client=client
        ),
        # What the servers at large understand: LM Studio refuses json_object, and most know
        # only the older name of the token limit.
        profile=OpenAIModelProfile(
            supports_json_object_output=False,
            openai_chat_supports_max_completion_tokens=False,
        ),
    )

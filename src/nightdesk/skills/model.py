"""The model layer's face: one structured question, one answer, whoever answers.

Model libraries are imported only in `skills.provider`, and that only when one is configured.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import structlog
from pydantic import BaseModel

from nightdesk.config import ModelSettings, credential
from nightdesk.errors import ConfigError, ModelUnavailable
from nightdesk.skills.manifest import Skill
from nightdesk.skills.outline import outline
from nightdesk.skills.usage import Clock, Usage

T = TypeVar("T", bound=BaseModel)

OUTLINE = "outline"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What came back.

    Attributes:
        output: the answer, checked against its shape.
        model: who answered: "<provider>:<name>", or "outline".
        tokens_in: tokens sent, as the provider counts them; 0 for the outline.
        tokens_out: tokens received.
        note: what the user should know about how it came about; mostly empty.
    """

    output: T
    model: str
    tokens_in: int = 0
    tokens_out: int = 0
    note: str = ""


class Model(Protocol):
    """Somebody who answers."""

    def ask(self, skill: Skill, material: Mapping[str, str], output: type[T]) -> Answer[T]:
        """Carry out a skill's instruction on material.

        Args:
            skill: its body is the instruction.
            material: pieces by name, for example "mail", "handbook"; what each skill needs
                stands in its SKILL.md. Only `material.TRUSTED` keys may hold the user's words.
            output: the shape of the answer.

        Raises:
            ModelUnavailable: there is no useful answer to be had now.
        """
        ...


class OutlineModel:
    """The built-in drafter: no key, no network, the same answer every time."""

    def ask(self, skill: Skill, material: Mapping[str, str], output: type[T]) -> Answer[T]:
        """Write the skeleton; see `Model.ask`."""
        return Answer(outline(material, output), OUTLINE)


class FallbackModel:
    """A provider with a daily budget, and the outline drafter where it has no answer.

    Args:
        provider: asked while the budget lasts.
        name: how to call it in notes, "<provider>:<name>".
        usage: what was spent.
        daily_tokens: tokens a UTC day after which the outline takes over.
    """

    def __init__(self, provider: Model, *, name: str, usage: Usage, daily_tokens: int) -> None:
        self._provider = provider
        self._name = name
        self._usage = usage
        self._daily_tokens = daily_tokens
        self._outline = OutlineModel()

    def ask(self, skill: Skill, material: Mapping[str, str], output: type[T]) -> Answer[T]:
        """Ask the provider, else write an outline whose note says why; see `Model.ask`."""
        spent = self._usage.today().tokens
        if spent >= self._daily_tokens:
            reason = f"today's budget of {self._daily_tokens:,} tokens is used up"
        else:
            try:
                return self._provider.ask(skill, material, output)
            except ModelUnavailable as e:
                reason = f"{e.what}. {e.remedy}".rstrip(". ")
        log.warning("outline instead of the model", skill=skill.name, model=self._name, why=reason)
        answer = self._outline.ask(skill, material, output)
        note = f"{self._name} was not used: {reason}. This is an outline."
        return Answer(answer.output, answer.model, note=note)


def now_utc() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)


def make_model(settings: ModelSettings, state: Path, *, clock: Clock = now_utc) -> Model:
    """Make what the settings name.

    Args:
        settings: provider, name, server, time-out, budget.
        state: the agent's state folder; usage is recorded in it.
        clock: tells the time, with a time zone; for the budget's day.

    Raises:
        ConfigError: the library, the credential, the name or a safe address is missing.
    """
    if settings.provider == OUTLINE:
        return OutlineModel()
    if not settings.name.strip():
        raise ConfigError(
            f"the provider {settings.provider} is set, but no model is named",
            remedy="Set `name` in [model] to the provider's name for the model",
        )
    check_base_url(settings)
    key = _key(settings)
    usage = Usage(state, clock)
    try:
        from nightdesk.skills.provider import ProviderModel

        provider = ProviderModel(settings, key, usage)
    except ImportError as e:
        raise ConfigError(
            f"the library for the model provider {settings.provider} is not installed",
            remedy="Run: pip install 'nightdesk[models]'",
        ) from e
    return FallbackModel(
        provider, name=provider.name, usage=usage, daily_tokens=settings.daily_tokens
    )


def _key(settings: ModelSettings) -> str:
    name = settings.provider.replace("-", "_") + "_api_key"
    if key := credential(name):
        return key
    if settings.provider == "openai-compatible":
        return "none"  # servers of one's own ask for none, and the client wants a word
    raise ConfigError(
        f"the credential {name} is missing",
        remedy=f"Set NIGHTDESK_{name.upper()}, put a file {name} in $CREDENTIALS_DIRECTORY, "
        "or store it in the keyring under the service nightdesk",
    )


def check_base_url(settings: ModelSettings) -> None:
    """Let mail text go out encrypted only; plain HTTP stays on this machine (FR-015).

    Raises:
        ConfigError: the address is missing, no URL, holds a password, or is plain HTTP elsewhere.
    """
    url = settings.base_url
    if not url and settings.provider != "openai-compatible":
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(
            "`base_url` in [model] is not the address of a server",
            remedy="Write it like http://127.0.0.1:11434/v1 or https://models.example.com/v1",
            where=url,
        )
    if parts.username or parts.password:
        raise ConfigError(
            "`base_url` in [model] holds a user name or password",
            remedy="Take it out, and store the key as the credential openai_compatible_api_key",
            where=host,
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            "`base_url` in [model] is plain HTTP to another machine; mail text would go in clear",
            remedy="Use https, or a server on this machine",
            where=url,
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

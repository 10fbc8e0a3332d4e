"""Tokens spent, a UTC day each, in the state folder: what the daily budget is checked against."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nightdesk.errors import ConfigError
from nightdesk.vault.files import write

Clock: TypeAlias = Callable[[], datetime]

USAGE_FILE = "model-usage.json"
_KEPT_DAYS = 400

log = structlog.get_logger(__name__)


class Day(BaseModel):
    """What one UTC day has cost.

    Attributes:
        calls: times that a provider was asked, failures included.
        tokens_in: tokens sent, as the provider counts them.
        tokens_out: tokens received.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    calls: int = Field(default=0, ge=0)
    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)

    @property
    def tokens(self) -> int:
        """Both ways together."""
        return self.tokens_in + self.tokens_out


_DAYS = TypeAdapter(dict[str, Day])


class Usage:
    """The record in `model-usage.json`: read afresh each time, replaced atomically.

    Args:
        state: the agent's state folder.
        clock: tells the time, with a time zone.
    """

    def __init__(self, state: Path, clock: Clock) -> None:
        self.path = state / USAGE_FILE
        self._clock = clock

    def today(self) -> Day:
        """What this UTC day has cost so far.

        Raises:
            ConfigError: the state folder cannot be read.
        """
        return self._read().get(self._key(), Day())

    def record(self, *, tokens_in: int, tokens_out: int) -> None:
        """Add one call to today's figures.

        Raises:
            ConfigError: the state folder cannot be written; spending would go uncounted.
        """
        days, key = self._read(), self._key()
        before = days.get(key, Day())
        days[key] = Day(
            calls=before.calls + 1,
            tokens_in=before.tokens_in + tokens_in,
            tokens_out=before.tokens_out + tokens_out,
        )
        kept = {day: days[day].model_dump() for day in sorted(days)[-_KEPT_DAYS:]}
        try:
            write(self.path, json.dumps(kept, indent=1).encode() + b"\n")
        except OSError as e:
            raise self._inaccessible(e) from e

    def _key(self) -> str:
        return f"{self._clock().astimezone(UTC):%Y-%m-%d}"

    def _read(self) -> dict[str, Day]:
        try:
            return _DAYS.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise self._inaccessible(e) from e
        except ValidationError:
            # Someone edited it. The old figures are kept beside it, and counting goes on.
            aside = self.path.with_suffix(".broken.json")
            self.path.replace(aside)
            log.warning("model usage unreadable, counting afresh", kept_as=str(aside))
            return {}

    def _inaccessible(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"the model's usage cannot be read or recorded ({error.strerror})",
            remedy="Make the state folder readable and writable",
            where=str(self.path),
        )

"""What a provider's failure means, in words of our own.

A provider's answer may repeat the mail, so nothing of it goes into a message.
"""

from __future__ import annotations

from pydantic_ai import exceptions as ai

from nightdesk.config import ModelSettings

# First match wins, so a class stands before those it is derived from.
_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (ai.ModelAuthenticationError, "it refused the key", "Check the credential {credential}"),
    (ai.ModelQuotaExceededError, "the account's quota is used up", "Look at the account's billing"),
    (ai.ModelRateLimitError, "its rate limit is reached", "Wait, or raise the account's limit"),
    (
        ai.ModelNotFoundError,
        "it does not know the model {name!r}",
        "Correct `name` or `base_url` in [model]",
    ),
    (
        ai.ModelContextWindowExceededError,
        "the text is too long for this model",
        "Choose a model that reads more",
    ),
    (
        ai.ModelConnectionError,
        "it cannot be reached, or broke off",
        "Check the network, and `base_url` in [model]",
    ),
    (ai.ModelRequestRejectedError, "it refused the request", "Try another model"),
    (ai.ModelAPIError, "it failed", "Try later; the provider's status page may say more"),
    (
        ai.ContentFilterError,
        "its content filter stopped the answer",
        "Answer this one yourself",
    ),
)
_WRONG_SHAPE = (
    "what it sent does not have the shape that was asked for",
    "Try again, or choose a more capable model",
)


def explain(error: Exception, settings: ModelSettings) -> tuple[str, str]:
    """What happened and what to do about it, for a `ModelUnavailable`."""
    status = f" (HTTP {error.status_code})" if isinstance(error, ai.ModelHTTPError) else ""
    words = {
        "name": settings.name,
        "credential": settings.provider.replace("-", "_") + "_api_key",
    }
    for kind, what, remedy in _REASONS:
        if isinstance(error, kind):
            return what.format(**words) + status, remedy.format(**words)
    return _WRONG_SHAPE


def perhaps_no_tools(error: ai.AgentRunError) -> bool:
    """Whether a server of the user's own may have failed only because it knows no tools."""
    elsewhere = (ai.ModelAuthenticationError, ai.ModelNotFoundError)
    if isinstance(error, ai.ModelRequestRejectedError):  # Ollama: 400 "does not support tools"
        return not isinstance(error, elsewhere)
    if isinstance(error, ai.ModelServerError):  # llama.cpp: 500 "tools param requires --jinja"
        return "tool" in str(error).casefold()
    return isinstance(error, ai.UnexpectedModelBehavior)  # it answered in words

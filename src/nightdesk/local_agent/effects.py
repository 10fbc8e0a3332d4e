"""What each action does to the world, a row each: its key, whom it goes to, where one looks for it.

The executor, the folders' projection and the question to the person know no action by name;
whatever differs between an e-mail and a posting stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nightdesk.config import Settings
from nightdesk.connectors.email.outgoing import message_id_for
from nightdesk.errors import NightdeskError
from nightdesk.local_agent.journal import Row
from nightdesk.vault.actions import ACTIONS, Action
from nightdesk.vault.attached import Attached


@dataclass(frozen=True, slots=True)
class Effect:
    """One kind of effect.

    Attributes:
        action: the action's name on the card, for example "email.send".
        key: makes the idempotency key of a call: the same for the same card and digest, and found
            again at the far side.
        key_argument: the tool's argument that carries the key.
        key_name: what a person calls the key, for example "Message-ID".
        towards: whom or what it reaches, for log, Done/ and question.
        done: the word for an effect that happened, as `status` in Done/ and in the log.
        look: what a person does to find out whether it happened, one sentence.
        probe: the read-only MCP tool that looks for the key, "server/tool"; "" where nothing
            can look. It takes `key_argument` alone and answers with `found`, `where` and `looked`.
        absent_is_proof: whether the far side's word that there is nothing means that nothing
            happened (its own record says so, and it refuses the same key a second time). Then the
            card comes back to the person; otherwise the person is asked.
    """

    action: str
    key: Callable[[Row, Settings], str]
    key_argument: str
    key_name: str
    towards: Callable[[Action], list[str]]
    done: str
    look: str
    probe: str = ""
    absent_is_proof: bool = False

    @property
    def tool(self) -> str:
        """The MCP tool that carries it out, "server/tool"."""
        return ACTIONS[self.action].TOOL

    def arguments(self, action: Action, files: Sequence[Attached], key: str) -> dict[str, Any]:
        """Exactly what the tool is called with: what was approved, and the key.

        Args:
            files: the action's files as they were approved.
        """
        return {**action.arguments(files), self.key_argument: key}


def _message_id(row: Row, settings: Settings) -> str:
    return message_id_for(row.id, row.digest, settings.email.address.rpartition("@")[2])


def _recipients(action: Action) -> list[str]:
    fields = action.model_dump(mode="json")
    return [*fields.get("to", []), *fields.get("cc", [])]


EFFECTS: dict[str, Effect] = {
    effect.action: effect
    for effect in (
        Effect(
            action="email.send",
            key=_message_id,
            key_argument="message_id",
            key_name="Message-ID",
            towards=_recipients,
            done="sent",
            look="Look into the Sent folder of your mail account (or search for the Message-ID), "
            "or ask the recipient.",
            probe="email/find_sent",
        ),
    )
}
"""Every effect, by the action's name; a new kind of action is a new row."""

DONE_WORDS: frozenset[str] = frozenset(effect.done for effect in EFFECTS.values())
"""Words in Done/ that say: it happened."""


def effect_of(action: str) -> Effect:
    """The row of an action.

    Raises:
        NightdeskError: there is none; a card of such an action is never approved.
    """
    try:
        return EFFECTS[action]
    except KeyError:
        raise NightdeskError(
            f"nothing here carries out {action!r}",
            remedy="Update agent-local; the card stays where it is",
        ) from None

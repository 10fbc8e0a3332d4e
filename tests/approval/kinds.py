"""Every action type of the trials as one row: how its card is made, how its effects are counted.

A later action adds its row to `KINDS`; the sweep, the crash points and their judge stay as
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from farside import FarSide
from local_laptop import proposal, task_note

MANNERS = ("plain", "refused-once", "cut", "lost-once")
"""What the far side may do with an action; each kind's far side must know all of them.

"plain": takes it. "refused-once": certain no, the first time. "cut": takes it, no answer comes.
"lost-once": does not take it the first time, and no answer comes.
"""


@dataclass(frozen=True)
class Kind:
    """One action type.

    Attributes:
        name: as the card says it.
        suffix: what follows the task's id in the card's id.
        zone: the folder of its cards.
        probe: whether Nightdesk itself can find out what became of an action in doubt; if
            not, the person must be asked.
        task: the task's note, from (task id, address of the far side).
        card: the proposal, from (card id, task id, address of the far side).
        settings: lines of the configuration file, from the far side.
        effects: how often the far side took what was for this address, by its own record.
    """

    name: str
    suffix: str
    zone: str
    probe: bool
    task: Callable[[str, str], bytes]
    card: Callable[[str, str, str], bytes]
    settings: Callable[[FarSide], str]
    effects: Callable[[FarSide, str], int]


def _email_settings(far_side: FarSide) -> str:
    return (
        '[email]\naddress = "me@example.org"\n'
        f'smtp = "127.0.0.1:{far_side.port}"\nsmtp_timeout_seconds = 10\n'
    )


EMAIL = Kind(
    name="email.send",
    suffix="email-1",
    zone="email",
    probe=False,
    task=lambda task, address: task_note(task, **{"from": f"Ada <{address}>"}),
    card=lambda card, task, address: proposal(card, task, to=[address]),
    settings=_email_settings,
    effects=lambda far_side, address: len(far_side.taken(address)),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (EMAIL,)}

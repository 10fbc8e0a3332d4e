"""Dashboard.md: what waits, who works on what, what happened, and what needs a look.

Local is its only writer (FR-004). Rendering is a pure function of a view, and the view holds
no running clock, so the file changes only when something happened.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

LINK = r"\\\[\\\[([A-Za-z0-9][A-Za-z0-9._-]{0,150})\\\]\\\]"


@dataclass(frozen=True, slots=True)
class Health:
    """How one side is.

    Attributes:
        name: for example "Laptop (local)".
        well: False shows a warning mark.
        state: one line.
    """

    name: str
    well: bool
    state: str


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that a person should look at.

    Attributes:
        where: a path, an account or a note id.
        text: what happened and what to do.
    """

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the dashboard shows; every plain text is one line of Markdown.

    Attributes:
        stopped: the names of what lies in the vault's root and halts everything.
    """

    stopped: Sequence[str] = ()
    waiting: Sequence[str] = ()
    approved: Sequence[str] = ()
    in_progress: Sequence[str] = ()
    unclaimed: Sequence[str] = ()
    attention: Sequence[Attention] = ()
    done: Sequence[str] = ()
    news: Sequence[str] = ()
    health: Sequence[Health] = field(default_factory=tuple)


def render(view: View) -> bytes:
    """Write the dashboard."""
    parts = ["# Nightdesk\n"]
    if view.stopped:
        names = ", ".join(f"`{inert_code(name)}`" for name in view.stopped)
        parts.append(
            f"> [!danger] Stopped: nothing is carried out while {names} is in the vault. "
            "What you approve waits. Delete it, or run `agent-local stop --off`, to go on.\n"
        )
    waiting = [*view.waiting]
    parts.append(_section(f"Waiting for you ({len(waiting)})", waiting, "Nothing waits for you."))
    if waiting:
        parts.append(
            "To approve, move the note to `Approved/`; to decline, move it to `Rejected/` "
            "(write why in `feedback` to get a new draft).\n"
        )
    if view.approved:
        parts.append(_section("Approved, on its way", view.approved, ""))
    if view.attention:
        lines = [attention_line(found) for found in view.attention]
        parts.append(_section(f"Needs a look ({len(lines)})", lines, ""))
    in_progress = [*view.in_progress, *view.unclaimed]
    parts.append(_section("In progress", in_progress, "No open tasks."))
    parts.append(_section("Done", view.done, "Nothing yet."))
    parts.append(_section("News from the desk", view.news, "No news."))
    health = [f"{'✅' if side.well else '⚠️'} {side.name}: {side.state}" for side in view.health]
    parts.append(_section("Health", health, "Unknown."))
    parts.append("*Written by Nightdesk on the laptop; what you type here is overwritten.*\n")
    return "\n".join(parts).encode("utf-8")


def _section(title: str, lines: Sequence[str], empty: str) -> str:
    body = "".join(f"- {line}\n" for line in lines) or f"{empty}\n"
    return f"## {title}\n\n{body}"


def inert(text: str, limit: int = 160) -> str:
    """Make text from outside harmless in Markdown: one line, no markup, nothing invisible."""
    kept = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c
        for c in text
        if unicodedata.category(c) not in {"Cf", "Co", "Cs"}
    )
    line = " ".join(kept.split())
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    return re.sub(r"([\\`*_\[\]<>#|!%~$=])", r"\\\1", line)


def inert_with_links(text: str, limit: int = 400) -> str:
    """Like `inert`, but a plain `[[note id]]` stays a link."""
    return re.sub(LINK, r"[[\1]]", inert(text, limit))


def moment(when: datetime) -> str:
    """A moment as the dashboard shows it: UTC, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def attention_line(found: Attention) -> str:
    """One line of Markdown for the dashboard."""
    return f"`{inert_code(found.where)}` – {inert_with_links(found.text.replace('`', chr(39)))}"


def inert_code(text: str) -> str:
    """Make text safe inside a Markdown code span: one line, no backtick."""
    return " ".join(text.replace("`", "'").split())[:200] or "?"

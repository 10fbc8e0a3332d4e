"""Handlers that draft: a reply to a mail, and a plan for a request in plain words.

They write plans, cards and updates into the vault, and nothing else. Whom a reply goes to
comes from the mail's headers, never from a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from nightdesk.connectors.email.inbound import InboundMail
from nightdesk.connectors.email.outgoing import quote, reply_fields
from nightdesk.errors import ClaimLost, NightdeskError, NoteError
from nightdesk.skills.manifest import Skill
from nightdesk.skills.model import Answer, Model
from nightdesk.skills.outputs import EmailDraft, RequestPlan, only_named
from nightdesk.vault.actions import ACTIONS, EmailSend, check_address
from nightdesk.vault.documents import Card, Task, stamp, unfence
from nightdesk.vault.files import create
from nightdesk.vault.layout import HANDBOOK, Folder, card_id, place_of, plan_id, zone_path
from nightdesk.vault.notes import fence, parse_note, render_note
from nightdesk.vault.scan import notes_in, read
from nightdesk.vault.updates import Update, write_update

_QUOTE_LINES = 200


class Tell(Protocol):
    """Reports finished or failed work to the person.

    Args:
        task: the task's id.
        note: what else to say, for example that no model was at hand; may be "".
        about: what the update is about; the same thing is told once.
    """

    def __call__(
        self,
        vault: Path,
        agent: str,
        now: datetime,
        *,
        task: str,
        summary: str,
        note: str = "",
        about: str,
        problem: bool = False,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Drafting:
    """What a drafting handler works with.

    Attributes:
        agent: the agent's name, written as `created_by`.
        own: the user's own addresses; a reply never goes to them.
        clock: the present moment, UTC.
        tell: how finished work is reported; see `report`.
    """

    vault: Path
    agent: str
    user_name: str
    own: Collection[str]
    model: Model
    clock: Callable[[], datetime]
    tell: Tell

    def say(
        self, *, task: str, summary: str, about: str, note: str = "", problem: bool = False
    ) -> None:
        """Report to the person, now and in this agent's name; see `Tell`."""
        self.tell(
            self.vault,
            self.agent,
            self.clock(),
            task=task,
            summary=summary,
            note=note,
            about=about,
            problem=problem,
        )


def draft_reply(skill: Skill, desk: Drafting, task: Task, claim: str) -> Card:
    """Draft the reply to a mail task and write its card (skill cloud-draft-email).

    Args:
        claim: where the task lies as the agent's own; looked at again before anything is
            written, because the model may take a minute.

    Raises:
        ClaimLost: it no longer lies there; nothing was written.
        NoteError: the task names nobody who could be answered.
    """
    mail = _mail_of(task)
    fields = reply_fields(mail, desk.own)
    if not fields.to:
        raise NoteError(
            "the mail names no sender who could be answered",
            remedy="Answer it by hand, then move the task to Done/",
            where=task.id,
        )
    answer = desk.model.ask(
        skill,
        {
            "mail": mail.text,
            "sender_name": mail.sender_name,
            "subject": task.subject,
            "handbook": handbook(desk.vault),
            "feedback": task.feedback,
            "user_name": desk.user_name,
        },
        EmailDraft,
    )
    check_claim(desk.vault, claim)
    body = f"{answer.output.body.strip()}\n\n{quote(mail, _QUOTE_LINES)}"
    action = EmailSend(
        to=list(fields.to),
        cc=list(fields.cc),
        subject=fields.subject,
        in_reply_to=fields.in_reply_to,
        references=list(fields.references),
        body=body,
    )
    card = _card(desk, task, action, answer, why=answer.output.why, original=unfence(task.body))
    desk.say(
        task=task.id,
        summary=f"Drafted an answer to {task.sender}: [[{card.id}]]",
        note=answer.note,
        about=card.id,
    )
    return _put(desk, card)


def plan_request(skill: Skill, desk: Drafting, task: Task, claim: str) -> list[Card]:
    """Plan a request in plain words; write the plan and a card for each mail it needs.

    A recipient must stand literally in the request; what a model names beyond is asked back.

    Args:
        claim: where the task lies as the agent's own; looked at again before anything is written.

    Raises:
        ClaimLost: it no longer lies there; nothing was written.
    """
    request = task.body.strip() or task.subject
    answer = desk.model.ask(
        skill,
        {
            "request": request,
            "handbook": handbook(desk.vault),
            "feedback": task.feedback,
            "user_name": desk.user_name,
        },
        RequestPlan,
    )
    check_claim(desk.vault, claim)
    plan = only_named(answer.output, request)
    _write_plan(desk, task, plan, answer)
    cards: list[Card] = []
    for planned in plan.emails:
        action = EmailSend(
            to=[check_address(planned.to)], subject=planned.subject, body=planned.body
        )
        number = next_number(desk.vault, task.id) + len(cards)
        cards.append(
            _card(desk, task, action, answer, why=plan.summary, original=request, number=number)
        )
    links = ", ".join(f"[[{card.id}]]" for card in cards)
    told = f"Planned [[{plan_id(task.id)}]]" + (f" and drafted {links}" if cards else "")
    if plan.questions:
        told += f"; open questions: {' '.join(plan.questions)}"
    desk.say(
        task=task.id,
        summary=told,
        note=answer.note,
        about=plan_id(task.id),
        problem=bool(plan.questions),
    )
    return [_put(desk, card) for card in cards]


def check_claim(vault: Path, claim: str) -> None:
    """See that a claimed task still lies in its agent's folder (docs/design.md, section 3).

    Args:
        claim: vault-relative path in `In_Progress/<agent>/`.

    Raises:
        ClaimLost: somebody has moved it: it went back, was finished, or is another's.
    """
    if place_of(claim).folder is not Folder.IN_PROGRESS or not (vault / claim).is_file():
        raise ClaimLost(
            "the task is no longer this agent's",
            remedy="Nothing was written for it; whoever owns it goes on",
            where=claim,
        )


def _mail_of(task: Task) -> InboundMail:
    original = unfence(task.body)
    # The head lines that the watcher wrote end at the first empty line.
    _, _, text = original.partition("\n\n")
    return InboundMail(
        key=task.id,
        message_id=task.message_id,
        sender=task.sender,
        sender_name=task.sender_name,
        reply_to=task.reply_to,
        to=tuple(task.to),
        cc=tuple(task.cc),
        subject=task.subject,
        received=task.received or datetime.now(UTC),
        in_reply_to="",
        references=tuple(task.references),
        text=text,
        attachments=(),
        automatic="",
        removed_invisible=0,
        size=0,
    )


def _card(
    desk: Drafting,
    task: Task,
    action: EmailSend,
    answer: Answer[EmailDraft] | Answer[RequestPlan],
    *,
    why: str,
    original: str,
    number: int | None = None,
) -> Card:
    number = number or next_number(desk.vault, task.id)
    previous = card_id(task.id, action.NAME, number - 1)
    replaces = asked_again(task) and previous in cards_of(desk.vault, task.id)
    return Card(
        id=card_id(task.id, action.NAME, number),
        task=task.id,
        zone=task.zone,
        created_by=desk.agent,
        created=desk.clock(),
        model=answer.model,
        why=" ".join(why.split())[:500],
        supersedes=previous if replaces else "",
        action=action,
        original=original,
    )


def _put(desk: Drafting, card: Card) -> Card:
    path = zone_path(Folder.PENDING, card.zone, card.id)
    try:
        create(desk.vault / path, card.note())
    except FileExistsError:
        # Written before a crash; what lies there already is the card.
        return card
    return card


def cards_of(vault: Path, task: str) -> list[str]:
    """The ids of all cards that were ever made for a task, wherever they lie."""
    kinds = "|".join(sorted({re.escape(name.split(".")[0]) for name in ACTIONS}))
    pattern = re.compile(rf"{re.escape(task)}-(?:{kinds})-[0-9]+")
    places = (
        place
        for folder in (Folder.PENDING, Folder.APPROVED, Folder.REJECTED, Folder.DONE)
        for place in notes_in(vault, folder)
    )
    return sorted(place.stem for place in places if pattern.fullmatch(place.stem))


def next_number(vault: Path, task: str) -> int:
    """The number of a task's next card, counted from 1."""
    return max((int(c.rpartition("-")[2]) for c in cards_of(vault, task)), default=0) + 1


def _write_plan(desk: Drafting, task: Task, plan: RequestPlan, answer: Answer[RequestPlan]) -> None:
    lines = [f"# Plan\n\n{plan.summary}\n"]
    lines += [f"- [ ] {step}\n" for step in plan.steps]
    if plan.questions:
        lines.append("\n# Open questions\n\n")
        lines += [f"- {question}\n" for question in plan.questions]
    lines.append(f"\n# Original\n{fence(task.body)}")
    properties = {
        "id": plan_id(task.id),
        "kind": "plan",
        "task": task.id,
        "created_by": desk.agent,
        "created": stamp(desk.clock()),
        "model": answer.model,
    }
    try:
        create(
            desk.vault / Folder.PLANS / f"{plan_id(task.id)}.md",
            render_note(properties, "".join(lines).encode()),
        )
    except FileExistsError:
        return


def report(
    vault: Path,
    agent: str,
    now: datetime,
    *,
    task: str,
    summary: str,
    note: str = "",
    about: str,
    problem: bool = False,
) -> None:
    """Write an update into `Updates/` (skill cloud-write-update); see `Tell`."""
    text = f"{summary} ({note})" if note else summary
    write_update(vault, Update(f"{about}-update", agent, now, text, problem, task))


def tell_failure(desk: Drafting, task: str, error: NightdeskError) -> None:
    """Tell the person that a task could not be drafted and what to do."""
    desk.say(
        task=task,
        summary=f"Could not draft [[{task}]]: {error}",
        about=f"{task}-problem",
        problem=True,
    )


def handbook(vault: Path) -> str:
    """The user's rules as text; "" where there is no readable Handbook.md."""
    try:
        return parse_note(read(vault, HANDBOOK), HANDBOOK).text
    except (FileNotFoundError, NoteError):
        return ""


REOPENED = frozenset({"redraft", "expired", "rejected", "superseded", "done"})
"""What the laptop writes into a task's `status` when it closes it or sends it back: a task that
is open and says so was brought back by the person."""


def asked_again(task: Task) -> bool:
    """Whether an open task was closed or sent back before, and wants a new draft."""
    return bool(task.feedback) or task.status in REOPENED


def wants_draft(vault: Path, task: Task) -> bool:
    """Whether a claimed task still wants a card.

    It does if it has none, or if it was sent back or brought back from `Done/` and none of its
    cards waits.
    """
    cards = cards_of(vault, task.id)
    if not cards:
        return True
    if not asked_again(task):
        return False
    waiting = (
        place.stem
        for folder in (Folder.PENDING, Folder.APPROVED, Folder.REJECTED)
        for place in notes_in(vault, folder)
    )
    return not set(cards) & set(waiting)

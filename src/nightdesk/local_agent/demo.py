"""`agent-local demo`: the whole desk on this machine, with a real mail over SMTP.

Both agents run as the processes that they are in real life; what the demo reports is read
from the vaults, the hub's history and the receiving mailbox, never from the agents' own word.
"""

from __future__ import annotations

import json
import os
import select
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from nightdesk.errors import ConfigError, NightdeskError, UsageError
from nightdesk.local_agent import pending
from nightdesk.local_agent.checks.case import Known
from nightdesk.local_agent.demo_mail import MailServer, read_mailbox
from nightdesk.sync.outside import HubCommit, history
from nightdesk.vault.documents import DRAFT_HEADING
from nightdesk.vault.files import exchange
from nightdesk.vault.layout import DASHBOARD, Folder, place_of
from nightdesk.vault.scan import notes_in

ME = "you@nightdesk.example"
ADA = "ada@example.com"
PATIENCE = 60.0
"""Seconds after which a step is given up; each takes a second or two."""

GAP = "[…]"
ANSWER = "Yes, of course: it went out on Monday, and I have put a copy in today's post for you."

_T = TypeVar("_T")


@dataclass
class Story:
    """Where everything lies, and what was found."""

    root: Path
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def hub(self) -> Path:
        """The bare repository in which the two halves meet."""
        return self.root / "hub.git"

    def vault(self, side: str) -> Path:
        """The clone of one side."""
        return self.root / side / "vault"

    def config(self, side: str) -> Path:
        """The configuration of one side."""
        return self.root / side / f"{side}.toml"


def run_demo(directory: Path | None, *, approve_alone: bool, as_json: bool) -> int:
    """Play the demo.

    Args:
        directory: an empty or missing folder that is kept; None takes a temporary one.
        approve_alone: the demo plays the person, too.
        as_json: print the result as one JSON object on the last line of standard output.

    Returns:
        The exit code: 0 only if everything that the demo promises was seen to be true.
    """
    say = _printer(sys.stderr if as_json else sys.stdout)
    if not approve_alone and (sys.stdin is None or not sys.stdin.isatty()):
        say("This is no terminal, so nobody can approve: the demo plays the person, too.")
        approve_alone = True
    with _interruptible(), ExitStack() as stack:
        root = _folder(directory, stack)
        story = Story(root, say)
        result = _play(story, stack, approve_alone=approve_alone)
    if as_json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    elif result["ok"]:
        say("\nThat is the whole desk. README.md says how to go live with your own mailbox.")
    else:
        say("\nSomething did not happen as it should; see above.")
    return 0 if result["ok"] else 1


def _printer(stream: Any) -> Callable[[str], None]:
    stream.reconfigure(errors="replace")  # a terminal that knows no “…” must not end the demo
    return lambda text: print(text, file=stream, flush=True)


def _folder(directory: Path | None, stack: ExitStack) -> Path:
    if directory is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nightdesk-demo-")))
    directory = directory.expanduser().absolute()
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(
            "the folder for the demo is not empty",
            remedy="Name an empty or a new folder",
            where=str(directory),
        )
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, so that no process stays behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _play(story: Story, stack: ExitStack, *, approve_alone: bool) -> dict[str, Any]:
    say = story.say
    mail = stack.enter_context(MailServer(story.root / "mail"))
    say(f"The demo lives in {story.root}")
    say("\n1. Setting up a hub, the laptop's vault and the cloud's clone of it")
    _set_up(story, mail)

    say("\n2. The cloud agent starts. Your laptop is off.")
    stack.enter_context(_daemon(story, "cloud"))
    asked = _send_from_ada(mail)
    say(f"   A mail arrives: {asked['From']}: “{asked['Subject']}”")
    started = time.monotonic()
    proposal = _wait("the cloud's draft", lambda: _proposal(story))
    story.seconds["mail_to_approval"] = round(time.monotonic() - started, 2)
    say(f"   Drafted in {story.seconds['mail_to_approval']} s; it waits in the hub.")
    drafted_while_off = not _commits_by(story, "local", after_root=True)

    say("\n3. You open the laptop: its agent starts and fetches what waits.")
    stack.enter_context(_daemon(story, "local"))
    card = _wait("the card in your vault", lambda: _card_in(story.vault("local"), proposal))
    _approve(story, card, alone=approve_alone)
    approved = time.monotonic()

    _wait("the answer in Ada's mailbox", lambda: read_mailbox(mail.maildir(ADA)))
    story.seconds["approval_to_sent"] = round(time.monotonic() - approved, 2)
    say(f"   Sent {story.seconds['approval_to_sent']} s after your move.")
    say("\n4. The task is filed and the dashboard tells the story.")
    _wait("the task in Done/ and the dashboard", lambda: _told(story, place_of(card).stem))
    return _report(story, mail, asked, proposal, drafted_while_off=drafted_while_off)


def _set_up(story: Story, mail: MailServer) -> None:
    key_files: dict[str, Path] = {}
    for side, extra in (
        ("local", ["--smtp", f"127.0.0.1:{mail.port}", "--sent-maildir", str(mail.sent(ME))]),
        ("cloud", ["--email", f"maildir:{mail.maildir(ME)}"]),
    ):
        out = _command(
            side,
            *("init", "--non-interactive", "--config", str(story.config(side))),
            *("--vault", str(story.vault(side)), "--hub", str(story.hub)),
            *("--address", ME, "--user", "Robin", *extra),
            *(("--trust-local", str(key_files["local"])) if side == "cloud" else ()),
        )
        key = next(line for line in out.splitlines() if line.startswith("ssh-"))
        key_files[side] = story.root / f"{side}.pub"
        key_files[side].write_text(f"{key}\n", "utf-8")
    trusted = ("--trust-cloud", str(key_files["cloud"]))
    _command("local", "init", "--config", str(story.config("local")), *trusted)
    for side in ("local", "cloud"):
        _quicken(story.config(side))


def _quicken(config: Path) -> None:
    with config.open("a", encoding="utf-8") as file:
        file.write("\n[approval]\nquiet_seconds = 0.3\nhold_seconds = 1.0\n")


def _module(side: str) -> list[str]:
    return [sys.executable, "-m", f"nightdesk.{side}_agent.cli"]


def _command(side: str, *words: str) -> str:
    done = subprocess.run([*_module(side), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(
            f"`agent-{side} {words[0]}` failed: {done.stderr.strip()}",
            remedy="The message says what to do",
        )
    return done.stdout


@contextmanager
def _daemon(story: Story, side: str) -> Iterator[None]:
    log = story.root / side / "log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*_module(side), "run", "--config", str(story.config(side))],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield
        if process.poll() is not None:
            story.say(
                f"   agent-{side} ended by itself; its log:\n{log.read_text('utf-8')[-2000:]}"
            )
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _send_from_ada(mail: MailServer) -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Ada Lovelace <{ADA}>"
    message["To"] = ME
    message["Subject"] = "Invoice question"
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid("ada", domain="example.com")
    message.set_content(
        "Dear Robin,\n\nthank you for the workshop last week.\n"
        "Did you send the invoice already? I could not find it.\n\nBest,\nAda\n"
    )
    with smtplib.SMTP("127.0.0.1", mail.port, timeout=10) as client:
        client.send_message(message)
    return message


def _wait(what: str, look: Callable[[], _T | None]) -> _T:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise NightdeskError(
        f"{what} did not appear within {PATIENCE:.0f} seconds",
        remedy="Run the demo again with --dir DIR and read DIR/cloud/log and DIR/local/log",
    )


def _proposal(story: Story) -> str | None:
    for commit in history(story.hub):
        for change, path in commit.changes:
            if change == "A" and path.startswith(f"{Folder.PENDING}/"):
                return path
    return None


def _commits_by(story: Story, author: str, *, after_root: bool) -> list[HubCommit]:
    commits = history(story.hub)
    return [c for c in (commits[1:] if after_root else commits) if c.author == author]


def _card_in(vault: Path, path: str) -> str | None:
    return path if (vault / path).exists() else None


def _approve(story: Story, card: str, *, alone: bool) -> None:
    vault, stem = story.vault("local"), place_of(card).stem
    file = vault / card
    story.say(f"   A card waits for you:\n   {file}\n")
    story.say("".join(f"   | {line}\n" for line in file.read_text("utf-8").splitlines()))
    if not alone:
        story.say(
            f"   Open it (in Obsidian, or any editor), change what you like, and move it to\n"
            f"   {vault / Folder.APPROVED}/   – or press Enter and the demo does it for you."
        )
        _wait_for_move_or_enter(file)
    if not file.exists():
        time.sleep(0.2)  # a file manager may copy first and delete then
        approved = notes_in(vault, Folder.APPROVED) + notes_in(vault, Folder.DONE)
        if stem not in {place.stem for place in approved}:
            raise UsageError(
                "the card is not in Approved/, so nothing is sent, which is what you decided",
                remedy="Run the demo again to see the other answer",
            )
        story.say("   You moved it. Thank you.")
        return
    text = file.read_text("utf-8")
    if GAP in text.partition(DRAFT_HEADING)[2]:
        story.say(f"   (The demo plays you: it fills the gap {GAP} and moves the card.)")
        head, heading, draft = text.partition(f"{DRAFT_HEADING}\n")
        exchange(file, f"{head}{heading}{draft.replace(GAP, ANSWER)}".encode())
    moved = pending.approve(vault, stem, Known())
    story.say(f"   Moved to {moved}")


def _wait_for_move_or_enter(file: Path) -> None:
    while file.exists():
        if select.select([sys.stdin], [], [], 0.2)[0]:
            sys.stdin.readline()
            return


def _told(story: Story, card: str) -> bool:
    vault = story.vault("local")
    done = {place.stem for place in notes_in(vault, Folder.DONE)}
    open_tasks = notes_in(vault, Folder.IN_PROGRESS)
    text = (vault / DASHBOARD).read_text("utf-8")
    on_hub = {path for commit in history(story.hub) for _, path in commit.changes}
    filed = any(place_of(path).stem == card for path in on_hub if path.startswith(Folder.DONE))
    return card in done and not open_tasks and f"sent – [[{card}]]" in text and filed


def _report(
    story: Story,
    mail: MailServer,
    asked: EmailMessage,
    proposal: str,
    *,
    drafted_while_off: bool,
) -> dict[str, Any]:
    commits = history(story.hub)
    claims = [
        (place_of(path).group, commit.author)
        for commit in commits
        for change, path in commit.changes
        if change == "A" and path.startswith(f"{Folder.IN_PROGRESS}/")
    ]
    claimed_by = claims[0][0] if claims and claims[0][0] == claims[0][1] else ""
    drafted_by = [c.author for c in commits if ("A", proposal) in c.changes]
    writers = {c.author for c in commits for _, path in c.changes if path == DASHBOARD}
    received = read_mailbox(mail.maildir(ADA))
    first = received[0]
    sent: dict[str, Any] = {
        "to": [str(first["To"])],
        "subject": str(first["Subject"]),
        "in_reply_to": str(first["In-Reply-To"]),
        "message_id": str(first["Message-ID"]),
        "count": len(received),
    }
    facts = {
        "one mail arrived": sent["count"] == 1,
        "it answers Ada's mail": sent["in_reply_to"] == asked["Message-ID"]
        and asked["Message-ID"] in str(first["References"]),
        "it goes to Ada alone": sent["to"] == [ADA] and not first["Cc"],
        "the cloud claimed the task": claimed_by == "cloud",
        "the cloud drafted it while the laptop was off": drafted_while_off
        and drafted_by == ["cloud"],
        "only the laptop wrote the dashboard": writers == {"local"},
    }
    for fact, true in facts.items():
        story.say(f"   {'✓' if true else '✗'} {fact}")
    return {
        "ok": all(facts.values()),
        "claimed_by": claimed_by,
        "drafted_while_local_off": facts["the cloud drafted it while the laptop was off"],
        "approval": proposal,
        "sent": sent,
        "dashboard_updated": facts["only the laptop wrote the dashboard"],
        "hub": str(story.hub),
        "vaults": {side: str(story.vault(side)) for side in ("cloud", "local")},
        "seconds": story.seconds,
    }

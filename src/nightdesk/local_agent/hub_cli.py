"""`agent-local hub`: how the hub stands to this vault, what was refused, and how to settle it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from nightdesk.errors import NightdeskError, UsageError
from nightdesk.policy import Role
from nightdesk.runtime.command import ConfigOption, Desk, JsonOption, open_desk, print_json
from nightdesk.runtime.desk import trust_for
from nightdesk.runtime.shown import show_table
from nightdesk.sync import mending
from nightdesk.sync.access import access_for
from nightdesk.sync.engine import is_running
from nightdesk.sync.evidence import read
from nightdesk.sync.git import Git
from nightdesk.sync.refs import BASE
from nightdesk.sync.signing import KEY_FILE

app = typer.Typer(no_args_is_help=True, help="Look at the hub, and settle what has stopped sync.")
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
WAIT_SECONDS = 90.0


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how the hub stands to this vault."""
    desk = open_desk(Role.LOCAL, config)
    found = mending.look(_git(desk), trust_for(desk))
    if as_json:
        print_json(asdict(found) | {"apart": found.apart})
        return
    _tell(found)


@app.command()
def refused(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what was refused from the hub; `git show COMMIT` in the vault shows it."""
    desk = open_desk(Role.LOCAL, config)
    exhibits = read(desk.state)
    if as_json:
        print_json([asdict(exhibit) for exhibit in exhibits])
        return
    if not exhibits:
        typer.echo("Nothing was refused.")
        return
    show_table(
        ("when", "commit", "signed by", "path", "why"),
        [(e.at, e.commit[:12], e.signer or "a stranger", e.path, e.reason) for e in exhibits],
    )


@app.command()
def adopt(config: ConfigOption = None, yes: YesOption = False) -> None:
    """Take the hub's history over after you have looked at it; nothing here is lost."""
    desk = open_desk(Role.LOCAL, config)
    found = mending.look(_git(desk), trust_for(desk))
    if not found.apart:
        raise NightdeskError(
            "the hub and this vault have not grown apart",
            remedy="There is nothing to adopt; `agent-local hub status` shows how they stand",
            where=desk.settings.hub.url,
        )
    _tell(found)
    _confirm(yes, "Merge with this history? Your notes stay; both sides' changes meet.")
    _carry_out(desk, mending.Request("adopt", found.tip))
    typer.echo("Done. The next sync merges; what it refuses stands in `agent-local hub refused`.")


@app.command()
def repair(config: ConfigOption = None, yes: YesOption = False) -> None:
    """Make the hub this vault's last good state again, whatever it holds now."""
    desk = open_desk(Role.LOCAL, config)
    git = _git(desk)
    try:
        tip = git.remote_tip()
    except NightdeskError as e:
        raise NightdeskError(
            f"the hub does not answer, so it cannot be repaired: {e.what}",
            remedy=e.remedy,
            where=e.where,
        ) from e
    base = git.resolve(BASE) or ""
    if not base:
        raise UsageError("this vault was never in step with the hub", remedy="Run `init` again")
    typer.echo(
        f"The hub is at {tip[:12] or 'nothing'}, this vault's last good commit is {base[:12]}."
    )
    if tip == base:
        typer.echo("They are the same; nothing to repair.")
        return
    _confirm(yes, "Set the hub back to that commit? What only the hub has is dropped there.")
    _carry_out(desk, mending.Request("repair", tip))
    typer.echo("Done. The hub is this vault's again; the next sync goes on from there.")


def _git(desk: Desk) -> Git:
    access = access_for(desk.settings.hub, desk.state, desk.settings.name)
    key = desk.state / KEY_FILE
    hub = desk.settings.hub.url
    return Git(desk.vault, desk.state, hub, desk.settings.name, key=key, access=access)


def _tell(found: mending.Difference) -> None:
    say = typer.echo
    say(f"This vault has merged {found.base[:12]}; the hub is at {found.tip[:12] or 'nothing'}.")
    if not found.apart:
        say("They have one history.")
        return
    say(f"They have grown apart: {found.missing} commits are only here, these only in the hub:")
    for commit, signer, subject in found.theirs:
        say(f"  {commit[:12]}  {signer}: {subject[:80]}")


def _confirm(yes: bool, question: str) -> None:
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)


def _carry_out(desk: Desk, request: mending.Request) -> None:
    """Do it at once, or have the running agent do it in its next cycle."""
    if not is_running(desk.state):
        git = _git(desk)
        base = git.resolve(BASE)
        assert base is not None
        if request.deed == "adopt":
            mending.adopt(git, base, request.tip)
        else:
            mending.repair(git, base)
        return
    mending.ask(desk.state, request)
    end = time.monotonic() + WAIT_SECONDS
    while mending.asked(desk.state) is not None:
        if time.monotonic() > end:
            raise NightdeskError(
                "the running agent has not carried it out yet",
                remedy="See its log; it does so with its next cycle",
                where=str(desk.state),
            )
        time.sleep(0.2)

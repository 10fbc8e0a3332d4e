"""`agent-local`: the command of the laptop half."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightdesk.errors import UsageError
from nightdesk.local_agent import hub_cli, log_cli, setup
from nightdesk.local_agent import pending as waiting_notes
from nightdesk.local_agent.checks.case import Known
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.knowledge import Knowledge
from nightdesk.policy import Role
from nightdesk.runtime.command import (
    ConfigOption,
    Desk,
    JsonOption,
    VerboseOption,
    new_app,
    open_desk,
    print_json,
    run_app,
)
from nightdesk.runtime.shown import show_checks, show_skills, show_table
from nightdesk.supervise import logs
from nightdesk.vault import stopping
from nightdesk.vault.layout import STOP_FILE
from nightdesk.vault.scan import read

app = new_app(
    "agent-local",
    "Nightdesk's laptop half: shows what waits, and carries out what you approve, once.",
)
app.add_typer(hub_cli.app, name="hub")
app.add_typer(log_cli.app, name="log")
IdArgument = Annotated[str, typer.Argument(help="The note's id, or how it begins.")]


@app.command()
def demo(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep everything in this folder.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the whole desk on this machine: a mail comes, a draft waits, you approve, it is sent."""
    from nightdesk.local_agent.demo import run_demo

    logs.configure()
    raise typer.Exit(run_demo(directory, approve_alone=yes, as_json=as_json))


@app.command()
def init(
    config: ConfigOption = None,
    vault: Annotated[Path | None, typer.Option(help="Folder of the vault.")] = None,
    hub: Annotated[str | None, typer.Option(help="The hub: a path, ssh or https URL.")] = None,
    hub_user: Annotated[str, typer.Option(help="Login name at an https hub.")] = "",
    hub_ca_file: Annotated[
        Path | None, typer.Option(help="PEM file of the https hub's own certificate authority.")
    ] = None,
    name: Annotated[str, typer.Option(help="The agent's name in the vault.")] = "local",
    address: Annotated[str | None, typer.Option(help="Your e-mail address.")] = None,
    user: Annotated[str, typer.Option(help="Your name, for signing drafts.")] = "",
    smtp: Annotated[str | None, typer.Option(help="Your mail server, HOST:PORT.")] = None,
    smtp_user: Annotated[str, typer.Option(help="Login name at the mail server.")] = "",
    sent_maildir: Annotated[
        Path | None,
        typer.Option(help="Maildir with the mails you have sent; looked into when in doubt."),
    ] = None,
    trust_cloud: Annotated[
        list[Path] | None, typer.Option(help="File with the cloud's public key; repeatable.")
    ] = None,
    trust_device: Annotated[
        list[Path] | None,
        typer.Option(help="File with the public key of another device of yours; repeatable."),
    ] = None,
    non_interactive: Annotated[bool, typer.Option(help="Ask nothing.")] = False,
) -> None:
    """Set the laptop up: begin the vault and its hub, write the configuration, make a key."""
    setup.init(
        given_config=config,
        vault=vault,
        hub=hub,
        hub_user=hub_user,
        hub_ca_file=hub_ca_file,
        name=name,
        address=address,
        user=user,
        smtp=smtp,
        smtp_user=smtp_user,
        sent_maildir=sent_maildir,
        clouds=trust_cloud or [],
        devices=trust_device or [],
        unattended=non_interactive,
    )


@app.command()
def run(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="One pass, then exit.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the agent: execute what is approved, sync, show, until stopped."""
    from nightdesk.local_agent.agent import LocalAgent
    from nightdesk.runtime.daemon import serve

    logs.configure(verbose=verbose)
    desk = open_desk(Role.LOCAL, config)
    serve(desk, LocalAgent(desk), once=once)


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what waits, what is held back or refused, and whether the agent runs."""
    from nightdesk.local_agent.view import read_attention
    from nightdesk.runtime.status import show_status, status_of

    desk = open_desk(Role.LOCAL, config)
    found = status_of(desk) | {"needs_a_look": read_attention(desk.state)}
    show_status(found, as_json=as_json)


@app.command()
def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check everything that a new set-up gets wrong, and say what to do."""
    from nightdesk.local_agent.doctor import checks

    desk = open_desk(Role.LOCAL, config, check_vault=False)
    show_checks(checks(desk), as_json=as_json)


@app.command()
def pending(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what waits for you."""
    desk = open_desk(Role.LOCAL, config)
    found = waiting_notes.waiting(desk.vault, _known(desk))
    if as_json:
        print_json(
            [
                {
                    "id": w.place.stem,
                    "path": w.place.path,
                    "action": w.card.action.NAME if w.card else "",
                    "summary": w.card.action.summary() if w.card else w.fault,
                    "warnings": [risk.line for risk in w.risks],
                    "type": list(w.to_type),
                    "expires": w.card.expires if w.card else None,
                }
                for w in found
            ]
        )
        return
    if not found:
        typer.echo("Nothing waits for you.")
        return
    show_table(
        ("id", "what", "warnings", "to type"),
        [
            (
                w.place.stem,
                w.card.action.summary() if w.card else w.fault,
                str(len(w.risks)) if w.card else "",
                ", ".join(w.to_type),
            )
            for w in found
        ],
    )


@app.command()
def show(note_id: IdArgument, config: ConfigOption = None) -> None:
    """Print a waiting note as it stands."""
    desk = open_desk(Role.LOCAL, config)
    place = waiting_notes.find(desk.vault, note_id)
    typer.echo(read(desk.vault, place.path).decode("utf-8", "replace"))


@app.command()
def approve(
    note_id: IdArgument,
    confirm: Annotated[
        str, typer.Option("--confirm", help="What a risky card asks you to type.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a waiting note: moves it to Approved/."""
    desk = open_desk(Role.LOCAL, config)
    moved = waiting_notes.approve(desk.vault, note_id, _known(desk), confirm)
    _moved(moved, as_json=as_json)


@app.command()
def reject(
    note_id: IdArgument,
    feedback: Annotated[
        str, typer.Option("--feedback", "-f", help="What to do better; asks for a new draft.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decline a waiting note: moves it to Rejected/."""
    desk = open_desk(Role.LOCAL, config)
    _moved(waiting_notes.reject(desk.vault, note_id, feedback), as_json=as_json)


@app.command()
def undo(note_id: IdArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Take an approval back while it is held; says so if it is too late."""
    from nightdesk.local_agent.undo import undo as take_back

    path = take_back(open_desk(Role.LOCAL, config), note_id)
    if as_json:
        print_json({"ok": True, "path": path})
    else:
        typer.echo(f"Taken back in time: nothing was sent. It lies in {path} again.")


@app.command()
def stop(
    config: ConfigOption = None,
    off: Annotated[bool, typer.Option("--off", help="Let the work go on again.")] = False,
) -> None:
    """Emergency stop: nothing is carried out until it is taken back (STOP.md in the vault)."""
    desk = open_desk(Role.LOCAL, config)
    if off:
        stopping.release(desk.vault)
        typer.echo("Work goes on.")
    else:
        stopping.stop(desk.vault)
        typer.echo(f"Stopped. `agent-local stop --off`, or deleting {STOP_FILE}, lets it go on.")


def _known(desk: Desk) -> Known:
    with Journal(desk.state / "journal.sqlite") as journal:
        return Knowledge(journal, desk.vault, desk.settings).now()


def _moved(path: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True, "path": path})
    else:
        typer.echo(f"Moved to {path}. The running agent takes it from there.")


@app.command()
def skills(as_json: JsonOption = False) -> None:
    """List the skills of the laptop's agent."""
    from nightdesk.local_agent.skills import HANDLERS
    from nightdesk.skills.manifest import load_skills, skills_root
    from nightdesk.skills.registry import Registry

    show_skills(Registry(Role.LOCAL, load_skills(skills_root()), HANDLERS), as_json=as_json)


@app.command()
def mcp(
    server: Annotated[str, typer.Argument(help="Which server: email.")],
    config: ConfigOption = None,
) -> None:
    """Serve all tools over MCP on standard input and output; sending asks for a receipt."""
    from nightdesk.mcp_servers.email import full
    from nightdesk.mcp_servers.email.context import context_for
    from nightdesk.mcp_servers.stdio import run_stdio

    if server != "email":
        raise UsageError(f"there is no MCP server {server!r}", remedy="Known servers: email")
    desk = open_desk(Role.LOCAL, config)
    run_stdio(full.make_server(context_for(desk.settings, desk.state)))


def main() -> None:
    """Entry point of `agent-local`."""
    run_app(app)


if __name__ == "__main__":
    main()

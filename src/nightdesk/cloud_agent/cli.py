"""`agent-cloud`: the command of the cloud half."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightdesk.cloud_agent import setup
from nightdesk.cloud_agent.agent import CloudAgent
from nightdesk.cloud_agent.skills import HANDLERS
from nightdesk.errors import UsageError
from nightdesk.mcp_servers.email import draft
from nightdesk.mcp_servers.email.context import context_for
from nightdesk.mcp_servers.stdio import run_stdio
from nightdesk.policy import Role
from nightdesk.runtime.command import (
    ConfigOption,
    JsonOption,
    VerboseOption,
    new_app,
    open_desk,
    run_app,
)
from nightdesk.runtime.daemon import serve
from nightdesk.runtime.doctor import shared_checks
from nightdesk.runtime.shown import show_checks, show_skills
from nightdesk.runtime.status import show_status, status_of
from nightdesk.skills.manifest import load_skills, skills_root
from nightdesk.skills.registry import Registry
from nightdesk.supervise import logs

app = new_app(
    "agent-cloud",
    "Nightdesk's cloud half: reads mail, drafts, asks for approval. It can never send.",
)


@app.command()
def init(
    config: ConfigOption = None,
    vault: Annotated[Path | None, typer.Option(help="Folder for the vault's clone.")] = None,
    hub: Annotated[str | None, typer.Option(help="The hub: a path, ssh or https URL.")] = None,
    hub_user: Annotated[str, typer.Option(help="Login name at an https hub.")] = "",
    hub_ca_file: Annotated[
        Path | None, typer.Option(help="PEM file of the https hub's own certificate authority.")
    ] = None,
    name: Annotated[str, typer.Option(help="The agent's name in the vault.")] = "cloud",
    address: Annotated[str | None, typer.Option(help="The user's e-mail address.")] = None,
    user: Annotated[str, typer.Option(help="The user's name, for signing drafts.")] = "",
    email: Annotated[
        str | None, typer.Option(help="Where mail comes from: maildir:DIR, or none.")
    ] = None,
    hub_only: Annotated[
        Path | None,
        typer.Option(help="Only make a bare hub in this folder, or renew its programs."),
    ] = None,
    owner_key: Annotated[
        Path | None, typer.Option(help="File with the laptop's public key, for --hub-only.")
    ] = None,
    device_key: Annotated[
        list[Path] | None,
        typer.Option(help="File with the public key of another device of the owner's; repeatable."),
    ] = None,
    agent_key: Annotated[
        list[Path] | None,
        typer.Option(help="File with an agent's public key, for --hub-only; repeatable."),
    ] = None,
    trust_local: Annotated[
        list[Path] | None, typer.Option(help="File with the laptop's public key.")
    ] = None,
    non_interactive: Annotated[bool, typer.Option(help="Ask nothing.")] = False,
) -> None:
    """Set the cloud side up: clone the vault, write the configuration, make a key."""
    if hub_only is not None:
        setup.make_hub(hub_only, owner_key, agent_key or [], device_key or [])
        return
    setup.init(
        given_config=config,
        vault=vault,
        hub=hub,
        hub_user=hub_user,
        hub_ca_file=hub_ca_file,
        name=name,
        address=address,
        user=user,
        email=email,
        trusted=trust_local or [],
        unattended=non_interactive,
    )


@app.command()
def run(
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="One pass, then exit.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the agent: watch, claim, draft, report, until stopped."""
    logs.configure(verbose=verbose)
    desk = open_desk(Role.CLOUD, config)
    serve(desk, CloudAgent(desk), once=once)


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what the vault holds, what is held back, and whether the agent runs."""
    show_status(status_of(open_desk(Role.CLOUD, config)), as_json=as_json)


@app.command()
def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check everything that a new set-up gets wrong, and say what to do."""
    desk = open_desk(Role.CLOUD, config, check_vault=False)
    show_checks(shared_checks(desk), as_json=as_json)


@app.command()
def skills(as_json: JsonOption = False) -> None:
    """List the skills of the cloud agent."""
    show_skills(Registry(Role.CLOUD, load_skills(skills_root()), HANDLERS), as_json=as_json)


@app.command()
def mcp(
    server: Annotated[str, typer.Argument(help="Which server: email.")],
    config: ConfigOption = None,
) -> None:
    """Serve the draft-only tools over MCP on standard input and output."""
    if server != "email":
        raise UsageError(f"there is no MCP server {server!r}", remedy="Known servers: email")
    desk = open_desk(Role.CLOUD, config)
    run_stdio(draft.make_server(context_for(desk.settings, desk.state)))


def main() -> None:
    """Entry point of `agent-cloud`."""
    run_app(app)


if __name__ == "__main__":
    main()

"""`agent-local log`: what was done, and whether the log still says so."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from nightdesk.errors import AuditBroken, UsageError
from nightdesk.local_agent import log_check
from nightdesk.local_agent.audit import entries
from nightdesk.local_agent.journal import Journal
from nightdesk.policy import Role
from nightdesk.runtime.command import ConfigOption, Desk, JsonOption, open_desk, print_json

app = typer.Typer(help="Show what was done; `log verify` checks that the log still says so.")


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    config: ConfigOption = None,
    day: Annotated[str, typer.Option("--day", help="Only this day, YYYY-MM-DD (UTC).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what was done, oldest first, by the journal."""
    if context.invoked_subcommand:
        context.obj = config
        return
    if day:
        _check_day(day)
    with _journal(open_desk(Role.LOCAL, config)) as journal:
        found = [entry for entry in entries(journal) if day in {"", entry.day}]
    if as_json:
        print_json(
            [
                {
                    "entry": entry.key,
                    "card": entry.card,
                    "at": f"{entry.day}T{entry.title.partition(' ')[0]}",
                    "title": entry.title.partition(" ")[2],
                    "lines": entry.lines,
                    "file": entry.path,
                    "written": entry.written,
                }
                for entry in found
            ]
        )
        return
    if not found:
        typer.echo(f"Nothing was done on {day}." if day else "Nothing was done yet.")
    for entry in found:
        lines = "".join(f"\n    {line}" for line in entry.lines)
        typer.echo(f"{entry.day} {entry.title}{lines}")


@app.command()
def verify(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Find every changed, removed, moved, inserted or forged entry; exit code 5 if there is one."""
    desk = open_desk(Role.LOCAL, config or context.obj)
    with _journal(desk) as journal:
        report = log_check.verify(desk.vault, journal, datetime.now(UTC))
    if as_json:
        print_json({"ok": not report.faults} | asdict(report))
        raise typer.Exit(AuditBroken.exit_code if report.faults else 0)
    for note in report.notes:
        typer.echo(f"note  {note}")
    for fault in report.faults:
        place = f"{fault.path}, line {fault.line}" if fault.line else fault.path
        typer.echo(f"FAULT {place}: {fault.what}")
        for word, text in (("was", fault.was), ("now", fault.now)):
            for line in text.split("\n") if text else []:
                typer.echo(f"        {word}: {line}")
    if report.faults:
        raise AuditBroken(
            f"the log is not what was written (faults: {len(report.faults)})",
            remedy="Find out who changed it; `agent-local log` shows what was done, and the "
            "vault's git history shows who wrote what",
            where=f"{desk.vault}/Logs",
        )
    typer.echo(
        f"ok    {report.entries} entries in {report.days} files, as they were written; "
        f"the journal's chain of {report.events} events is unbroken"
    )


def _journal(desk: Desk) -> Journal:
    return Journal(desk.state / "journal.sqlite")


def _check_day(day: str) -> None:
    try:
        datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{day!r} is no day", remedy="Write it as 2026-11-23") from None

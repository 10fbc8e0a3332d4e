"""What both commands show in the same way: checks, skills, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Table

from nightdesk.runtime.command import print_json
from nightdesk.skills.registry import Registry


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that `doctor` looked at.

    Attributes:
        name: what was checked.
        ok: True, False, or None for a warning.
        detail: what was found.
        remedy: what to do; "" when all is well.
    """

    name: str
    ok: bool | None
    detail: str = ""
    remedy: str = ""


def show_checks(checks: Iterable[Check], *, as_json: bool) -> None:
    """Print the checks as they come; exit code 1 if one failed.

    Raises:
        typer.Exit: with code 1 after a failed check.
    """
    found: list[Check] = []
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        found.append(check)
        if as_json:
            continue
        mark = {True: "ok  ", False: "FAIL", None: "warn"}[check.ok]
        console.print(f"{mark}  {check.name}: {check.detail}", markup=False)
        if check.remedy:
            console.print(f"      -> {check.remedy}", markup=False)
    failed = [check for check in found if check.ok is False]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    if failed:
        raise typer.Exit(1)


def show_skills(registry: Registry, *, as_json: bool) -> None:
    """List the skills of this role."""
    skills = [registry.get(name) for name in registry.names()]
    rows = [
        {
            "name": skill.name,
            "role": skill.role,
            "zone": skill.zone,
            "trigger": skill.trigger,
            "tools": list(skill.allowed_tools),
            "description": skill.description,
        }
        for skill in skills
    ]
    if as_json:
        print_json(rows)
        return
    show_table(("skill", "role", "trigger"), [(s.name, s.role, s.trigger) for s in skills])


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain table."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)

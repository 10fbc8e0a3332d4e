"""Killed at every step: never two messages, and never one that is forgotten.

The judge is the far side's ledger, not the journal. The person in these tests answers a
question truthfully and approves again what came back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SWEEP = Path(__file__).with_name("local_crash_sweep.py")


def _sweep(folder: Path, scenario: str, plan: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(SWEEP), str(folder), scenario, plan],
        check=False, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(report: dict[str, Any]) -> None:
    assert report["ledger"] <= 1, report
    after = report["after"]
    assert (after["ledger"], after["state"], after["left"]) == (1, "DONE", []), report
    assert after["faults"] == [], report
    assert (after["done"], after["logged"]) == (2, 1), report  # the card and its task


@pytest.mark.parametrize("scenario", ["accepted", "refused", "lost"])
def test_at_each_named_point(tmp_path: Path, scenario: str) -> None:
    reports = {r["at"]: r for r in _sweep(tmp_path, scenario, "points")}
    for report in reports.values():
        _check(report)
    assert reports["K7"]["state"] == "HUMAN_DECIDES"
    assert reports["K7"]["ledger"] == 0
    for point in ("K8", "K9"):
        assert reports[point]["state"] == "HUMAN_DECIDES"
    killed = {point for point, r in reports.items() if r["killed"]}
    if scenario == "accepted":
        assert killed == {f"K{n}" for n in range(13)}
        assert all(reports[f"K{n}"]["state"] == "DONE" for n in (0, 1, 2, 3, 4, 5, 6, 10, 11, 12))


@pytest.mark.parametrize("scenario", ["accepted", "refused"])
def test_at_every_system_call_and_commit(tmp_path: Path, scenario: str) -> None:
    reports = _sweep(tmp_path, scenario, "steps")
    for report in reports:
        _check(report)
    assert sum(r["killed"] for r in reports) > 40
    if scenario == "accepted":
        assert {r["state"] for r in reports} == {"DONE", "HUMAN_DECIDES"}

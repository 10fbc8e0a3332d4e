"""Is the log what was written? The files of `Logs/` against the journal's chain."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from nightdesk.local_agent.audit import MAX_LOG_BYTES, Entry, entries
from nightdesk.local_agent.journal import Journal
from nightdesk.local_agent.log_compare import Comparison, Fault, Report
from nightdesk.vault.files import read_regular
from nightdesk.vault.layout import Folder

_AGAIN_SECONDS = 0.5


def verify(vault: Path, journal: Journal, now: datetime) -> Report:
    """Check the journal's chain, then every file of the log against it; changes nothing.

    The agent may be writing meanwhile, so what is found is looked at twice.

    Args:
        now: the present moment, aware; a file of a later day cannot be right.

    Raises:
        AuditBroken: the journal's own chain is broken, so there is nothing to compare with.
        NightdeskError: the journal cannot be read.
    """
    report = _look(vault, journal, now)
    if report.faults:
        time.sleep(_AGAIN_SECONDS)
        again = _look(vault, journal, now)
        again.faults = [fault for fault in again.faults if fault in report.faults]
        return again
    return report


def _look(vault: Path, journal: Journal, now: datetime) -> Report:
    # The files first: an entry is in the journal before it is in its file.
    report = Report()
    texts = dict(_files(vault, report))
    events = journal.verify_chain()
    recorded = entries(journal)
    report.events, report.entries = events, len(recorded)
    by_day: dict[str, list[Entry]] = {}
    for entry in recorded:
        by_day.setdefault(entry.day, []).append(entry)
    report.days = len(by_day)
    comparison = Comparison(report, {e.key: e for e in recorded}, journal.began() or now, now)
    for day, expected in sorted(by_day.items()):
        path = f"{Folder.LOGS}/{day}.md"
        if path in texts:
            comparison.day(path, texts.pop(path), expected)
        elif lost := [entry for entry in expected if entry.written]:
            listed = "\n\n".join(entry.text for entry in lost)
            what = f"the file is not there; it held {_count(len(lost))}"
            if all(fault.path != path for fault in report.faults):
                report.faults.append(Fault(path, 0, what, was=listed))
    for path, text in sorted(texts.items()):
        comparison.other(path, text)
    if waiting := sum(not entry.written for entry in recorded):
        report.notes.append(f"{_count(waiting)} still to be written by the running agent")
    return report


def _files(vault: Path, report: Report) -> Iterator[tuple[str, str]]:
    folders = [str(Folder.LOGS)]
    if (vault / Folder.LOGS).is_symlink():
        report.faults.append(Fault(str(Folder.LOGS), 0, "a link stands in place of the folder"))
        return
    while folders:
        folder = folders.pop()
        try:
            found = sorted(os.scandir(vault / folder), key=lambda e: e.name)
        except FileNotFoundError:
            continue
        except OSError as e:
            report.faults.append(Fault(folder, 0, f"it cannot be read as a folder ({e.strerror})"))
            continue
        for item in found:
            path = f"{folder}/{item.name}"
            if item.name.startswith("."):
                continue
            if item.is_symlink():
                report.faults.append(Fault(path, 0, "a link stands in place of a file"))
            elif item.is_dir():
                folders.append(path)
            elif item.name.casefold().endswith(".md"):
                try:
                    data = read_regular(vault / path, MAX_LOG_BYTES)
                except FileNotFoundError:
                    continue
                except OSError as e:
                    report.faults.append(Fault(path, 0, f"it cannot be read ({e.strerror})"))
                    continue
                yield path, data.decode("utf-8", "replace")


def _count(number: int) -> str:
    return "one entry" if number == 1 else f"{number} entries"

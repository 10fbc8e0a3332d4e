"""The log against the journal: every change is found, and what only looks like one is not."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from local_laptop import START, Laptop
from typer.testing import CliRunner

from nightdesk.local_agent import log_check
from nightdesk.local_agent.cli import app
from nightdesk.local_agent.log_compare import Report
from nightdesk.local_agent.log_text import canonical, hidden, read_day

LOG = "Logs/2026-11-23.md"
TASKS = [f"2026-11-23-question-{n}-00000{n}" for n in range(4)]
CARDS = [f"{task}-email-1" for task in TASKS]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_check, "_AGAIN_SECONDS", 0)


def send(laptop: Laptop, number: int) -> None:
    laptop.task(TASKS[number])
    laptop.card(CARDS[number], TASKS[number])
    name = f"email/{CARDS[number]}.md"
    laptop.move(f"Pending_Approval/{name}", f"Approved/{name}")
    laptop.executor.pass_once()
    laptop.later(60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model") / "laptop"
    made = Laptop(root)
    for number in range(3):
        send(made, number)
    assert len(made.ledger) == 3
    made.close()
    return root


@pytest.fixture
def laptop(tmp_path: Path, model: Path) -> Iterator[Laptop]:
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    made = Laptop.__new__(Laptop)
    made.reopen(tmp_path)
    made.later(180)
    yield made
    made.close()


def check(laptop: Laptop) -> Report:
    return log_check.verify(laptop.vault, laptop.journal, laptop.clock())


def whats(laptop: Laptop) -> list[str]:
    return [f"{f.path}:{f.line} {f.what}" for f in check(laptop).faults]


def rewrite(laptop: Laptop, change: Callable[[str], str], path: str = LOG) -> None:
    before = laptop.read(path)
    after = change(before)
    assert after != before
    (laptop.vault / path).write_text(after, "utf-8")


def parts(text: str) -> list[str]:
    """The header, then the entries."""
    head, *rest = text.split("## ")
    return [head, *("## " + one for one in rest)]


def line_of(laptop: Laptop, words: str) -> int:
    lines = laptop.read(LOG).split("\n")
    return next(n for n, line in enumerate(lines, start=1) if words in line)


def test_an_entry_says_who_when_by_which_move_and_what_came_of_it(laptop: Laptop) -> None:
    report = check(laptop)
    assert (report.faults, report.notes, report.entries, report.days) == ([], [], 3, 1)
    row = laptop.journal.get(CARDS[0])
    assert row is not None
    text = parts(laptop.read(LOG))[1]
    assert text.startswith("## 08:14:05Z email.send – sent\n")
    for words in (
        f"- Card: [[{CARDS[0]}]]",
        "- To: `ada@example.com`",
        f"- Message-ID: `{row.message_id}`",
        "- The server said: `250 OK`",
        f"- Approved: 2026-11-23T08:14:05Z, by you, moving it to `Approved/email/{CARDS[0]}.md`",
        f"- Digest: `{row.digest}`",
    ):
        assert words in text.split("\n")


def _swap(text: str) -> str:
    head, one, two, three = parts(text)
    return head + two + one + three


CHANGES: dict[str, tuple[Callable[[str], str], str]] = {
    "a recipient": (lambda t: t.replace("ada@example.com", "eve@example.com", 1), "was changed"),
    "the time": (lambda t: t.replace("08:14:05Z", "07:14:05Z", 1), "was changed"),
    "the outcome": (lambda t: t.replace("– sent", "– not sent", 1), "was changed"),
    "a line more": (lambda t: t.replace("- To:", "- Bcc: `x`\n- To:", 1), "was changed"),
    "a line more at its end": (
        lambda t: t.replace("#1 sent`\n", "#1 sent`\n- Bcc: `x`\n", 1),
        "was changed",
    ),
    "a line less": (lambda t: t.replace("- The server said: `250 OK`\n", "", 1), "was changed"),
    "its key": (lambda t: t.replace("#1 sent`", "#2 sent`", 1), "was changed"),
    "a link that says something else": (
        lambda t: t.replace(f"[[{CARDS[0]}]]", f"[[{CARDS[0]}|never approved]]"),
        "was changed",
    ),
    "a link to something else": (
        lambda t: t.replace(f"[[{CARDS[0]}]]", f"[[Done/{CARDS[1]}|{CARDS[1]}]]"),
        "was changed",
    ),
    "a link out of the vault": (
        lambda t: t.replace(f"[[{CARDS[0]}]]", f"[{CARDS[0]}](https://e.example/{CARDS[0]})"),
        "was changed",
    ),
    "a link inside code": (
        lambda t: t.replace("`250 OK`", f"`[[x/{CARDS[0]}]]`", 1),
        "was changed",
    ),
    "the first removed": (lambda t: t.replace(parts(t)[1], ""), "#1 sent` is missing"),
    "the last removed": (lambda t: t.replace(parts(t)[3], ""), "#1 sent` is missing"),
    "the tail cut off": (lambda t: t[:-40], "was changed"),
    "all but the header cut off": (lambda t: parts(t)[0], "is missing"),
    "emptied": (lambda t: "", "is missing"),
    "two swapped": (_swap, "is not in its place"),
    "the last first": (
        lambda t: parts(t)[0] + parts(t)[3] + "\n" + parts(t)[1] + parts(t)[2],
        "is not in its place",
    ),
    "one twice": (lambda t: t + "\n" + parts(t)[1], "it stands there twice"),
    "one forged": (
        lambda t: t + "\n" + parts(t)[1].replace(CARDS[0], "2026-11-23-never-abcdef-email-1"),
        "was not written by this laptop",
    ),
    "one forged without a mark": (
        lambda t: t + "\n## 09:00:00Z email.send – sent\n- To: `eve@example.com`\n",
        "was not written by this laptop",
    ),
    "one forged without a heading": (
        lambda t: t + "\n- To: `eve@example.com`\n- Entry: `x #1 sent`\n",
        "was not written by this laptop",
    ),
    "one forged in another dress": (
        lambda t: t + "\n> ### **09:00:00Z** email.send\n",
        "was not written by this laptop",
    ),
    "hidden in a comment": (
        lambda t: t.replace("## 08:14:05Z", "%%\n\n## 08:14:05Z") + "\n%%\n",
        "is hidden by what begins on line 3",
    ),
    "hidden in a fence": (
        lambda t: t.replace("## 08:15:05Z", "```\n## 08:15:05Z") + "```\n",
        "is hidden by what begins",
    ),
    "hidden in HTML": (
        lambda t: t.replace("## 08:15:05Z", "<!-- x\n\n## 08:15:05Z", 1) + "\n-->\n",
        "is hidden by what begins",
    ),
    "hidden in properties": (lambda t: f"---\nx: y\n{t}", "is hidden by what begins on line 1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_found(laptop: Laptop, name: str) -> None:
    change, what = CHANGES[name]
    rewrite(laptop, change)
    faults = check(laptop).faults
    assert any(what in fault.what for fault in faults), faults
    assert all(fault.path == LOG for fault in faults)
    # and nothing that was not touched is blamed
    assert len(faults) <= (3 if "is missing" in what or "is hidden" in what else 1), faults


def test_every_line_of_every_entry_counts(laptop: Laptop) -> None:
    path, lines = laptop.vault / LOG, laptop.read(LOG).split("\n")
    tried = 0
    for n, line in enumerate(lines):
        if n == 0 or not line:
            continue
        for changed in ([], [line + "x"], [line[:-1]], [line, line], ["x", line], ["", line[2:]]):
            path.write_text("\n".join([*lines[:n], *changed, *lines[n + 1 :]]), "utf-8")
            if changed == ["x", line] and line.startswith("## "):
                assert check(laptop).notes  # a line of one's own above a heading
            else:
                assert check(laptop).faults, (n, changed)
            tried += 1
    assert tried > 100
    whole = "\n".join(lines).encode()
    for size in range(len(whole.rstrip()) - 1, 0, -11):
        path.write_bytes(whole[:size])
        assert check(laptop).faults, size
    path.write_bytes(whole)
    assert check(laptop).faults == []


def test_a_fault_names_the_line_and_what_was_there(laptop: Laptop) -> None:
    rewrite(laptop, lambda t: t.replace("ada@example.com", "eve@example.com", 1))
    (fault,) = check(laptop).faults
    assert fault.line == line_of(laptop, "eve@example.com")
    assert (fault.was, fault.now) == ("- To: `ada@example.com`", "- To: `eve@example.com`")
    rewrite(laptop, lambda t: t.replace("eve@example.com", "ada@example.com", 1))
    assert whats(laptop) == []
    second = parts(laptop.read(LOG))[2]
    rewrite(laptop, lambda t: t.replace(second, ""))
    (fault,) = check(laptop).faults
    assert f"`{CARDS[1]} #1 sent` is missing" in fault.what
    assert fault.line == line_of(laptop, f"Entry: `{CARDS[0]} #1 sent`") + 1
    assert "ada@example.com" in fault.was


def _long(t: str) -> str:
    for card in CARDS:
        t = t.replace(f"[[{card}]]", f"[[Done/2026-11/{card}|{card}]]")
    return t


HARMLESS: dict[str, Callable[[str], str]] = {
    "links with their path": _long,
    "links as Markdown": lambda t: t.replace(
        f"[[{CARDS[0]}]]", f"[{CARDS[0]}](Done/2026-11/{CARDS[0]}.md)"
    ),
    "links in pointed brackets": lambda t: t.replace(
        f"[[{CARDS[0]}]]", f"[{CARDS[0]}](<../Done/2026-11/{CARDS[0]}.md>)"
    ),
    "spaces at the ends": lambda t: t.replace("\n", "  \n"),
    "line ends of Windows": lambda t: t.replace("\n", "\r\n"),
    "no line end at the end": lambda t: t.rstrip("\n"),
    "more empty lines": lambda t: t.replace("\n\n", "\n\n\n\n"),
    "no empty lines": lambda t: t.replace("\n\n", "\n"),
    "another header": lambda t: t.replace("# Log of 2026-11-23 (UTC)", "", 1),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_obsidian_and_editors_do_is_no_fault(laptop: Laptop, name: str) -> None:
    path = laptop.vault / LOG
    data = HARMLESS[name](laptop.read(LOG)).encode()
    assert data != path.read_bytes()
    path.write_bytes(data)
    assert (whats(laptop), check(laptop).notes) == ([], [])
    send(laptop, 3)  # and the next entry goes into it as ever
    assert whats(laptop) == []
    assert check(laptop).entries == 4


def test_a_persons_own_text_is_no_fault_and_is_told(laptop: Laptop) -> None:
    own = "I asked Ada about this.\n```\n## code\n```\n%% note %% <!-- x -->\n\n"
    rewrite(laptop, lambda t: t.replace("## 08:15:05Z", f"{own}## 08:15:05Z"))
    report = check(laptop)
    assert report.faults == []
    at = line_of(laptop, "I asked Ada")
    assert report.notes == [f"{LOG}, line {at}–{at + 4}: not an entry, somebody's own text"]
    laptop.write("Logs/my thoughts.md", b"# Quarterly\n\nAll is well.\n")
    assert check(laptop).faults == []


def test_files_that_are_gone_moved_linked_or_of_tomorrow(laptop: Laptop) -> None:
    text = laptop.read(LOG)
    os.rename(laptop.vault / LOG, laptop.vault.parent / "elsewhere.md")
    (fault,) = check(laptop).faults
    assert (fault.path, fault.line) == (LOG, 0)
    assert "it held 3 entries" in fault.what
    assert text.count("- Entry") == fault.was.count("- Entry")
    (laptop.vault / LOG).symlink_to(laptop.vault.parent / "elsewhere.md")
    assert whats(laptop) == [f"{LOG}:0 a link stands in place of a file"]
    (laptop.vault / LOG).unlink()
    os.mkfifo(laptop.vault / LOG)
    assert "cannot be read" in whats(laptop)[0]
    (laptop.vault / LOG).unlink()
    laptop.write(LOG, text.encode())
    laptop.write("Logs/2026-11-24.md", text.encode())
    laptop.write("Logs/2026-11-22.md", parts(text)[1].encode())
    laptop.write("Logs/2026-11-25.md", text.replace("question-0", "question-9").encode())
    laptop.write("Logs/old/copy.md", b"## 08:00:00Z email.send\n- x\n")
    found = whats(laptop)
    assert len([f for f in found if f"it belongs to {LOG}" in f]) == 6
    assert len([f for f in found if "a day that has not come" in f]) == 1
    assert len([f for f in found if "no day's log" in f]) == 1
    assert all(not f.startswith(LOG) for f in found)
    os.rename(laptop.vault / "Logs", laptop.vault / "Other")
    (laptop.vault / "Logs").write_text("a file")
    assert any("cannot be read as a folder" in found for found in whats(laptop))
    (laptop.vault / "Logs").unlink()
    (laptop.vault / "Logs").symlink_to(laptop.vault / "Other")
    assert f"{'Logs'}:0 a link stands in place of the folder" in whats(laptop)


def test_a_copy_that_sync_kept_is_no_forgery(laptop: Laptop) -> None:
    text = laptop.read(LOG)
    laptop.write("Logs/2026-11-23.conflict-0123abcd.md", text.encode())
    assert whats(laptop) == []
    forged = text.replace("ada@example.com", "eve@example.com", 1)
    laptop.write("Logs/2026-11-23.conflict-0123abce.md", forged.encode())
    assert len(whats(laptop)) == 1


def test_executing_goes_on_without_the_log(laptop: Laptop) -> None:
    (laptop.vault / LOG).unlink()
    send(laptop, 3)
    assert len(laptop.ledger) == 1
    assert laptop.state_of(CARDS[3]) == "DONE"
    faults = check(laptop).faults
    assert len(faults) == 3  # the removed ones; they are not made again
    assert all("is missing" in fault.what for fault in faults)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_log_that_cannot_be_written_is_told_and_made_up_for(laptop: Laptop, kind: str) -> None:
    laptop.moment += timedelta(days=1)
    tomorrow = laptop.vault / "Logs/2026-11-24.md"
    outside = laptop.vault.parent / "outside.md"
    if kind == "link":
        tomorrow.symlink_to(outside)
    else:
        tomorrow.mkdir()
    send(laptop, 3)
    assert laptop.state_of(CARDS[3]) == "DONE"
    assert not outside.exists()
    (refusal,) = laptop.journal.refusals()
    assert "cannot be written" in refusal.reason
    assert "one entry still to be written" in check(laptop).notes[0]
    laptop.restart()
    if kind == "link":
        tomorrow.unlink()
    else:
        tomorrow.rmdir()
    laptop.executor.pass_once()
    assert laptop.journal.refusals() == []
    assert (whats(laptop), check(laptop).notes) == ([], [])
    assert CARDS[3] in tomorrow.read_text()


def test_what_is_older_than_the_journal_cannot_be_checked(laptop: Laptop, tmp_path: Path) -> None:
    other = Laptop(tmp_path / "new")
    other.moment = START + timedelta(days=2)
    other.write(LOG, laptop.read(LOG).encode())
    send(other, 3)
    report = check(other)
    assert report.faults == []
    assert len(report.notes) == 3
    assert "older than this laptop's journal" in report.notes[0]


def _config(laptop: Laptop) -> list[str]:
    config = laptop.vault.parent / "local.toml"
    config.write_text(
        f'name = "local"\nvault = "{laptop.vault}"\n[hub]\nurl = "/nowhere"\n'
        '[email]\naddress = "me@example.org"\n'
    )
    os.rename(laptop.state, f"{config}.state")
    return ["--config", str(config)]


def _run(*words: str) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.stdout, done.exception


def test_the_commands(laptop: Laptop) -> None:
    laptop.close()
    config = _config(laptop)
    code, said, _ = _run("log", "--json", *config)
    shown: list[dict[str, Any]] = json.loads(said)
    assert (code, [e["card"] for e in shown]) == (0, CARDS[:3])
    assert shown[0]["at"] == "2026-11-23T08:14:05Z"
    assert shown[0]["title"] == "email.send – sent"
    assert "To: `ada@example.com`" in shown[0]["lines"]
    assert _run("log", "--day", "2026-11-22", *config)[1] == "Nothing was done on 2026-11-22.\n"
    assert CARDS[0] in _run("log", "--day", "2026-11-23", *config)[1]
    assert _run("log", "--day", "yesterday", *config)[0] != 0
    for words in (("log", "verify", *config), ("log", *config, "verify")):
        code, said, _ = _run(*words)
        assert (code, said[:12]) == (0, "ok    3 entr")
    rewrite(laptop, lambda t: t.replace("ada@example.com", "eve@example.com", 1))
    code, said, error = _run("log", "verify", *config)
    assert getattr(error, "exit_code", None) == 5
    line = line_of(laptop, "eve@example.com")
    assert f"{LOG}, line {line}: the entry" in said
    assert "was: - To: `ada@example.com`" in said
    code, said, _ = _run("log", "verify", "--json", *config)
    assert code == 5
    assert json.loads(said)["faults"][0]["line"] == line


def test_a_changed_journal_is_found_too(laptop: Laptop) -> None:
    laptop.close()
    config = _config(laptop)
    with sqlite3.connect(f"{config[1]}.state/journal.sqlite") as db:
        db.execute("UPDATE events SET detail=replace(detail, 'ada@', 'eve@')")
    db.close()
    error = _run("log", "verify", *config)[2]
    assert getattr(error, "exit_code", None) == 5
    assert "chain is broken" in str(error)


def test_a_journal_cut_short_is_found_by_the_log(laptop: Laptop) -> None:
    with sqlite3.connect(laptop.journal.path) as db:
        db.execute("DELETE FROM events WHERE id=?", (CARDS[2],))
        db.execute("DELETE FROM actions WHERE id=?", (CARDS[2],))
    db.close()
    assert laptop.journal.verify_chain() > 0  # it fits together
    (fault,) = check(laptop).faults
    assert fault.what == "this entry was not written by this laptop"
    assert CARDS[2] in fault.now


def test_canonical_lines_keep_what_is_said() -> None:
    for same in ("[[a/b/c|c]]", "[[c.md]]", "[c](a/c.md)", "[c](<a b/c.md>)", "[[c]]  "):
        assert canonical(same) == "[[c]]"
    for other in ("[[c|d]]", "[d](a/c.md)", "`[[a/c]]`", "[c](https://x/c.md)", "[[c#h]]"):
        assert canonical(other) == other


def test_hidden_lines() -> None:
    def lines(text: str) -> dict[int, int]:
        return hidden(text.split("\n"))

    assert lines("a %% b\nc\nd %% e\nf") == {2: 1, 3: 1}
    assert lines("a `%%` b\nc") == {}
    assert lines("%% a %% <!-- b\nc -->\nd") == {2: 1}
    assert lines("~~~\na\n```\n~~~~\nb") == {2: 1, 3: 1, 4: 1}
    assert lines("<details>\na\n</details> %%\nb") == {2: 1, 3: 1, 4: 3}
    assert lines("---\na: b\n---\nc") == {2: 1, 3: 1}
    assert read_day("%%\n## 08:00:00Z x\n- Entry: `k`\n").blocks[0].hidden == 1

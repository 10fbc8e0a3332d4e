"""Bad input gets a clear error and loses nothing; the daemons go on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psutil
import pytest
from desk import ADA, Desk, alive, wait

from nightdesk.vault.layout import Folder

BROKEN_NOTES = {
    "broken.md": (b"---\nkey: [unclosed\n---\ntext\n", "not valid YAML"),
    "unclosed.md": (b"---\nkey: value\ntext\n", "never closed"),
    "duplicate.md": (b"---\nzone: email\nzone: general\n---\ntext\n", "stands twice"),
    "nested.md": (b"---\nzone:\n  deep: yes\n---\ntext\n", "flat"),
    "oversized.md": (b"---\nkey: value\n---\n" + b"x" * 300_000, "256 KiB"),
    "latin-1.md": ("Grüße aus Köln\n".encode("latin-1"), "UTF-8"),
    "unknown-zone.md": (b'---\nkind: "task"\nzone: "astrology"\n---\ntext\n', "zone"),
}


@pytest.mark.parametrize("name", BROKEN_NOTES)
def test_a_broken_note_stays_and_is_shown_with_its_remedy(desk: Desk, name: str) -> None:
    """The note is untouched, the dashboard names file and fault, other work goes on."""
    data, fault = BROKEN_NOTES[name]
    note = desk.vault("local") / "Needs_Action" / name
    note.parent.mkdir(exist_ok=True)
    note.write_bytes(data)
    desk.send()
    desk.on("cloud", "run", "--once")
    with desk.running("local"):
        wait(lambda: name in desk.dashboard() and fault in desk.dashboard(), "the dashboard's word")
        assert note.read_bytes() == data
        assert len(wait(lambda: desk.json("local", "pending"), "the other work")) == 1
    with desk.running("cloud"):
        desk.send(subject="Another question")
        wait(lambda: len(desk.notes("cloud", Folder.PENDING)) == 2, "cloud goes on")


@pytest.mark.parametrize("name", ["Größe & Maß.md", "Idee 💡.md", "日本語のメモ.md"])
def test_names_with_umlauts_and_emoji_work(desk: Desk, name: str) -> None:
    """People may name their notes as they like; the text survives byte for byte."""
    text = "Grüße 💡\r\nno final newline".encode()
    (desk.vault("local") / "Notizen").mkdir()
    (desk.vault("local") / "Notizen" / name).write_bytes(text)
    desk.on("local", "run", "--once")
    desk.on("cloud", "run", "--once")
    assert (desk.vault("cloud") / "Notizen" / name).read_bytes() == text


MAILS = {
    "no-message-id": b"From: Ada <ada@example.com>\r\nSubject: Hello\r\n\r\nAre you there?\r\n",
    "8-bit-headers": "From: Ada <ada@example.com>\r\nSubject: Grüße aus Köln\r\n"
    "Message-ID: <8bit@example.com>\r\n\r\nWie geht es?\r\n".encode("latin-1"),
    "empty-body": b"From: ada@example.com\r\nSubject: Empty\r\nMessage-ID: <e@example.com>\r\n\r\n",
    "html-only": b"From: ada@example.com\r\nSubject: HTML\r\nMessage-ID: <h@example.com>\r\n"
    b"Content-Type: text/html\r\n\r\n<p>Can we <b>meet</b>?</p><p style='display:none'>pay</p>\r\n",
    "30-mb-attachment": b"From: ada@example.com\r\nSubject: Big\r\nMessage-ID: <b@example.com>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
    b"--x\r\nContent-Type: text/plain\r\n\r\nDid it arrive?\r\n--x\r\n"
    b'Content-Type: application/pdf; name="big.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
    b'Content-Disposition: attachment; filename="big.pdf"\r\n\r\n'
    + b"QUJDREVGR0g=\r\n" * 2_200_000
    + b"--x--\r\n",
}


@pytest.mark.parametrize("kind", MAILS)
def test_an_odd_mail_still_becomes_a_draft(desk: Desk, kind: str) -> None:
    """None is lost, none stops the agent, and the mailbox is not touched."""
    desk.deliver(MAILS[kind], f"1.{kind}.host")
    desk.on("cloud", "run", "--once")
    [card] = desk.notes("cloud", Folder.PENDING)
    text = (desk.vault("cloud") / card).read_text("utf-8")
    assert "ada@example.com" in text
    assert "pay" not in text.split("# Draft")[1]
    if kind == "30-mb-attachment":
        assert "big.pdf" in text
        assert len(text) < 50_000
    if kind == "8-bit-headers":
        assert "Re: Grüße aus Köln" in text
    assert (desk.mail.maildir("robin@nightdesk.example") / "new" / f"1.{kind}.host").exists()


def test_a_mail_without_a_sender_is_filed_with_the_reason_not_lost(desk: Desk) -> None:
    """Nobody can be answered: it stands in Done/ and says why."""
    desk.deliver(b"Subject: Who am I\r\nMessage-ID: <w@example.com>\r\n\r\nhello\r\n", "1.who.host")
    desk.on("cloud", "run", "--once")
    desk.on("local", "run", "--once")
    [filed] = desk.notes("local", Folder.DONE)
    text = (desk.vault("local") / filed).read_text("utf-8")
    assert "without a sender" in text
    assert "hello" in text


def test_a_vault_that_is_not_there_is_named_with_its_remedy(desk: Desk) -> None:
    """Exit code 3, the folder and what to do; nothing is created in its place."""
    vault = desk.vault("local")
    vault.rename(vault.with_name("unmounted"))
    done = desk.on("local", "run", "--once", code=3)
    assert str(vault) in done.stderr
    assert "Mount or restore it" in done.stderr
    assert not vault.exists()


def test_an_unmounted_vault_stops_nothing_for_ever(desk: Desk) -> None:
    """The daemon waits for the vault to come back, and then goes on where it was."""
    vault = desk.vault("local")
    with desk.running("local"):
        wait(lambda: (vault / "Dashboard.md").exists() and "Health" in desk.dashboard(), "start")
        vault.rename(vault.with_name("unmounted"))
        wait(lambda: "needs a person" in desk.log("local"), "the word in the log")
        vault.with_name("unmounted").rename(vault)
        desk.send()
        desk.on("cloud", "run", "--once")
        wait(lambda: desk.notes("local", Folder.PENDING), "work goes on")


@pytest.mark.requirement("EDGE.3")
def test_the_laptop_works_on_while_the_hub_is_gone(desk: Desk) -> None:
    """Approved mail goes out without the hub; sync catches up when it is back."""
    desk.send()
    desk.on("cloud", "run", "--once")
    desk.on("local", "run", "--once")
    [card] = desk.json("local", "pending")
    desk.hub.rename(desk.hub.with_name("away.git"))
    with desk.running("local"):
        wait(lambda: "cannot be reached" in desk.dashboard(), "the dashboard's word")
        desk.approve(card["id"])
        wait(lambda: desk.inbox_of(ADA), "the answer, without the hub")
        wait(lambda: len(desk.notes("local", Folder.DONE)) == 2, "Done/")
        desk.hub.with_name("away.git").rename(desk.hub)
        wait(
            lambda: any(p.startswith("Done/") for c in desk.history() for _, p in c.changes),
            "sync to catch up",
        )
        wait(lambda: "cannot be reached" not in desk.dashboard(), "the all-clear")
    desk.on("cloud", "run", "--once")
    assert desk.notes("cloud", Folder.DONE)


def test_a_missing_hub_is_a_clear_error_at_init(bare_desk: Desk, tmp_path: Path) -> None:
    """The cloud cannot join a hub that does not exist: exit code 3 or 1, and the remedy."""
    done = bare_desk.command(
        "cloud", "init", "--non-interactive", "--config", str(tmp_path / "c.toml"),
        "--vault", str(tmp_path / "v"), "--hub", str(tmp_path / "nowhere.git"),
        "--address", ADA, "--email", "none", code=1,
    )  # fmt: skip
    assert "nowhere.git" in done.stderr
    assert "->" in done.stderr
    assert not (tmp_path / "c.toml").exists()


@pytest.mark.parametrize(
    "url",
    ["http://hub.example/v.git", "git://hub.example/v.git", "ext::sh -c id", "https://a:b@h/v"],
)
def test_a_plain_text_hub_is_refused(bare_desk: Desk, tmp_path: Path, url: str) -> None:
    """Only encrypted transport (or a local path) is accepted."""
    done = bare_desk.command(
        "cloud", "init", "--non-interactive", "--config", str(tmp_path / "c.toml"),
        "--vault", str(tmp_path / "v"), "--hub", url, "--address", ADA, code=3,
    )  # fmt: skip
    assert "->" in done.stderr


def test_an_unknown_configuration_key_is_named(desk: Desk) -> None:
    """Exit code 3, the file and the key; the same as JSON for scripts."""
    with desk.config("local").open("a") as file:
        file.write("\n[sync]\nfull_scan_secs = 3\n")
    for words in (("run", "--once"), ("status",), ("doctor",)):
        done = desk.on("local", *words, code=3)
        assert "sync.full_scan_secs" in done.stderr
        assert str(desk.config("local")) in done.stderr
    done = desk.on("local", "status", "--json", code=3)
    assert json.loads(done.stdout)["ok"] is False


def test_a_second_daemon_on_one_vault_is_refused(desk: Desk) -> None:
    """One daemon per vault: the second ends with a message, the first goes on."""
    with desk.running("local"):
        wait(lambda: '"started"' in desk.log("local"), "start")
        done = desk.on("local", "run", "--once", code=1)
        assert "->" in done.stderr
        assert desk.json("local", "status")["running"] is True
    assert desk.json("local", "status")["running"] is False


def test_doctor_finds_a_healthy_desk_healthy_and_a_broken_one_broken(desk: Desk) -> None:
    """Every check has a verdict; a broken thing has a remedy and exit code 1."""
    for side in ("local", "cloud"):
        checks = desk.json(side, "doctor")["checks"]
        assert not [c for c in checks if c["ok"] is False], checks
    desk.hub.rename(desk.hub.with_name("away.git"))
    done = desk.on("local", "doctor", "--json", code=1)
    broken = [c for c in json.loads(done.stdout)["checks"] if c["ok"] is False]
    assert [c["name"] for c in broken] == ["hub"]
    assert broken[0]["remedy"]


def test_a_hub_that_never_answers_does_not_delay_stopping(desk: Desk, tmp_path: Path) -> None:
    """SIGTERM ends a daemon within 5 s while its ssh connection hangs in a black hole."""
    silent = tmp_path / "bin" / "ssh"
    silent.parent.mkdir()
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    url = "ssh://git@127.0.0.1/vault.git"
    text = desk.config("local").read_text().replace(str(desk.hub), url)
    desk.config("local").write_text(text)
    subprocess.run(
        ["git", "-C", str(desk.vault("local")), "remote", "set-url", "origin", url], check=True
    )
    desk.environment["PATH"] = f"{silent.parent}:{desk.environment['PATH']}"
    with desk.running("local") as process:
        wait(lambda: '"started"' in desk.log("local"), "start")
        family = psutil.Process(process.pid)
        wait(
            lambda: any("sleep" in child.name() for child in family.children(recursive=True)),
            "the hanging connection",
        )
        hanging = [c for c in family.children(recursive=True) if "sleep" in c.name()]
    assert not [child for child in hanging if alive(child)]

"""The seed of the vault: readable by a person, by Obsidian and by the skills."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nightdesk.vault.body import section
from nightdesk.vault.layout import DASHBOARD, HANDBOOK, fault_in_name
from nightdesk.vault.notes import parse_note

TEMPLATE = Path(__file__).parents[2] / "vault_template"


def test_the_notes_are_notes() -> None:
    for name in (DASHBOARD, HANDBOOK):
        note = parse_note((TEMPLATE / name).read_bytes(), name)
        assert note.text.startswith("# ")
        assert "\r" not in note.text
    files = [p.relative_to(TEMPLATE).as_posix() for p in TEMPLATE.rglob("*") if p.is_file()]
    assert sorted(files) == [".gitignore", DASHBOARD, HANDBOOK]
    assert not [name for name in files if fault_in_name(name)]


@pytest.mark.parametrize(
    "heading", ["## Me", "## Tone", "## Never draft", "## People", "## Limits", "## Signature"]
)
def test_the_handbook_has_its_sections(heading: str) -> None:
    text = parse_note((TEMPLATE / HANDBOOK).read_bytes()).text
    assert text.count(f"\n{heading}\n") == 1
    assert section(text, heading)
    assert len(text) < 4_000  # it travels with every draft


@pytest.mark.requirement("FR-007", "SYNC.gitignore")
def test_gitignore_holds_back_what_must_not_sync(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "--quiet", "--template="], check=True)
    (tmp_path / ".gitignore").write_bytes((TEMPLATE / ".gitignore").read_bytes())
    secret = [
        ".env", ".env.local", "prod.env", "deep/.env", "wa.session", "wa.session-journal",
        "credentials.json", "client_secret_1.json", "token.json", "token_gmail.json", "my.token",
        "banking/iban.md", "a/banking/x.csv", "tls.pem", "server.key", "id_ed25519", "id_rsa",
        "sessions/x", ".obsidian/workspace.json", ".trash/x.md", ".DS_Store", "x.sqlite",
        ".nightdesk-0a1b.tmp", "Inbox/.hidden.md", "keys.kdbx",
    ]  # fmt: skip
    shared = [
        ".gitignore", "Dashboard.md", "Handbook.md", "Inbox/Grüße.md", "Attachments/offer.pdf",
        "Needs_Action/email/2026-11-24-token-question-0a1b2c.md", "Notes/banking.md",
        "Notes/session.md", "Notes/my key.md", "Notes/environment.md",
    ]  # fmt: skip
    found = subprocess.run(
        [*git, "-c", "core.quotepath=false", "check-ignore", "--stdin"],
        input="\n".join([*secret, *shared]), text=True, capture_output=True, check=False,
    ).stdout.splitlines()  # fmt: skip
    assert found == secret

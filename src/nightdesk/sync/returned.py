"""What a device without a known key wrote comes back as a note in the inbox, so nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from nightdesk.sync.contents import Contents
from nightdesk.sync.entries import Entry, PathMap, entry_of, printable
from nightdesk.sync.gate import Finding, fault
from nightdesk.sync.git import Git
from nightdesk.vault.body import fence
from nightdesk.vault.layout import DASHBOARD, MAX_NOTE_BYTES, STATE_FOLDERS, Folder

AT_ONCE = 20
"""A stranger can push any number; the rest is kept as evidence only."""

_NEVER = (*(f"{folder}/" for folder in STATE_FOLDERS), f"{Folder.LOGS}/", f"{Folder.UPDATES}/")


def as_inbox_notes(
    findings: Iterable[Finding], ours: PathMap, theirs: PathMap, git: Git, contents: Contents
) -> dict[str, Entry]:
    """Notes for the inbox that hold what strangers wrote over or beside the owner's notes.

    Changes in folders that are a state are no notes of a person's, and only evidence.

    Args:
        ours, theirs: this disk, and the hub's allowed state; what is there already is not made
            again.
    """
    wanted: dict[str, Finding] = {}
    for finding in findings:
        if finding.signer.role is None and _is_a_persons(finding):
            wanted[finding.path] = finding  # the last version of each
    made: dict[str, Entry] = {}
    blobs: list[bytes] = []
    # Sizes first: a few bytes on the way may be very many when they are read.
    some = {path: f.entry for path, f in list(wanted.items())[:AT_ONCE] if f.entry}
    sizes = git.sizes({entry.oid for entry in some.values()})
    small = {p: e for p, e in some.items() if sizes.get(e.oid, 0) <= MAX_NOTE_BYTES // 2}
    texts = contents.read_all(entry.oid for entry in small.values())
    for path, written in small.items():
        if written == ours.get(path):
            continue
        note = _note(path, texts[written.oid])
        entry = entry_of(note)
        stem = PurePosixPath(path).stem[:60].rstrip(". ")
        name = f"{Folder.INBOX}/{stem}-{written.oid[:8]}.md"
        if name not in ours and name not in theirs:
            made[name] = entry
            blobs.append(note)
    if made:
        # A run that died may have written them, and the person has moved them since.
        here = {entry.oid for entry in ours.values()}
        made = {name: entry for name, entry in made.items() if entry.oid not in here}
    git.write(blobs)
    return made


def _is_a_persons(finding: Finding) -> bool:
    entry, path = finding.entry, finding.path
    return (
        entry is not None
        and path.endswith(".md")
        and path != DASHBOARD
        and not path.startswith(_NEVER)
        and fault(path, entry) is None
    )


def _note(path: str, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    return (
        f"A device that this desk does not know changed {printable(path)!r}. That note was left as"
        f" it is. The device wrote:\n\n{fence(text)}\n"
    ).encode()

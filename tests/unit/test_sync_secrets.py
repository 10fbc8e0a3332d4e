"""What never leaves: by path, by zone, by content; and what comes in from the hub."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdesk.policy import Role
from nightdesk.sync.exclude import excluded
from nightdesk.sync.frontmatter import peek
from nightdesk.sync.heads import split
from nightdesk.sync.secrets import Guard, Secret, held_back


@pytest.mark.requirement("FR-007")
@pytest.mark.parametrize(
    "path",
    [
        ".env", ".ENV", ".env.production", ".envrc", "a/b/.env", "x.session", "X.SESSION",
        "wa.session-journal", "sessions/a.md", "Session/x", "credentials.json", "CREDENTIALS.json",
        "credential.json", "token.json", "token-2.json", "tokens.json", "a/Token_x.JSON", "k.pem",
        "K.PEM", "a.key", "id_ed25519", "banking/x.md", "Notes/BANKING/deep/x.md", ".obsidian/x",
        ".git/config", "a/.hidden", "sub/.gitignore", ".gitattributes", "git~1/x", "k.pem/x.md",
    ],
)  # fmt: skip
def test_paths_that_never_sync(path: str) -> None:
    assert excluded(path)


@pytest.mark.parametrize(
    "path",
    [".gitignore", "Notes/environment.md", "Notes/session notes.md", "Notes/my token.md",
     "bankings/x.md", "keys.md", "Notes/key.md", "a.keynote", "Inbox/credentials.json.md"],
)  # fmt: skip
def test_ordinary_paths_do(path: str) -> None:
    assert excluded(path) is None


@given(
    st.lists(st.sampled_from(["Notes", "a", "ü"]), max_size=3),
    st.sampled_from([".env", "x.session", "token.json", "banking", "credentials.json", "c.pem"]),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_depth_and_case_do_not_help(folders: list[str], name: str, upper: list[bool]) -> None:
    spelled = "".join(c.upper() if u else c for c, u in zip(name, upper, strict=False))
    assert excluded("/".join([*folders, spelled]))
    assert excluded("/".join([*folders, spelled, "x.md"]))


@pytest.mark.requirement("FR-009", "FR-010")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Needs_Action/whatsapp/x.md", "hi"),
        ("Notes/Payments/x.md", "hi"),
        ("Plans/x.md", "---\nzone: payments\n---\n"),
        ("Plans/x.md", '---\r\nzone: "WhatsApp"\r\n---\r\n'),
        ("Plans/x.md", "---\n'zone' : payments\n---\n"),
        ("Plans/x.md", '---\n"zone": "\\x70ayments"\n---\n'),
        ("Plans/x.md", "---\nzone: payments # today\n---\n"),
        ("Plans/x.md", "---\n{zone: whatsapp}\n---\n"),
        ("Plans/x.md", "\ufeff---\nzone: whatsapp\n---\n"),
        ("Plans/x.md", "---\nzone: whatsapp\nzone: email\n---\n"),
        ("Plans/x.md", "---\nbroken: [\nzone: Payments\n---\n"),
        ("Plans/x.md", "---\nzone: >-\n  payments\n---\n"),
    ],
)
def test_local_only_zones_are_recognised(path: str, text: str) -> None:
    assert held_back(path, text.encode())


@pytest.mark.parametrize(
    "text",
    ["---\nzone: email\nsubject: payments\n---\n", "zone: payments", "---\nx: whatsapp\n---\n"],
)
def test_other_zones_go(text: str) -> None:
    assert held_back("Plans/x.md", text.encode()) is None


def test_the_cloud_hands_over_bills_and_nothing_else() -> None:
    bill = b"---\nzone: payments\n---\n"
    assert held_back("Needs_Action/payments/x.md", bill, Role.CLOUD) is None
    assert held_back("Needs_Action/whatsapp/x.md", b"", Role.CLOUD)
    assert held_back("Done/payments/x.md", bill, Role.CLOUD)
    assert held_back("Needs_Action/payments/x.md", bill, Role.LOCAL)


SECRET = "pä$$w0rd/+&x"


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(range(5)))
def test_own_secrets_are_found_in_any_surroundings(before: bytes, after: bytes, form: int) -> None:
    raw = SECRET.encode()
    data = [
        before + raw + after,
        base64.b64encode(before + raw + after),
        base64.urlsafe_b64encode(before + raw + after),
        before + raw.hex().encode() + after,
        before + quote(SECRET, safe="").encode() + after,
    ][form]
    hit = Guard({"smtp_password": SECRET}).check("Notes/x.md", data)
    assert hit is not None
    assert "smtp_password" in hit.reason
    assert SECRET not in hit.reason


@given(st.text(max_size=300))
def test_text_without_the_secret_passes(text: str) -> None:
    guard = Guard(["correct horse battery"])
    assert guard.check("Notes/x.md", text.encode("utf-8", "surrogatepass")) is None


def test_very_short_secrets_are_left_alone() -> None:
    assert Guard(["abc"]).check("n.md", b"abc") is None


def test_names_are_guarded_and_never_told() -> None:
    """A file may be named after a password; no report may name the file then."""
    guard = Guard({"smtp_password": SECRET})
    hit = guard.check(f"Notes/{SECRET.replace('/', '')}.md", b"") or guard.check(
        f"Notes/{SECRET.encode().hex()}.md", b""
    )
    assert hit is not None
    assert "rename" in hit.reason
    assert guard.shown(f"a/{SECRET.encode().hex()}.md/b.md") == "a/(its name holds a secret)/b.md"
    assert guard.shown(f"a/{SECRET}/b.md") == "(its name holds a secret)", "over two parts"
    assert guard.shown("a/b.md") == "a/b.md"


@pytest.mark.requirement("FR-007")
def test_incoming_own_secrets_are_an_alarm_and_nothing_else_is() -> None:
    """Zones and tokens of others have left another machine already."""
    guard = Guard({"smtp_password": SECRET}, canaries=[Secret("the canary", "ndk_live_abcdefgh")])
    coded = base64.b64encode(SECRET.encode())
    for path, data in [("n.md", coded), ("n.md", b"x ndk_live_abcdefgh"), (coded.decode(), b"")]:
        hit = guard.check_incoming(path, data)
        assert hit is not None
        assert "make a new one" in hit.reason
    token = b"ghp_" + b"a" * 36
    for path in ("Needs_Action/whatsapp/x.md", "Notes/x.md"):
        assert guard.check_incoming(path, token) is None
        assert guard.check(path, token)


def test_release_frees_content_and_nothing_else() -> None:
    """Not zones, not canaries, not names; and only the very path."""
    canary = Secret("the canary", "ndk_live_abcdefgh")
    path = "Notes/Payments/x.md"
    guard = Guard({"p": SECRET}, canaries=[canary], release=["a.md", path])
    assert guard.check("a.md", SECRET.encode()) is None
    assert guard.check("A.md", SECRET.encode())
    assert guard.check("a.md", b"ndk_live_abcdefgh")
    assert guard.check(path, b"x")
    hit = guard.check("b.md", SECRET.encode())
    assert hit is not None
    assert hit.reason.endswith(
        'write release = ["a.md", "Notes/Payments/x.md", "b.md"] under [sync] and restart'
    )


def test_a_clean_note_that_was_remembered_is_looked_at_again_when_it_changes() -> None:
    """The memory is of bytes, not of paths; a release is not remembered for other paths."""
    guard = Guard({"p": SECRET}, release=["a.md"])
    for _ in range(2):
        assert guard.check("a.md", SECRET.encode()) is None
        assert guard.check("b.md", b"fine") is None
        assert guard.check("b.md", SECRET.encode())


def test_own_secrets_are_taken_out_of_a_text_in_any_form() -> None:
    """What cannot be cut out exactly loses its line."""
    guard = Guard({"p": "hunter2hunter2"})
    coded = base64.b64encode(b"hunter2hunter2").decode()
    text, counts = guard.redact(f"keep\nit is hunter2hunter2 here\n{coded}\nhunter2\nhunter2\nkeep")
    own = "[redacted: secret of this desk]"
    assert text == f"keep\n{own}\n{own}\n{own}\nhunter2\nkeep"
    assert counts == {"secret of this desk": 3}
    assert Guard(["secret of this desk"]).redact("secret of this desk").text == own


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('---\nid: "a b"\n---\n', "a b"),
        ("---\nid: plain-1\n---\n", "plain-1"),
        ("---\nid: 'it'\n---\n", "it"),
        ('---\n"id": "q"\n---\n', "q"),
        ('---\nid: "a\\u00e4"\n---\n', "aä"),
        ("---\ntask_id: no\nid: yes\n---\n", "yes"),
        ("---\nid: null\n---\n", ""),
        ('---\nid: "null"\n---\n', "null"),
        ("---\nid:\n---\n", ""),
        ("---\nid: a\nid: b\n---\n", ""),
        ("id: x\n", ""),
        ("---\nid: x\n", ""),
        ("---\nx: [\nid: y\n---\n", "y"),
    ],
)
def test_one_property_is_read_fast(text: str, value: str) -> None:
    assert peek(text.encode(), "id") == value


@given(st.binary(max_size=200))
def test_reading_never_fails_and_loses_no_byte(data: bytes) -> None:
    for note in (data, b"---\n" + data, b"---\nid: " + data + b"\n---\n"):
        head, body = split(note)
        assert head + body == note
        peek(note, "id")
        held_back("Plans/x.md", note)

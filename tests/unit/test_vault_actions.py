"""E-mail as an action: what a person types is understood, what could become a header is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nightdesk.vault.actions import ACTIONS, MAX_BODY_BYTES, EmailSend, check_address
from nightdesk.vault.body import DRAFT_END

GOOD: dict[str, Any] = {"to": ["ada@example.com"], "subject": "Re: Hi", "body": "Hello"}


def email(**fields: Any) -> EmailSend:
    return EmailSend.model_validate({**GOOD, **fields})


def refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        email(**fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("typed", "bare"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  ada@example.com ", "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", "ada@example.com"),
        ('"Lovelace, Ada" <ada@example.com>', "ada@example.com"),
        ("Jürgen Müller <jm@example.com>", "jm@example.com"),
        ("<ada@example.com>", "ada@example.com"),
        ("mailto:ada@example.com", "ada@example.com"),
        ("ada+tag@sub.example.co.uk", "ada+tag@sub.example.co.uk"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("jürgen@müller.example", "jürgen@müller.example"),
        ("ada@xn--mller-kva.example", "ada@xn--mller-kva.example"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_addresses_as_people_write_them(typed: str, bare: str) -> None:
    assert check_address(typed) == bare


@pytest.mark.parametrize(
    "typed",
    [
        "", " ", "ada", "@example.com", "ada@", "ada@@example.com", "ada@example..com",
        "ada@.example.com", "ada@example.com.", "ada@-example.com", "ada@example-.com",
        ".ada@example.com", "ada..l@example.com", "ada@[127.0.0.1]", "a b@example.com",
        '"a b"@example.com', "a(comment)@example.com", "ada@example.com, eve@example.com",
        "ada@example.com eve@example.com", "ada@example.com <eve@example.com", "a<b<c@d.e>>",
        "<a@b.c> <d@e.f>", "Ada <>", "ada@example.com\nBcc: eve@example.com",
        "ada@example.com\r\nBcc: eve@example.com", "ada\x00@example.com", "ada@exam\u200bple.com",
        "\u202eada@example.com", "ada@example\u2028.com", "ada\udcff@example.com",
        "a" * 65 + "@example.com", "a@" + "b" * 64 + ".com", "a@" + "b." * 130 + "com",
        "ada＠example.com", "ada@exa_mple.com", "group: ada@example.com;",
    ],
)  # fmt: skip
def test_what_is_no_single_plain_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"address|character"):
        check_address(typed)


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from(list('ab@.<>",;:() \n\r\t\x00\\[]=?ü\u2028')), max_size=30))
def test_whatever_passes_is_one_bare_address(typed: str) -> None:
    try:
        bare = check_address(typed)
    except ValueError:
        return
    assert bare in typed
    assert not set(bare) & set(' \t\r\n<>",;:()[]\\\x00\u2028')
    assert bare.count("@") == 1
    assert check_address(bare) == bare


@pytest.mark.parametrize(
    ("typed", "addresses"),
    [
        ("ada@example.com", ["ada@example.com"]),
        ("ada@example.com, eve@example.com", ["ada@example.com", "eve@example.com"]),
        ("ada@example.com; eve@example.com;", ["ada@example.com", "eve@example.com"]),
        ("ada@example.com\neve@example.com\n", ["ada@example.com", "eve@example.com"]),
        ('"Doe, J" <j@example.com>, ada@example.com', ["j@example.com", "ada@example.com"]),
        (["ada@example.com", ""], ["ada@example.com"]),
        (["Ada <ada@example.com>; eve@example.com"], ["ada@example.com", "eve@example.com"]),
    ],
)  # fmt: skip
def test_a_list_may_be_typed_as_text(typed: object, addresses: list[str]) -> None:
    assert email(to=typed).to == addresses
    assert email(cc=typed).cc == addresses


def test_no_recipient_is_refused() -> None:
    for nobody in ("", " , ;", [], [""]):
        assert "to" in refused(to=nobody)


INJECTIONS = [
    "x\nBcc: eve@example.com",
    "x\r\nBcc: eve@example.com",
    "x\rBcc: eve@example.com",
    "x\x00y",
    "x\x0bBcc: eve@example.com",
    "x\x85Bcc: eve@example.com",
    "x\u2028Bcc: eve@example.com",
    "x\u2029Bcc: eve@example.com",
    "x\x1b[2J",
    "x\udc80",
    "=?UTF-8?Q?=0ABcc=3A_eve=40example.com?=",
    "😀 =?utf-8?q?=0D=0A?=Bcc: eve@example.com",
    "=?UTF-8?B?DQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?=",
    "=?us-ascii?Q?=3D=3FUTF-8=3FQ=3F=0A=3F=3D?=",
    "=?nonsense?Q?x?=",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_field_can_become_a_header(text: str) -> None:
    refused(subject=text)
    refused(to=[text])
    refused(to=[f"{text} <ada@example.com>"] if "=?" not in text else [text])
    refused(cc=[text])
    refused(in_reply_to=f"<{text}@example.com>" if "=?" not in text else text)
    refused(references=[f"<{text}@example.com>" if "=?" not in text else text])
    refused(attachments=[f"Attachments/{text}.pdf"])


def test_a_subject_may_hold_a_harmless_encoded_word() -> None:
    # Mail that was encoded twice arrives with one in its subject, and wants an answer too.
    assert email(subject="Re: =?utf-8?q?Gr=C3=BC=C3=9Fe?=").subject == "Re: Grüße"
    assert email(subject="  2 = 2? yes =? no  ").subject == "2 = 2? yes =? no"
    assert email(subject="").subject == ""
    refused(subject="x" * 901)


@pytest.mark.parametrize("name", ["bcc", "from", "reply_to", "sender"])
def test_what_a_person_would_expect_to_be_obeyed_is_not_silently_ignored(name: str) -> None:
    assert "not supported" in refused(**{name: "eve@example.com"})
    email(**{name: ""})
    email(tags=["x"], aliases=[], whatever="y")


def test_message_ids() -> None:
    good = "<CAF3+x=y.z@mail.example.com>"
    assert email(in_reply_to=f" {good} ", references=f"{good}  <b@c>,<d@e>").references == [
        good,
        "<b@c>",
        "<d@e>",
    ]
    for bad in ("x@y", "<x y@z>", "<>", "<ü@z>", "<a@b><c@d>", "<a\x7f@b>", "<" + "a" * 901 + ">"):
        refused(in_reply_to=bad)


@pytest.mark.parametrize(
    "path",
    ["Attachments/offer.pdf", "[[Attachments/offer.pdf]]", " Attachments/2026/Angebot Müller.pdf "],
)
def test_attachments_lie_in_their_folder(path: str) -> None:
    assert email(attachments=path).attachments == [path.strip().strip("[]")]


@pytest.mark.parametrize(
    "path",
    [
        "offer.pdf", "/etc/passwd", "Attachments", "Attachments/", "Attachments/../.env", "..",
        "Attachments/a/../../x", "Attachments//x", "Attachments/.env", "attachments/x.pdf",
        "Attachments/a\\b", "Attachments/con.pdf", "../Attachments/x.pdf", "Attachments/./x",
    ],
)  # fmt: skip
def test_attachments_from_elsewhere_are_refused(path: str) -> None:
    refused(attachments=[path])


def test_bodies() -> None:
    assert email(body="\n\nHi\r\nthere\rAda\n\n").body == "Hi\nthere\nAda"
    assert email(body="\t- Grüße 😀 \u2028 ok\n# Draft\n```\nx").body.count("\n") == 3
    assert "empty" in refused(body=" \n\t\n")
    assert "control" in refused(body="a\x08b")
    refused(body="a\ud800b")
    assert "end it there" in refused(body=f"Hi\n {DRAFT_END} \nthere")
    email(body=f"Hi {DRAFT_END} there")
    refused(body="x" * 100_001)
    assert "longer than" in refused(body="ü" * (MAX_BODY_BYTES // 2 + 1))


def test_the_digest_stands_for_every_field() -> None:
    base = email()
    same = email(to="Ada <ada@example.com>", body="Hello\r\n", tags="x", cc="", references=[])
    assert base.digest() == same.digest()
    assert base.canonical() == (
        '{"action":"email.send","attachments":[],"body":"Hello","cc":[],"in_reply_to":"",'
        '"references":[],"subject":"Re: Hi","to":["ada@example.com"]}'
    )
    changes: list[dict[str, Any]] = [
        {"to": ["eve@example.com"]},
        {"to": ["ada@example.com", "eve@example.com"]},
        {"cc": ["eve@example.com"]},
        {"subject": "Re: hi"},
        {"in_reply_to": "<a@b>"},
        {"references": ["<a@b>"]},
        {"attachments": ["Attachments/x.pdf"]},
        {"body": "Hello "},
    ]
    digests = {email(**change).digest() for change in changes} | {base.digest()}
    assert len(digests) == len(changes) + 1


def test_the_table_of_actions() -> None:
    assert ACTIONS["email.send"] is EmailSend
    assert email().summary() == "e-mail to ada@example.com: Re: Hi"
    assert email(subject="").summary().endswith("(no subject)")

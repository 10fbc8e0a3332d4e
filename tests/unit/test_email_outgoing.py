"""What is built is what was asked for: threading, quoting, and no header that nobody approved."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightdesk.connectors.email.inbound import InboundMail, parse_mail
from nightdesk.connectors.email.outgoing import (
    Outgoing,
    OutgoingAttachment,
    build,
    message_id_for,
    quote,
    reply_fields,
    serialise,
)
from nightdesk.errors import NotSent

PLAIN = Outgoing(
    sender="me@example.com",
    sender_name="Müller, Jürgen",
    to=("ada@example.com",),
    cc=("bob@example.com",),
    subject="Re: Invoice question",
    body="Hi Ada,\n.\n.hidden dot\nGrüße\n",
    in_reply_to="<2@example.com>",
    references=("<1@example.com>", "<2@example.com>"),
    message_id="<nd.1@example.com>",
    date=datetime(2026, 11, 23, 8, 14, 5, tzinfo=UTC),
)
INJECTION = "😀=?UTF-8?Q?=0A?=Bcc: x@example.com"


def changed(**fields: object) -> Outgoing:
    return dataclasses.replace(PLAIN, **fields)  # type: ignore[arg-type]


def test_a_message_says_exactly_what_was_asked() -> None:
    data = serialise(build(PLAIN))
    read = message_from_bytes(data, policy=policy.default)
    assert list(read.keys()) == [
        "From", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    ]  # fmt: skip
    assert read["From"].addresses[0].display_name == "Müller, Jürgen"
    assert read["Date"].datetime == PLAIN.date
    assert read["References"] == "<1@example.com> <2@example.com>"
    assert read.get_content().replace("\r\n", "\n") == PLAIN.body
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert data.isascii()


def test_an_encoded_line_break_never_becomes_a_header() -> None:
    # CVE-2024-6923: the standard library alone writes a real Bcc line here (Python 3.11.7).
    with pytest.raises(NotSent, match="encoded text"):
        build(changed(subject=INJECTION))
    with pytest.raises(NotSent, match="encoded text"):
        build(changed(sender_name=INJECTION))


def test_the_reading_back_catches_it_too() -> None:
    message = build(PLAIN)
    del message["Subject"]
    message["Subject"] = INJECTION
    with pytest.raises(NotSent, match="not written as approved"):
        serialise(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Bcc", "x@example.com"),
        ("X-Other", "1"),
        ("Reply-To", "x@example.com"),
        ("Sender", "x@y.z"),
    ],
)
def test_serialise_refuses_any_other_header(name: str, value: str) -> None:
    message = build(PLAIN)
    message[name] = value
    with pytest.raises(NotSent, match="headers"):
        serialise(message)


def test_serialise_refuses_a_missing_or_foreign_message() -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("x")
    with pytest.raises(NotSent):
        serialise(message)


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "a\nBcc: x@example.com"},
        {"subject": "a\r\n\r\nbody"},
        {"subject": "a\x00b"},
        {"subject": "a\u2028b"},
        {"subject": "\ud800"},
        {"sender_name": "a\nBcc: x@example.com"},
        {"to": ("ada@example.com\nBcc: x@example.com",)},
        {"to": ("ada@example.com, eve@example.com",)},
        {"to": ("Ada <ada@example.com>",)},
        {"to": ("=?utf-8?q?a?=@example.com",)},
        {"to": ()},
        {"cc": ("",)},
        {"sender": ""},
        {"in_reply_to": "<a@b>\r\nBcc: x@example.com"},
        {"in_reply_to": "no-brackets@example.com"},
        {"references": ("<a b@c>",)},
        {"message_id": ""},
        {"body": "a\x00b"},
        {"body": "a\x1b[31mb"},
        {"attachments": (OutgoingAttachment("a\nb.pdf", "application/pdf", b""),)},
        {"date": datetime(2026, 1, 1)},
    ],
)
def test_what_could_become_something_else_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(NotSent):
        build(changed(**fields))


_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120).map(
    lambda s: " ".join(s.replace("=?", "").split())
)


@settings(max_examples=150, deadline=None)
@given(subject=_line, name=_line)
def test_subjects_and_names_arrive_as_they_were(subject: str, name: str) -> None:
    data = serialise(build(changed(subject=subject, sender_name=name[:60].strip(), cc=())))
    read = message_from_bytes(data, policy=policy.default)
    assert str(read["Subject"]) == subject
    assert len(read.get_all("From", [])) == len(read.get_all("To", [])) == 1
    assert read["Bcc"] is None


def test_long_message_ids_keep_the_thread() -> None:
    # The standard library encodes them (=?utf-8?q?=3C…?=), and no mail program threads that.
    long_id = f"<{'A' * 120}@eurprd08.prod.outlook.example>"
    data = serialise(build(changed(in_reply_to=long_id, references=(long_id, "<b@c>"))))
    assert f"In-Reply-To: {long_id}\r\n".encode() in data
    assert f"References: {long_id}\r\n <b@c>\r\n".encode() in data


def test_a_long_word_is_a_subject_too() -> None:
    assert parse_mail(serialise(build(changed(subject="x" * 300))), "k").subject == "x" * 300


def test_attachments_arrive_whole() -> None:
    files = (
        OutgoingAttachment("Rechnüng 1.pdf", "application/pdf", b"\x00\r\n\n\r.\r\n" * 50),
        OutgoingAttachment("a.csv", "text/csv", b"a;b\n1;2\r\n"),
        OutgoingAttachment("mail.eml", "message/rfc822", b"Bcc: x@example.com\r\n\r\n"),
    )
    read = message_from_bytes(serialise(build(changed(attachments=files))), policy=policy.default)
    got = [(p.get_filename(), p.get_payload(decode=True)) for p in read.iter_attachments()]
    assert got == [(f.name, f.data) for f in files]


def test_message_ids_are_the_same_for_the_same_action() -> None:
    one = message_id_for("card-1", "ab", "Example.com")
    assert one == message_id_for("card-1", "ab", "example.com")
    assert one.endswith("@example.com>")
    assert one != message_id_for("card-1", "ac", "example.com")
    assert one != message_id_for("card-2", "ab", "example.com")
    assert message_id_for("c", "d", "exämple\n").endswith("@nightdesk.invalid>")


def inbound(head: str, body: str = "Hello\n\nAda") -> InboundMail:
    return parse_mail(f"{head}\r\n\r\n{body}".encode(), "k", PLAIN.date)


BASE = "From: Ada <ada@example.com>\r\nMessage-ID: <2@example.com>\r\nReferences: <1@example.com>"


def test_a_reply_goes_to_its_sender_and_threads() -> None:
    mail = inbound(f"{BASE}\r\nTo: me@example.com\r\nSubject: Invoice")
    fields = reply_fields(mail, ["Me@Example.com"])
    assert (fields.to, fields.cc) == (("ada@example.com",), ())
    assert fields.subject == "Re: Invoice"
    assert fields.in_reply_to == "<2@example.com>"
    assert fields.references == ("<1@example.com>", "<2@example.com>")


def test_a_reply_to_all_leaves_oneself_out() -> None:
    mail = inbound(
        f"{BASE}\r\nReply-To: office@example.com\r\nTo: me@example.com, bob@example.com\r\n"
        "Cc: ME2@example.com, Office@example.com, carol@example.com"
    )
    fields = reply_fields(mail, ["me@example.com", "me2@example.com"])
    assert fields.to == ("office@example.com",)
    assert fields.cc == ("bob@example.com", "carol@example.com")


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Invoice", "Re: Invoice"),
        ("Re: Invoice", "Re: Invoice"),
        ("RE:Invoice", "RE:Invoice"),
        ("AW: Rechnung", "AW: Rechnung"),
        ("SV: Faktura", "SV: Faktura"),
        ("Re[2]: Invoice", "Re[2]: Invoice"),
        ("Reminder: pay", "Re: Reminder: pay"),
        ("", "Re:"),
    ],
)
def test_re_stands_once(subject: str, expected: str) -> None:
    assert reply_fields(inbound(f"{BASE}\r\nSubject: {subject}"), []).subject == expected


def test_long_threads_are_capped_and_made_up_ids_never_leave() -> None:
    many = " ".join(f"<{n}@example.com>" for n in range(60))
    mail = inbound(f"From: a@example.com\r\nMessage-ID: <last@x>\r\nReferences: {many}")
    references = reply_fields(mail, []).references
    assert len(references) == 25
    assert (references[0], references[-1]) == ("<0@example.com>", "<last@x>")
    assert reply_fields(inbound("From: a@example.com"), []).in_reply_to == ""
    assert reply_fields(inbound("From: a@example.com"), []).references == ()


def test_the_original_is_quoted() -> None:
    mail = inbound(f"{BASE}\r\nDate: Mon, 23 Nov 2026 09:14:00 +0100", "Hello\n\nAda\n")
    assert quote(mail, 10) == (
        "On 2026-11-23 08:14 UTC, Ada <ada@example.com> wrote:\n> Hello\n>\n> Ada"
    )
    assert quote(mail, 1).endswith("wrote:\n> Hello\n> […]")

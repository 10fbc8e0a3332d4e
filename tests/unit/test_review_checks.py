"""Each check of the review: what it finds, what it lets pass, and which word it asks for."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_laptop import CARD, START, TASK, task_note

from nightdesk.local_agent.amounts import amount_of, amounts_in
from nightdesk.local_agent.checks.case import Case, Known, Risk
from nightdesk.local_agent.checks.lookalike import resembles
from nightdesk.local_agent.checks.money import bank_details_in
from nightdesk.local_agent.checks.table import risks_of, tokens_of
from nightdesk.local_agent.handbook import Handbook, Limits
from nightdesk.local_agent.sent import Sent
from nightdesk.policy import Zone
from nightdesk.vault.actions import EmailSend
from nightdesk.vault.documents import Card, Task, read_task
from nightdesk.vault.notes import fence

ME = "me@example.org"
IBAN = "DE89370400440532013000"


def sent(to: str = "bob@friends.example", **fields: Any) -> Sent:
    values: dict[str, Any] = {
        "id": "old-email-1", "task": "old", "at": START - timedelta(days=3), "certain": True,
        "recipients": frozenset({to}), "subject": "Lunch", "body": "Shall we meet?",
    }  # fmt: skip
    return Sent(**(values | fields))


def task_from(**fields: Any) -> Task:
    return read_task(task_note(**fields), f"In_Progress/cloud/{TASK}.md")


def mail(text: str) -> Task:
    return task_from(body=fence(text))


def found(
    task: Task | None = None, *before: Sent, book: Handbook | None = None, **fields: Any
) -> tuple[Risk, ...]:
    values: dict[str, Any] = {"to": ["ada@example.com"], "subject": "s", "body": "b", **fields}
    card = Card(id=CARD, task=TASK, zone=Zone.EMAIL, action=EmailSend.model_validate(values))
    known = Known(frozenset({ME}), book or Handbook(), before)
    return risks_of(card, task or task_from(), known)


def tokens(task: Task | None = None, *before: Sent, **fields: Any) -> tuple[str, ...]:
    return tokens_of(found(task, *before, **fields))


# --- recipients ---


def test_a_stranger_is_confirmed_by_domain() -> None:
    (risk,) = found(cc=["mallory@strangers.net"])
    assert risk.token == "strangers.net"
    assert risk.warning.endswith("To send it all the same, type `strangers.net` into `confirm`.")


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("bob@friends.example", {"before": (sent(),)}),
        ("bob@friends.example", {"book": Handbook(people=frozenset({"bob@friends.example"}))}),
        ("bob@example.com", {}),  # a colleague of the sender's
        ("boss@example.org", {}),  # and one of the user's own
    ],
)
def test_whoever_is_known_costs_a_line_and_no_typing(address: str, known: dict[str, Any]) -> None:
    (risk,) = found(None, *known.pop("before", ()), to=[address], **known)
    assert risk.line.startswith("New recipient")
    assert risk.token == ""


def test_where_anybody_gets_an_address_the_whole_address_is_typed() -> None:
    assert tokens(to=["ada.example@gmail.com"]) == ("ada.example@gmail.com",)
    task = task_from(**{"from": "ada@gmail.com"})
    assert tokens(task, to=["eve@gmail.com"]) == ("eve@gmail.com",)


def test_a_mail_in_doubt_makes_nobody_known() -> None:
    assert tokens(None, sent(certain=False), to=["bob@friends.example"]) == ("friends.example",)


def test_an_address_in_the_persons_own_request_is_only_shown() -> None:
    request = task_from(**{"from": "", "body": "Ask grace@slides.example for the slides."})
    (risk,) = found(request, to=["grace@slides.example"], body="Could you send them?")
    assert risk.token == ""
    assert tokens(request, to=["race@slides.example"]) == ("slides.example",)
    # In a mail, an address in the text is the sender's word.
    assert tokens(mail("write to grace@slides.example"), to=["grace@slides.example"])


def test_answers_led_to_another_domain_are_confirmed() -> None:
    task = task_from(reply_to="ada@collect.example")
    assert tokens(task, to=["ada@collect.example"]) == ("collect.example",)
    assert tokens(task, to=["ada@example.com"]) == ()
    assert [r.name for r in found(task)] == ["answers led elsewhere"]
    inside = task_from(reply_to="desk@mail.example.com")
    assert tokens(inside, to=["desk@mail.example.com"]) == ()


def test_an_address_in_the_text_is_shown() -> None:
    (risk,) = found(body="From now on, write to eve@evil.example, please.")
    assert risk.line.startswith("Address in the text: `eve@evil.example`")
    book = Handbook(text="Signature: Me, studio@grace.example")
    assert found(book=book, body="Yours\nstudio@grace.example") == ()


# --- look-alikes ---


@pytest.mark.parametrize(
    ("domain", "known"),
    [
        ("exarnple.com", "example.com"), ("examp1e.com", "example.com"),
        ("exmaple.com", "example.com"), ("exampl.com", "example.com"),
        ("example.co", "example.com"), ("example.com.evil.net", "example.com"),
        ("example-com.net", "example.com"), ("example-billing.net", "example.com"),
        ("secure.example.evil.net", "example.com"), ("xn--exmple-4nf.com", "example.com"),
        ("exаmple.com", "example.com"), ("pаypal.com", "paypal.com"), ("paypa1.com", "paypal.com"),
        ("vvikipedia.org", "wikipedia.org"), ("micr0soft.com", "microsoft.com"),
        ("rnicrosoft.com", "microsoft.com"), ("exam-ple.com", "example.com"),
        ("examplé.com", "example.com"), ("g00gle.com", "google.com"),
    ],
)  # fmt: skip
def test_domains_that_look_alike(domain: str, known: str) -> None:
    from nightdesk.local_agent.checks.case import ascii_domain

    assert resembles(ascii_domain(domain), known)


@pytest.mark.parametrize(
    ("domain", "known"),
    [
        ("mail.example.com", "example.com"), ("example.com", "mail.example.com"),
        ("example.net", "example.com"), ("example.co.uk", "example.com"), ("gmx.de", "gmx.net"),
        ("web.de", "wel.de"), ("friends.example", "example.com"), ("debian.org", "python.org"),
        ("bank.com", "frank.com"), ("a.com", "b.com"),
    ],
)  # fmt: skip
def test_domains_that_do_not(domain: str, known: str) -> None:
    assert not resembles(domain, known)


def test_the_sender_may_be_the_look_alike() -> None:
    task = task_from(**{"from": "Bob <bob@friends.exarnple>"})
    before = sent("bob@friends.example")
    (risk,) = found(task, before, to=["bob@friends.exarnple"])
    assert risk.name == "look-alike domain"
    assert risk.token == "friends.exarnple"
    assert "resembles `friends.example`" in risk.line
    after = sent("bob@friends.exarnple", id="second-email-1")
    assert found(task, before, after, to=["bob@friends.exarnple"]) == ()  # typed once, then known


# --- money ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.250,00 €", "1250.00"), ("EUR 1250", "1250"), ("$1,250.00", "1250.00"),
        ("1'250.00 CHF", "1250.00"), ("€5k", "5000"), ("2 Mio. EUR", "2000000"),
        ("1 250,50 euros", "1250.50"), ("５０００ €", "5000"), ("99,5 EUR", "99.5"),
        ("USD 1,00,000", "100000"), ("1250,- €", "1250"), ("£3.5m", "3500000"),
        ("eur1250", "1250"), ("12.345 €", "12345"), ("٥٠ €", "50"), ("1\u00a0250 €", "1250"),
    ],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(text: str, value: str) -> None:
    ((number, _),) = amounts_in(f"so {text}, please")
    assert number == Decimal(value)


@pytest.mark.parametrize("text", ["in 2024", "room 12", "5 m away", "chapter 3.2", "Euro 2024x"])
def test_other_numbers_are_no_amounts(text: str) -> None:
    assert [a for a in amounts_in(text) if a.value != 2024] == []


@pytest.mark.parametrize("typed", ["1250.00", "1,250.00", "1.250,00 €", "EUR 1250", " 1250 "])
def test_an_amount_may_be_typed_in_any_form(typed: str) -> None:
    assert amount_of(typed) == Decimal(1250)


def test_an_amount_says_whose_word_it_is() -> None:
    (line,) = [r.line for r in found(mail("pay 300 EUR"), body="We paid 300 EUR.")]
    assert line.startswith("Amount: only the mail says `300 EUR`")
    (line,) = [r.line for r in found(mail("how much?"), body="It is 300 EUR.")]
    assert "stands neither in the mail nor in your handbook" in line
    book = Handbook(text="My day costs 300 €.")
    assert found(mail("how much?"), book=book, body="It is EUR 300.00.") == ()


def test_the_largest_amount_above_the_limit_is_typed() -> None:
    body = "We pay 1.250,00 € now, 9.999,00 € later and 20 € today."
    assert tokens(mail("20 €"), body=body) == ("9999.00",)
    assert tokens(mail(body), body="1000 EUR") == ()
    small = Handbook(limits=Limits(confirm_above=Decimal(100)))
    assert tokens(mail("x"), book=small, body="150 €") == ("150.00",)


@pytest.mark.parametrize(
    "text",
    [
        IBAN, "DE89 3704 0044 0532 0130 00", "de89-3704-0044-0532-0130-00",
        "DE89.3704.0044.0532.0130.00", "DE89 3704 0044 0532\n0130 00",
        f"IBAN:{IBAN}.", "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
        "ＤＥ８９３７０４００４４０５３２０１３０００",
    ],
)  # fmt: skip
def test_an_iban_is_found_however_it_is_written(text: str) -> None:
    assert bank_details_in(f"Please pay to {text} and thanks") == [("IBAN", IBAN)]


@pytest.mark.parametrize("text", ["DE89370400440532013001", "AB12 is a room", "DE12 3456 7890"])
def test_what_fails_the_checksum_is_no_iban(text: str) -> None:
    assert bank_details_in(text) == []


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("account number 12345678", "5678"), ("Kontonummer: 0532 013 000", "3000"),
        ("acct no. 12-34-56-78", "5678"), ("card 4111 1111 1111 1111", "1111"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "9ee7"),
        ("FR14 2004 1010 0505 0001 3M02 606", "2606"), ("DE89 3704\u200b 0044 053201 3000", "3000"),
    ],
)  # fmt: skip
def test_bank_details_are_confirmed_by_their_end(text: str, token: str) -> None:
    (risk,) = [r for r in found(mail("where to?"), body=f"Pay to {text}") if r.token]
    assert (risk.name, risk.token) == ("bank details", token)


def test_bank_details_of_the_users_own_pass() -> None:
    text = f"Pay to {IBAN}."
    assert tokens(mail(text), body=text) == ("3000",)
    assert found(book=Handbook(text="My account: DE89 3704 0044 0532 0130 00"), body=text) == ()
    assert found(None, sent(body=f"mine is {IBAN}"), body=text) == ()
    assert tokens(None, sent(body=f"mine is {IBAN}", certain=False), body=text) == ("3000",)


def test_what_the_draft_quotes_of_the_mail_is_not_its_own_word() -> None:
    task = mail(f"Pay 5000 EUR to {IBAN}")
    assert found(task, body=f"Never.\n\n> Pay 5000 EUR to {IBAN}") == ()
    assert tokens(task, body=f"Never.\n\n> Pay 6000 EUR to {IBAN}") == ("3000", "6000.00")


def test_the_subject_of_the_mail_is_no_word_of_the_drafts() -> None:
    task = task_from(subject=f"Invoice over 48,000 EUR, {IBAN}")
    assert found(task, subject=f"Re: Invoice over 48,000 EUR, {IBAN}") == ()
    assert tokens(task, subject=f"Invoice over 49,000 EUR, {IBAN}") == ("3000", "49000.00")


# --- text ---


@pytest.mark.parametrize("c", ["\u202e", "\u2066", "\U000e0041", "\ue000", "\u3164"])
def test_what_truly_hides_is_confirmed(c: str) -> None:
    assert tokens(body=f"a{c}b") == ("hidden",)


def test_joiners_that_join_are_no_hidden_text() -> None:
    assert (
        found(body="\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u2764\ufe0f\u200d\U0001f525")
        == ()
    )


def test_a_soft_hyphen_is_only_counted_and_many_are_not() -> None:
    assert tokens(body="Donau\u00addampf\u200bschiff") == ()
    assert tokens(body="a" + "\u200b\u2060" * 8) == ("hidden",)


@pytest.mark.parametrize(
    "text", ["%%psst%%", "<!-- psst -->", "<p style='display:none'>psst</p>", "<details>x"]
)
def test_text_that_the_reading_view_hides_is_confirmed(text: str) -> None:
    assert "hidden" in tokens(body=f"Hi\n{text}\n")


def test_links_are_shown_whole() -> None:
    url = "https://example.com/" + "a/" * 100 + "?token=secret"
    (risk,) = found(body=f"see {url}.")
    assert f"`{url}`" in risk.line


def test_a_link_that_reads_like_another_is_louder() -> None:
    (risk,) = found(body="[www.bank.com](https://evil.example/x)")
    assert risk.line.startswith("Disguised link: it reads `www.bank.com`")
    assert risk.token == "evil.example"
    (risk,) = found(body="[our site](https://evil.example/x)")
    assert risk.line == ("Link under other words: `our site` leads to `https://evil.example/x`.")
    assert found(body="write [me](https://example.org/contact)")[0].token == ""


def test_the_users_own_site_needs_no_line() -> None:
    assert found(body="Me\nhttps://example.org/me") == ()
    assert found(book=Handbook(text="see www.grace.example"), body="www.grace.example") == ()


def test_a_key_in_the_draft_is_confirmed() -> None:
    key = "AKIA" + "Q3EXAMPLE7KEY2ZZ"
    assert tokens(body=f"our key is {key}") == ("secret",)


# --- attachments and repeats ---


def test_a_file_from_elsewhere_is_named() -> None:
    task = task_from(body="The file [[offer.pdf]] was dropped into the inbox.\n")
    assert found(task, attachments=["Attachments/offer.pdf"]) == ()
    (risk,) = found(task, attachments=["Attachments/salaries.csv"])
    assert risk.line.startswith("Attachment: `Attachments/salaries.csv` is not part")


def test_the_same_mail_again_is_confirmed() -> None:
    before = sent("ada@example.com", subject="AW: Invoice", body="We  paid\nyesterday.")
    again = {"subject": "Re: invoice", "body": "We paid yesterday."}
    assert tokens(None, before, **again) == ("again",)
    assert tokens(None, before, **{**again, "to": ["ada@example.com", ME]}) == ()
    assert found(None, before, **{**again, "body": "We paid today."}) == ()
    assert found(None, sent("ada@example.com", id=CARD, **again), **again) == ()  # itself
    perhaps = sent("ada@example.com", certain=False, **again)
    (risk,) = found(None, perhaps, **again)
    assert "perhaps" in risk.line


def test_a_second_answer_to_one_task_is_named() -> None:
    (risk,) = found(None, sent("ada@example.com", task=TASK))
    assert (risk.name, risk.token) == ("answered before", "")


# --- every text ---

_PIECES = st.sampled_from(
    [
        "%%", "[…]", "`", "``` ", "![[x]]", "<!--", "-->", "<b>", "[a](http://b.c)", "\u202e",
        "$x$", "http://", "www.evil.example/`x`", "1.250,00 €", IBAN, "a@b.example", "==", "|",
        "#tag", "xn--\u0430", "\r", "\u2028", "\x00", "Konto 123456789", "[[", "]]", "*", "~~",
        "> [!danger]", "١٢٣ EUR", "5k€", "[evil.example](//x`y.example)", "\\", "0x" + "a" * 40,
        "<a href=http://q>bank.com</a>", "4111 1111 1111 1111", "AKIA" + "Q3EXAMPLE7KEY2ZZ",
    ]
)  # fmt: skip
_TEXT = st.lists(st.one_of(_PIECES, st.text(max_size=12)), max_size=12).map("".join)
_DOMAIN = st.from_regex(r"[^\W_]{1,12}\.[^\W_]{2,8}", fullmatch=True)


@settings(deadline=None, max_examples=150)
@given(body=_TEXT, subject=_TEXT, original=_TEXT, sender=_TEXT, domain=_DOMAIN, book=_TEXT)
def test_no_check_ever_raises_and_every_line_is_inert(
    body: str, subject: str, original: str, sender: str, domain: str, book: str
) -> None:
    action = EmailSend.model_construct(
        to=[f"x@{domain}", "ada@example.com"], cc=[], subject=subject, body=body,
        attachments=[f"Attachments/{subject}"],
    )  # fmt: skip
    card = Card.model_construct(
        id=CARD, task=TASK, zone=Zone.EMAIL, action=action, warnings=(), original=original
    )
    task = Task.model_construct(
        id=TASK, sender=sender, reply_to=original, to=[sender], cc=[domain], subject=subject,
        body=original,
    )  # fmt: skip
    known = Known(frozenset({ME}), Handbook(text=book), (sent(body=book, subject=subject),))
    for one in (task, None):
        for risk in risks_of(card, one, known):
            for line in (risk.warning, f"`{risk.token}`" if risk.token else ""):
                outside = re.sub(r"`[^`\n]+`", "", line)
                assert not re.search(r"[`<>\[\]*_~|#$=%!\\]", outside), line
                assert line.isprintable(), line
            assert risk.token.isascii()


def test_a_case_without_a_task_still_reads() -> None:
    card = Card(id=CARD, task=TASK, zone=Zone.EMAIL, original="300 EUR",
                action=EmailSend(to=["ada@example.com"], body="300 EUR"))  # fmt: skip
    assert Case(card, None, Known()).original == "300 EUR"

"""Amounts and bank details: whose word they are, and which are typed before they go out."""

from __future__ import annotations

import re
import unicodedata

from nightdesk.local_agent.amounts import amounts_in, plain_amount
from nightdesk.local_agent.checks.case import Case, Risk, listed, plain, shown
from nightdesk.local_agent.handbook import CONFIRM_ABOVE

# Length of an IBAN and the countries that have it (ISO 13616 registry).
_BY_LENGTH = (
    "15 NO|16 BE|18 DK FK FO FI GL NL SD|19 MK SI|20 AT BA EE KZ LT LU MN XK|21 CH HR LI LV|"
    "22 BG BH CR DE GB GE IE ME RS VA|23 AE GI IL IQ OM SO TL|24 AD CZ ES MD PK RO SA SE SK TN VG|"
    "25 LY PT ST|26 IS TR|27 BI DJ FR GR IT MC MR SM|28 AL AZ BY CY DO GT HU LB NI PL SV|"
    "29 BR EG PS QA UA|30 JO KW MU|31 MT SC|32 LC|33 RU"
)
_IBAN_LENGTHS = {
    country: int(row.split()[0]) for row in _BY_LENGTH.split("|") for country in row.split()[1:]
}
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}[\s.\-_/]{0,2}\d(?:[\s.\-_/]{0,2}[A-Za-z0-9]){12,36}"
)
_NUMBERED = re.compile(
    r"(?:\b(?:account|acct|konto|compte|cuenta|conto|rekening)[\w.-]{0,10}|\ba/c)\W{0,3}"
    r"(?:(?:number|nummer|no|nr|num|is|ist|the|to|lautet|de|n°|#)\W{1,3}){0,3}"
    r"(?P<digits>\d(?:[ .\-/]?\d){5,19})",
    re.IGNORECASE,
)
_COIN = re.compile(r"\b(?:0x[0-9a-fA-F]{40}|bc1[a-z0-9]{25,60}|[13][1-9A-HJ-NP-Za-km-z]{25,34})\b")
_CARD = re.compile(r"(?<![\d])[3-6]\d{3}(?:[ -]?\d){9,15}(?!\d)")


def amounts(case: Case) -> list[Risk]:
    """Amounts that only the mail names, or nobody; the largest is typed above the user's limit."""
    found = amounts_in(case.said)
    if not found:
        return []
    risks = []
    rules = {amount.value for amount in amounts_in(plain(case.known.handbook.text))}
    mail = {amount.value for amount in amounts_in(case.original)}
    claimed = [shown(a.said, 60) for a in found if a.value not in rules and a.value in mail]
    made_up = [shown(a.said, 60) for a in found if a.value not in rules | mail]
    if claimed:
        line = f"Amount: only the mail says {listed(claimed)}. Is it right?"
        risks.append(Risk(line, "an amount that only the mail names"))
    if made_up:
        line = f"Amount: {listed(made_up)} stands neither in the mail nor in your handbook."
        risks.append(Risk(line, "an amount that nobody named"))
    limit = case.known.handbook.limits.confirm_above
    largest = max(found, key=lambda amount: amount.value)
    if largest.value > limit:
        line = (
            f"Amount above your limit: {shown(largest.said, 60)} is more than "
            f"{plain_amount(limit)} (`{CONFIRM_ABOVE}` in Handbook.md)."
        )
        risks.append(Risk(line, "amount above your limit", plain_amount(largest.value)))
    return risks


def bank_details(case: Case) -> list[Risk]:
    """Where money would go, unless the handbook or an earlier mail of the user's says it too."""
    risks = []
    found = bank_details_in(case.said)
    if not found:
        return []
    yours = [case.known.handbook.text, *(s.body for s in case.known.sent if s.certain)]
    known = {number for text in yours for _, number in bank_details_in(plain(text))}
    mail = {number for _, number in bank_details_in(case.original)}
    for kind, number in found:
        if number in known:
            continue
        whose = "only the mail says it" if number in mail else "it stands nowhere else"
        line = (
            f"Bank details: {shown(number, 64)} ({kind}); {whose}. Ask the payee by another way "
            "than this mail."
        )
        risks.append(Risk(line, "bank details", number[-4:].lower()))
    return risks


def bank_details_in(text: str) -> list[tuple[str, str]]:
    """The bank details in a text without invisible characters: (kind, number without spaces)."""
    text = unicodedata.normalize("NFKC", text)
    found: dict[str, str] = {}
    for start in _IBAN.finditer(text):
        if iban := _valid_iban(start[0]):
            found[iban] = "IBAN"
    for match in _COIN.finditer(text):
        found.setdefault(match[0], "coin address")
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _luhn(digits) and not any(digits in iban for iban in found):
            found.setdefault(digits, "card number")
    for match in _NUMBERED.finditer(text):
        digits = "".join(str(unicodedata.digit(c)) for c in match["digits"] if c.isdecimal())
        if not any(digits in number for number in found):
            found.setdefault(digits, "account number")
    return [(kind, number) for number, kind in found.items()]


def _valid_iban(text: str) -> str:
    compact = re.sub(r"[\s.\-_/]", "", text).upper()
    compact = compact[: _IBAN_LENGTHS.get(compact[:2], 0)]
    if len(compact) < 15 or not compact.isascii():
        return ""
    digits = "".join(str(int(c, 36)) for c in compact[4:] + compact[:4])
    return compact if int(digits) % 97 == 1 else ""


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0

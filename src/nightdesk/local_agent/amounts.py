"""Amounts of money in running text: "1.250,00 €", "USD 1,250", "5k euros" -> a number.

Whatever can be read in two ways is read as the larger: a warning too many costs a look, one too few
costs the money. Amounts in words ("five thousand") are not found.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

_SYMBOLS = "€$£¥₹₽₩฿₺₴₿"
_CODES = (
    "EUR USD GBP CHF JPY CNY SEK NOK DKK PLN CZK HUF RON BGN ISK AUD CAD NZD INR BRL MXN RUB UAH "
    "TRY ILS ZAR KRW SGD HKD THB AED SAR BTC ETH USDT USDC"
)
_WORDS = r"euros?|dollars?|pounds?|francs?|franken|kronen|kronor|kroner|yen|rupees?|bitcoins?"
_CURRENCY = rf"(?:[{_SYMBOLS}]|(?<![a-z])(?:{_CODES.replace(' ', '|')}|{_WORDS})(?![a-z]))"
# A space parts thousands only where three digits follow; every part is bounded.
_NUMBER = r"\d{1,18}(?:[.,'’]\d{1,18}|[ ]\d{3}(?!\d)){0,8}"
_TIMES = r"(?:[ ]?(?P<{0}>k|m|mio|mrd|bn|tsd|thousand|millions?|billions?|mille)(?![a-z])\.?)?"
_AMOUNT = re.compile(
    rf"{_CURRENCY}[ ]{{0,2}}(?P<after>{_NUMBER}){_TIMES.format('ta')}"
    rf"|(?<![\d.,])(?P<before>{_NUMBER})(?:,-|,--)?{_TIMES.format('tb')}[ ]{{0,2}}{_CURRENCY}",
    re.IGNORECASE,
)
_FACTORS = {"k": 3, "tsd": 3, "thousand": 3, "mille": 3, "mrd": 9, "bn": 9, "billion": 9}
_TYPED = re.compile(
    rf"(?:{_CURRENCY})?[ ]{{0,2}}(?P<number>{_NUMBER})(?:,-|,--)?[ ]{{0,2}}(?:{_CURRENCY})?",
    re.IGNORECASE,
)


class Amount(NamedTuple):
    """An amount, and how the text says it."""

    value: Decimal
    said: str


def amounts_in(text: str) -> list[Amount]:
    """The amounts of money in a text, in their order, each value once.

    Args:
        text: without invisible characters; one amid the digits would hide the amount.
    """
    found: dict[Decimal, str] = {}
    for match in _AMOUNT.finditer(_flat(text)):
        value = _number(match["after"] or match["before"])
        times = (match["ta"] or match["tb"] or "").casefold().rstrip("s")
        value *= 10 ** _FACTORS.get(times, 6 if times else 0)
        found.setdefault(value, match[0].strip())
    return [Amount(value, said) for value, said in found.items()]


def amount_of(text: str) -> Decimal | None:
    """The number that a person typed as an amount, with or without a currency; None for none."""
    match = _TYPED.fullmatch(_flat(text).strip())
    return _number(match["number"]) if match else None


def plain_amount(value: Decimal) -> str:
    """An amount as a person is asked to type it: `1250.00`."""
    return f"{value:.2f}"


def _flat(text: str) -> str:
    # Wide and other digits, and the spaces that part thousands, become their plain forms.
    if text.isascii():
        return text.replace("\t", " ")
    flat = re.sub(r"[ \t\u2000-\u200a\u202f\u205f]", " ", unicodedata.normalize("NFKC", text))
    return "".join(str(unicodedata.digit(c, c)) if c.isdecimal() else c for c in flat)


def _number(text: str) -> Decimal:
    # One or two digits after the last separator are cents; every other separator parts thousands.
    whole, cents = text, ""
    if match := re.fullmatch(r"(.*)[.,](\d{1,2})", text):
        whole, cents = match[1], match[2]
    return Decimal(re.sub(r"\D", "", whole) + "." + (cents or "0"))

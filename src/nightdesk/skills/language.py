"""German or English, by counting small words; enough for a greeting and a sign-off."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["de", "en"]

# Words that are frequent in one of the two languages and are no words of the other.
_GERMAN = """
aber auch auf aus bei bitte bis danke das dass dem den der des dich dir doch ein eine einen einer
er es für gerne grüße haben hallo ich ihnen ihr ihre im ist kann können mich mir mit nach nicht noch
nur oder schon sehr sich sie sind über um und uns vielen vom von wann wenn werden wie wir wird zu
zum zur
"""
_ENGLISH = """
a about and any are at be been but by can could do for from have hello how i if is it let me my not
of on or our please regards should thank thanks that the there they this to us we what when where
which will with would yes you your
"""
_WORDS: dict[Language, frozenset[str]] = {
    "de": frozenset(_GERMAN.split()),
    "en": frozenset(_ENGLISH.split()),
}


def language_of(text: str) -> Language:
    """Which of the two languages a text is written in; English where neither shows."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    german, english = (sum(w in _WORDS[language] for w in words) for language in ("de", "en"))
    return "de" if german > english else "en"

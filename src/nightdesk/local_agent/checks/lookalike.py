"""Domains that look like one that the person trusts, or are written in other letters."""

from __future__ import annotations

import re
import unicodedata

from nightdesk.local_agent.checks.case import Case, Risk, ascii_domain, domain_of, shown

_SHORTEST = 5
"""Names shorter than this are one letter apart by nature (gmx, gmc)."""

# Letters of other scripts, and digits, that are drawn like a Latin letter (Unicode TR 39 holds all
# of them; these are the ones that a domain may hold and that were used in real attacks).
_PAIRS = (
    "аa вb еe зe іi јj кk мm нh оo рp сc тt уy хx ѕs һh ԁd ԛq ԝw ьb гr пn ӏl "
    "αa βb εe ηn ιi κk νv οo ρp τt υu χx ωw γy "
    "օo ոn սu հh ցg ıi ɑa ɡg øo łl đd ħh ŧt ſs 0o 1l 3e 5s 8b"
)
_DRAWN_LIKE = {ord(pair[0]): pair[1] for pair in _PAIRS.split()}


def look_alike(case: Case) -> list[Risk]:
    """A recipient's domain that resembles a known one, or is not written in plain letters."""
    risks = []
    written = {domain_of(a): a.rpartition("@")[2] for a in case.recipients}
    thread = {domain_of(address) for address in case.thread}
    for domain, as_written in written.items():
        if domain in case.known.domains:
            continue
        others = sorted((case.known.domains | thread) - {domain})
        twin = next((other for other in others if resembles(domain, other)), "")
        foreign = _foreign(domain, as_written)
        if not (twin or foreign):
            continue
        also = f"{' and' if foreign else ''} resembles {shown(twin)}" if twin else ""
        line = f"Look-alike danger: {shown(as_written)}{foreign}{also}."
        risks.append(Risk(line, "look-alike domain", domain))
    return risks


def resembles(domain: str, known: str) -> bool:
    """Whether a domain may be taken for another one; both in ASCII form.

    One that lies below the other (`mail.example.com`), or has only another ending, may not.
    """
    if domain.endswith(f".{known}") or known.endswith(f".{domain}"):
        return False
    seen, seen_known = readable(domain), readable(known)
    if _drawn(seen) == _drawn(seen_known):
        return True
    name, known_name = _name(seen), _name(seen_known)
    long_enough = min(len(name), len(known_name)) >= _SHORTEST
    if long_enough and _one_edit(_drawn(seen), _drawn(seen_known)):
        return True
    dotted = f".{_drawn(seen).replace('-', '.')}."
    if f".{_drawn(seen_known).replace('-', '.')}." in dotted:
        return True
    parts = re.split(r"[.-]", _drawn(seen).rpartition(".")[0])
    return (
        len(known_name) >= _SHORTEST
        and _drawn(known_name) in parts
        and _drawn(name) != _drawn(known_name)
    )


def readable(domain: str) -> str:
    """A domain as programs show it: `xn--` labels in their own letters."""
    return ".".join(_from_punycode(label) for label in domain.split("."))


def _foreign(domain: str, as_written: str) -> str:
    if not as_written.isascii():
        return f" is really {shown(domain)}"
    if any(label.startswith("xn--") for label in domain.split(".")):
        return f" is shown by mailers as {shown(readable(domain))}"
    return ""


def _from_punycode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return label


def _drawn(text: str) -> str:
    """The same text for everything that is drawn alike."""
    marks = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in marks if not unicodedata.combining(c)).translate(_DRAWN_LIKE)
    return letters.replace("rn", "m").replace("vv", "w").replace("cl", "d")


def _name(domain: str) -> str:
    # The part that somebody chose: "example" of example.com, mail.example.com, example.co.uk.
    labels = domain.split(".")
    if len(labels) > 2 and len(labels[-2]) <= 3:
        return labels[-3]
    return labels[-2] if len(labels) > 1 else labels[0]


def _one_edit(a: str, b: str) -> bool:
    """Whether one letter more, less, other or swapped makes one text of the other."""
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > 1 or a == b:
        return False
    start = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    if len(a) < len(b):
        return a[start:] == b[start + 1 :]
    swapped = (
        a[start : start + 2] == b[start : start + 2][::-1] and a[start + 2 :] == b[start + 2 :]
    )
    return swapped or a[start + 1 :] == b[start + 1 :]


def same_domain(typed: str, domain: str) -> bool:
    """Whether a person typed this domain, in whichever form."""
    return ascii_domain(typed.rpartition("@")[2]) == domain

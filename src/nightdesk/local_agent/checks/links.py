"""Links in a draft: each with its whole address, and louder where other words stand before it."""

from __future__ import annotations

import re

from nightdesk.local_agent.checks.case import Case, Risk, ascii_domain, listed, shown

_URL = re.compile(
    r"(?:\b(?:https?|hxxps?|ftps?|file|data|javascript|vbscript|obsidian|smb|tel|sms|mailto):|"
    r"\bwww\.|(?<![\w:/])//)[^\s<>\"'`)\]]+",
    re.IGNORECASE,
)
# Without a scheme: mail programs make links of these too.
_BARE = re.compile(
    r"(?<![\w@./:-])(?:[\w-]{1,63}\.){1,8}"
    r"(?:com|net|org|info|biz|io|co|app|dev|xyz|top|site|online|shop|club|ru|cn|tk|eu|de|uk|fr|me)"
    r"(?![\w@-])(?:/[^\s<>\"'`)\]]*)?",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?:[a-z]{2,12}:)?/{0,2}(?:[^@/\s]*@)?((?:[\w-]{1,63}\.){1,8}[\w-]{2,63})", re.I
)
_MARKDOWN = re.compile(r"(?<!!)\[([^\[\]\n]{1,500})\]\(\s*([^)\s]{1,2000})")
_HTML = re.compile(
    r"<a\s[^<>]{0,500}?href\s*=\s*[\"']?([^\"'\s<>]{1,2000})[^<>]*>([^<\n]{0,500})", re.I
)


def links(case: Case) -> list[Risk]:
    """Every address that a reader of the mail could follow."""
    risks = []
    worded: set[str] = set()
    pairs = [(m[1], m[2]) for m in _MARKDOWN.finditer(case.said)]
    pairs += [(m[2], m[1]) for m in _HTML.finditer(case.said)]
    for words, target in dict.fromkeys(pairs):
        if words.strip() == target:
            continue
        worded |= {target, words.strip()}
        claims, leads = _host(words), _host(target)
        if claims and claims != leads:
            risks.append(
                Risk(
                    f"Disguised link: it reads {shown(words)}, but leads to {shown(target, 1000)}.",
                    "disguised link",
                    leads if leads.isascii() and leads else "link",
                )
            )
        else:
            line = f"Link under other words: {shown(words)} leads to {shown(target, 1000)}."
            risks.append(Risk(line, "link under other words"))
    plain = [*_URL.findall(case.said), *_BARE.findall(case.said)]
    found = [url.rstrip(".,;:!?*_") for url in plain]
    found = [u for u in dict.fromkeys(found) if u not in worded and not _own(u, case)]
    if found:
        one = "a link" if len(found) == 1 else f"{len(found)} links"
        every = listed((shown(url, 1000) for url in found), 8)
        risks.append(
            Risk(f"Links: the draft holds {one}: {every}. Look where each leads.", "links")
        )
    return risks


def _own(url: str, case: Case) -> bool:
    # The user's own site, or one that stands in the handbook, for example in the signature.
    host = _host(url)
    own = {address.rpartition("@")[2].casefold() for address in case.known.own}
    return bool(host) and (host in own or host in case.known.handbook.text.casefold())


def _host(text: str) -> str:
    match = _HOST.match(text.strip())
    return ascii_domain(match[1]) if match else ""

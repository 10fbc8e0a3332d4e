"""HTML to the text that a person would see, by visible rules, with the standard parser."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from nightdesk.connectors.email.css_hiding import Sight, rules_of

MAX_HTML_CHARACTERS = 500_000
"""More than this of one HTML part is not looked at."""

_CHUNK = 8_192
_MAX_UNFINISHED = 131_072
_MAX_DEPTH = 512  # browsers stop nesting there too
_NOT_SHOWN = frozenset(
    {"head", "script", "style", "template", "title", "noscript", "object", "svg", "math", "select"}
)
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_BLOCK = frozenset(
    {"address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset",
     "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main",
     "nav", "ol", "p", "pre", "section", "table", "tr", "ul"}
)  # fmt: skip
_CLOSED_BY_SIBLING = {"li": {"li"}, "tr": {"tr", "td", "th"}, "td": {"td", "th"},
                      "th": {"td", "th"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}}  # fmt: skip
_SCOPES = frozenset({"table", "ul", "ol", "dl"})


def visible_text(html: str) -> str:
    """Text of an HTML document without what its own rules hide.

    Scripts, styles, comments and hidden elements (by attribute, inline style, or a simple
    class or id rule) are left out; a link shows its target behind its words.
    """
    html = html[:MAX_HTML_CHARACTERS]
    reader = _Reader()
    for start in range(0, len(html), _CHUNK):
        reader.feed(html[start : start + _CHUNK])
        if len(reader.rawdata) > _MAX_UNFINISHED:
            break
    # The parser reads an unfinished tag or comment again and again, in quadratic time; a
    # browser shows nothing of it either.
    if len(reader.rawdata) <= _CHUNK // 2:
        reader.close()
    return reader.result()


class _Reader(HTMLParser):
    """Keeps a stack of open elements and what is seen inside each."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, Sight]] = []
        self._rules: dict[str, str] = {}
        self._out: list[str] = []
        self._link: tuple[str, int] | None = None
        self._preformatted = 0

    @property
    def _sight(self) -> Sight:
        return self._open[-1][1] if self._open else Sight()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._close_implied(tag)
        if tag in _VOID:
            if tag in {"br", "hr"} and not self._sight.gone:
                self._out.append("\n")
            return
        if len(self._open) >= _MAX_DEPTH:
            return
        given = {name: value or "" for name, value in attrs}
        sight = self._sight.inside(self._style(given))
        if tag in _NOT_SHOWN or "hidden" in given:
            sight = replace(sight, gone=True)
        self._open.append((tag, sight))
        if sight.gone:
            return
        if tag in _BLOCK:
            self._out.append("\n")
        if tag == "li" and sight.is_seen:
            self._out.append("- ")
        elif tag in {"td", "th"}:
            self._out.append(" ")
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "a":
            self._link = (given.get("href", "").strip(), len(self._out))

    def handle_endtag(self, tag: str) -> None:
        if any(name == tag for name, _ in self._open):
            while self._open and self._pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "style":
            if len(self._rules) < 5_000:
                self._rules |= rules_of(data)
        elif self._sight.is_seen:
            self._out.append(data if self._preformatted else re.sub(r"[ \t\r\n\f]+", " ", data))

    def result(self) -> str:
        """The collected text: single spaces, at most one empty line in a row."""
        text = re.sub(r"[ \t\xa0]+", " ", "".join(self._out))
        text = re.sub(r" ?\n ?", "\n", text)
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def _style(self, given: dict[str, str]) -> str:
        names = [f".{name}" for name in given.get("class", "").split()[:50]]
        if given.get("id"):
            names.append(f"#{given['id']}")
        return ";".join([*(self._rules.get(name, "") for name in names), given.get("style", "")])

    def _close_implied(self, tag: str) -> None:
        """Close what HTML closes by itself, so that an unclosed hidden `<p>` hides no more."""
        closing = _CLOSED_BY_SIBLING.get(tag, set()) | ({"p"} if tag in _BLOCK else set())
        if not closing:
            return
        for at in range(len(self._open) - 1, -1, -1):
            name = self._open[at][0]
            if name in closing:
                while len(self._open) > at:
                    self._pop()
            elif name in _SCOPES or (name in _BLOCK and name != "p"):
                return

    def _pop(self) -> str:
        tag, sight = self._open.pop()
        if not sight.gone:
            if tag == "a" and self._link:
                self._show_target(*self._link)
                self._link = None
            elif tag in _BLOCK:
                self._out.append("\n")
            if tag == "pre":
                self._preformatted -= 1
        return tag

    def _show_target(self, target: str, start: int) -> None:
        words = "".join(self._out[start:]).strip()
        shown = target if len(target) <= 300 else target[:300] + "…"
        leads_away = target.lower().startswith(("http:", "https:", "mailto:"))
        if leads_away and words and words not in {target, target.removeprefix("mailto:")}:
            self._out.append(f" <{shown}>")

"""HTML to the text that a person would see, by visible rules, with the standard parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

MAX_HTML_CHARACTERS = 500_000
"""More than this of one HTML part is not looked at."""

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
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|opacity:0(?:\.0+)?(?![.\d])|mso-hide:all"
    r"|font-size:[01](?:\.\d+)?(?:px|pt|em|rem|%)?(?:;|!|$)|(?:max-)?(?:height|width):0(?![.\d])"
    r"|color:transparent|text-indent:-\d{3}|(?:left|top):-\d{3}|clip:rect\(0"
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_AT_BLOCK = re.compile(r"@[^{;]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_SIMPLE_SELECTOR = re.compile(r"[a-z0-9]*([.#][a-z0-9_-]+)", re.IGNORECASE)


def visible_text(html: str) -> str:
    """Text of an HTML document without what its own rules hide.

    Scripts, styles, comments and hidden elements (by attribute, inline style, or a simple
    class or id rule) are left out; a link shows its target behind its words.
    """
    reader = _Reader()
    reader.feed(html[:MAX_HTML_CHARACTERS])
    reader.close()
    return reader.result()


def hides(style: str) -> bool:
    """Whether an inline style makes an element invisible."""
    return bool(_HIDING.search(re.sub(r"\s+", "", style).lower()))


class _Reader(HTMLParser):
    """Keeps a stack of open elements; text counts only while none of them is hidden."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, bool]] = []
        self._hidden = 0
        self._hidden_names: set[str] = set()
        self._out: list[str] = []
        self._link: tuple[str, int] | None = None
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._close_implied(tag)
        given = {name: value or "" for name, value in attrs}
        if tag in _VOID:
            if not self._hidden and tag in {"br", "hr"}:
                self._out.append("\n")
            return
        hidden = tag in _NOT_SHOWN or self._is_hidden(given)
        self._open.append((tag, hidden))
        self._hidden += hidden
        if self._hidden:
            return
        if tag in _BLOCK:
            self._out.append("\n")
        if tag == "li":
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
            self._hidden_names |= _hidden_by_rules(data)
        elif not self._hidden:
            self._out.append(data if self._preformatted else re.sub(r"[ \t\r\n\f]+", " ", data))

    def result(self) -> str:
        """The collected text: single spaces, at most one empty line in a row."""
        text = re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r"[ \t\xa0]+", " ", "".join(self._out)))
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def _is_hidden(self, given: dict[str, str]) -> bool:
        if "hidden" in given or hides(given.get("style", "")):
            return True
        names = {f".{name}" for name in given.get("class", "").split()}
        if given.get("id"):
            names.add(f"#{given['id']}")
        return bool(names & self._hidden_names)

    def _close_implied(self, tag: str) -> None:
        """Close what HTML closes by itself, so that an unclosed hidden `<p>` hides no more."""
        closing = _CLOSED_BY_SIBLING.get(tag, set()) | ({"p"} if tag in _BLOCK else set())
        for at in range(len(self._open) - 1, -1, -1):
            name = self._open[at][0]
            if name in closing:
                while len(self._open) > at:
                    self._pop()
            elif name in _SCOPES or (name in _BLOCK and name != "p"):
                return

    def _pop(self) -> str:
        tag, hidden = self._open.pop()
        if not self._hidden:
            if tag == "a" and self._link:
                self._show_target(*self._link)
                self._link = None
            elif tag in _BLOCK:
                self._out.append("\n")
            if tag == "pre":
                self._preformatted -= 1
        self._hidden -= hidden
        return tag

    def _show_target(self, target: str, start: int) -> None:
        words = "".join(self._out[start:]).strip()
        shown = target if len(target) <= 300 else target[:300] + "…"
        leads_away = target.lower().startswith(("http:", "https:", "mailto:"))
        if leads_away and words and words not in {target, target.removeprefix("mailto:")}:
            self._out.append(f" <{shown}>")


def _hidden_by_rules(css: str) -> set[str]:
    # Rules inside @media apply to some screens only, so they hide nothing here.
    plain = _AT_BLOCK.sub("", _COMMENT.sub("", css[:100_000]))
    found: set[str] = set()
    for selectors, body in _RULE.findall(plain):
        if hides(body):
            for selector in selectors.split(","):
                if match := _SIMPLE_SELECTOR.fullmatch(selector.strip()):
                    found.add(match.group(1))
    return found

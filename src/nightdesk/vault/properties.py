"""Properties: the flat YAML block at the top of a note, read and written without surprises.

Every scalar is a string, so that YAML's `No`, `12:30`, `1_000` and `18e91` stay what the
person typed. The reader walks PyYAML's event stream and builds nothing deep, so a bomb of
aliases or brackets is refused on its first step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import yaml

from nightdesk.errors import NoteError

Value: TypeAlias = str | list[str]

MAX_PROPERTIES_BYTES = 96 * 1024
"""The longest block that is read; the longest that an agent writes is about 60 KiB."""

MAX_VALUES = 2000
"""The most keys, values and list items that a block may hold, counted together."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_REPLACEMENT = "\ufffd"
_LONGEST_KEY = 900  # PyYAML finds a key only within 1024 characters of its line

# YAML 1.2 (Obsidian) takes these for text like any other; PyYAML takes some for line ends and
# refuses the rest.
_ODD = re.compile("[\x7f-\x9f\u2028\u2029\ufffe\uffff]")
# Written as an escape: what PyYAML cannot read raw, and what would reorder the line on screen.
_ESCAPED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")

_REMEDIES: tuple[tuple[str, str], ...] = (
    ("mapping values", 'Put the value in double quotes; a text that holds ": " needs them'),
    ("tab", "Use spaces instead of tabs"),
    ("'\\t'", "Use spaces instead of tabs"),
    ("that cannot start any token", "Put the value in double quotes"),
    ("anchor", "Put the value in double quotes"),
    ("alphabetic or numeric", "Put the value in double quotes"),
    ("tag", "Put the value in double quotes"),
    ("twice", "Keep one of the two lines"),
    ("[[", 'Put a link in double quotes: "[[note]]"'),
    ("flat", "Write `key: value` lines, or a list of plain texts"),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner, stopped before it looks far ahead into brackets."""

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        if self.flow_level >= 2:
            raise yaml.scanner.ScannerError(None, None, "not flat", self.get_mark())
        super().fetch_flow_collection_start(token_class)


def read_properties(text: str, where: str) -> dict[str, Value]:
    """Read the lines between the two `---` lines.

    Args:
        text: the block; its first line is line 2 of the file.
        where: the path to name in an error.

    Returns:
        key -> text, or list of texts; "" where the value is empty or null.

    Raises:
        NoteError: too long, no valid YAML, nested, a key twice, an anchor, alias or tag.
    """
    if len(text.encode("utf-8")) > MAX_PROPERTIES_BYTES:
        raise NoteError(
            f"the properties are longer than {MAX_PROPERTIES_BYTES // 1024} KiB",
            remedy="Move long text below the second --- line",
            where=where,
        )
    file_lines = text.split("\n")

    def refuse(what: str, line: int | None, why: str = "") -> NoteError:
        shown = file_lines[line] if line is not None and line < len(file_lines) else ""
        clue = f"{why or what} {'[[' if '[[' in shown else ''}"
        remedy = next((r for mark, r in _REMEDIES if mark in clue), "Correct the properties")
        # The block begins on line 2 of the file; PyYAML's marks count from 0.
        return NoteError(what, remedy=remedy, where=where, line=0 if line is None else line + 2)

    shielded, back = _shield(text)
    try:
        loader = _Loader(shielded)
    except yaml.reader.ReaderError as e:
        raise refuse(
            f"the properties hold a control character (U+{ord(shielded[e.position]):04X})",
            shielded.count("\n", 0, e.position),
        ) from e
    try:
        found = _flat(_events(loader), refuse)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line = mark.line if mark else None
        if e.problem == "not flat":
            raise refuse("properties must be flat, not nested", line) from e
        why = str(e.problem)
        raise refuse(f"the properties are not valid YAML ({why})", line, why) from e
    except (ValueError, OverflowError) as e:  # an escape beyond Unicode, such as "\Uffffffff"
        raise refuse("the properties hold an escape that is no character", loader.line) from e
    finally:
        loader.dispose()
    return {_text(k, back, refuse): _value(v, back, refuse) for k, v in found.items()}


_Refuse: TypeAlias = Callable[[str, int | None], NoteError]


def _events(loader: _Loader) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()  # type: ignore[no-untyped-call]


def _flat(events: Iterator[yaml.Event], refuse: _Refuse) -> dict[str, Value]:  # noqa: PLR0912
    found: dict[str, Value] = {}
    key: str | None = None
    items: list[str] | None = None
    inside = False
    documents = values = 0
    for event in events:
        line = event.start_mark.line if event.start_mark else None
        if getattr(event, "anchor", None) is not None:
            raise refuse("anchors and aliases are not allowed", line)
        if getattr(event, "tag", None) is not None:
            raise refuse("YAML tags are not allowed", line)
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise refuse("the properties must be one block", line)
            case yaml.MappingStartEvent():
                if inside:
                    raise refuse("properties must be flat, not nested", line)
                inside = True
            case yaml.SequenceStartEvent():
                if not inside or key is None or items is not None:
                    raise refuse("properties must be flat, not nested", line)
                items = []
            case yaml.SequenceEndEvent():
                assert key is not None
                found[key] = items or []
                key = items = None
            case yaml.ScalarEvent():
                values += 1
                if values > MAX_VALUES:
                    raise refuse(f"the properties hold more than {MAX_VALUES} values", line)
                if not inside:
                    if _scalar(event) == "":
                        continue
                    raise refuse("the properties must be `key: value` lines", line)
                if items is not None:
                    items.append(_scalar(event))
                elif key is None:
                    key = event.value
                    if key in found:
                        raise refuse(f"the property {key!r} stands twice", line)
                else:
                    found[key] = _scalar(event)
                    key = None
            case _:
                pass
    return found


def _scalar(event: yaml.ScalarEvent) -> str:
    if event.style is None and event.value in _NULLS:
        return ""
    return str(event.value)


def _shield(text: str) -> tuple[str, dict[int, str]]:
    """Swap characters that PyYAML misreads for private ones, and say how to swap them back."""
    odd = sorted(set(_ODD.findall(text)))
    if not odd:
        return text, {}
    upper = text.upper()
    free = (n for n in range(0xF0000, 0xFFFFE) if chr(n) not in text and f"{n:X}" not in upper)
    swap: dict[int, str] = {n: c for c, n in zip(odd, free, strict=False)}
    return text.translate({ord(c): n for n, c in swap.items()}), swap


def _value(value: Value, back: dict[int, str], refuse: _Refuse) -> Value:
    if isinstance(value, str):
        return _text(value, back, refuse)
    return [_text(item, back, refuse) for item in value]


def _text(text: str, back: dict[int, str], refuse: _Refuse) -> str:
    text = text.translate(back) if back else text
    # Two escapes that are one character in UTF-16 ("\ud83d\ude00") become one.
    if (whole := writable(text)).count(_REPLACEMENT) > text.count(_REPLACEMENT):
        raise refuse("the properties hold half a character (a lone surrogate)", None)
    return whole


def write_properties(properties: Mapping[str, Value | None], order: tuple[str, ...]) -> str:
    """Write a block, both `---` lines included: texts double-quoted, lists in block style.

    Args:
        order: the keys to write first; others follow in the order they came.

    Raises:
        NoteError: a key is too long, or the block would be too long to be read again.
    """
    ordered = [k for k in order if k in properties]
    ordered += [k for k in properties if k not in order]
    lines = ["---"]
    for key in ordered:
        value = properties[key]
        name = key if _PLAIN_KEY.fullmatch(key) and key not in _NULLS else quoted(key)
        if len(name) > _LONGEST_KEY:
            raise NoteError(f"the property name {key[:40]!r}… is too long", remedy="Shorten it")
        match value:
            case None:
                continue
            case str():
                lines.append(f"{name}: {quoted(value)}")
            case []:
                lines.append(f"{name}: []")
            case _:
                lines.append(f"{name}:")
                lines += [f"  - {quoted(item)}" for item in value]
    lines.append("---\n")
    text = "\n".join(lines)
    if len(text.encode("utf-8")) > MAX_PROPERTIES_BYTES:
        raise NoteError(
            f"the properties would be longer than {MAX_PROPERTIES_BYTES // 1024} KiB",
            remedy="Put long text into the body",
        )
    return text


def quoted(text: str) -> str:
    """A YAML double-quoted scalar on one line; half characters (lone surrogates) become U+FFFD."""
    # JSON's escapes are YAML's; what JSON leaves raw and YAML does not is escaped here.
    as_json = json.dumps(writable(text), ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", as_json)


def writable(text: str) -> str:
    """The text as UTF-8 can hold it: surrogate pairs joined, lone ones replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

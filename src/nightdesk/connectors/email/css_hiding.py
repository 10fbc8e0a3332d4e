"""Which styles make an element invisible. Every step is linear: the text is a stranger's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_SIMPLE_SELECTOR = re.compile(r"[a-z0-9]*([.#][a-z0-9_-]+)", re.IGNORECASE)
_NUMBER = re.compile(r"(-?\d*\.?\d+)([a-z%]*)")
_MAX_CSS = 100_000
_NEARLY_NOTHING = 1.0
"""A font of at most so many pixels or points is not read by anybody."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Whether text in an element is seen.

    Attributes:
        gone: hidden for good with all that it contains.
        faint: properties that hide it, and that an element inside may set otherwise.
    """

    gone: bool = False
    faint: frozenset[str] = frozenset()

    @property
    def is_seen(self) -> bool:
        """Whether a person sees text that stands here."""
        return not self.gone and not self.faint

    def inside(self, style: str) -> Sight:
        """What is seen in an element with this style, inside this one."""
        declared = dict(_declarations(style))
        faint = set(self.faint)
        for name in ("font-size", "visibility", "color"):
            hides = _hides_faintly(name, declared.get(name, ""))
            if hides is not None:
                (faint.add if hides else faint.discard)(name)
        return Sight(self.gone or _hides_all(declared), frozenset(faint))


def rules_of(css: str) -> dict[str, str]:
    """`.class` or `#id` -> declarations, from the simple rules of a style sheet.

    Rules inside @media and the like apply to some screens only, so they are left out.
    """
    css = _COMMENT.sub("", css[:_MAX_CSS])
    found: dict[str, str] = {}
    depth, since, selectors = 0, 0, ""
    for brace in re.finditer(r"[{}]", css):
        text = css[since : brace.start()]
        since = brace.end()
        if brace.group() == "{":
            if depth == 0:
                selectors = text.rpartition(";")[2].strip()
            depth += 1
        else:
            if depth == 1 and not selectors.startswith("@"):
                for selector in selectors.split(","):
                    if match := _SIMPLE_SELECTOR.fullmatch(selector.strip()):
                        name = match.group(1)
                        found[name] = f"{found.get(name, '')};{text}"
            depth = max(0, depth - 1)
    return found


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style[:_MAX_CSS].lower().split(";"):
        name, _, value = declaration.partition(":")
        yield name.strip(), value.replace("!important", "").strip()


def _hides_all(declared: dict[str, str]) -> bool:
    if declared.get("display") == "none" or declared.get("mso-hide") == "all":
        return True
    clipped = declared.get("overflow", "").startswith("hidden")
    flat = any(
        _is_zero(declared.get(n, "")) for n in ("max-height", "height", "max-width", "width")
    )
    away = declared.get("position") in {"absolute", "fixed"} and any(
        _is_far_off(declared.get(n, "")) for n in ("left", "top", "right", "bottom")
    )
    return (
        _is_zero(declared.get("opacity", ""))
        or (flat and (clipped or _is_zero(declared.get("max-height", ""))))
        or away
        or _is_far_off(declared.get("text-indent", ""))
        or declared.get("clip", "").replace(" ", "").startswith("rect(0")
    )


def _hides_faintly(name: str, value: str) -> bool | None:
    """Whether a property that is inherited hides here; None where it leaves things as they are."""
    if not value or value == "inherit":
        return None
    if name == "visibility":
        return value in {"hidden", "collapse"}
    if name == "color":
        return value == "transparent"
    match = _NUMBER.match(value)
    if not match:
        return False  # a word such as `small`
    size, unit = float(match.group(1)), match.group(2)
    if unit in {"em", "%"}:  # a part of what is around it
        return True if size == 0 else None
    return size <= (_NEARLY_NOTHING if unit in {"px", "pt", ""} else 0)


def _is_zero(value: str) -> bool:
    match = _NUMBER.match(value)
    return match is not None and float(match.group(1)) == 0


def _is_far_off(value: str) -> bool:
    match = _NUMBER.match(value)
    return match is not None and float(match.group(1)) <= -100

"""The handbook as the laptop obeys it: limits in plain words, and nothing that loosens them."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from nightdesk.local_agent.handbook import Handbook, Limits, read_handbook

TEMPLATE = Path(__file__).parents[2] / "vault_template" / "Handbook.md"
DEFAULT = Limits()


def book(vault: Path, text: str) -> Handbook:
    (vault / "Handbook.md").write_text(text, "utf-8")
    return read_handbook(vault)


def limits(vault: Path, *lines: str) -> Handbook:
    return book(
        vault, "# Handbook\n\n## Limits\n\n" + "\n".join(lines) + "\n\n## Signature\n\nMe\n"
    )


def test_the_template_says_the_defaults_and_names_nobody(tmp_path: Path) -> None:
    found = book(tmp_path, TEMPLATE.read_text("utf-8"))
    assert found.limits == DEFAULT
    assert found.faults == ()
    assert found.people == frozenset()  # what stands in italics is an example


def test_without_a_handbook_or_without_lines_the_defaults_hold(tmp_path: Path) -> None:
    assert read_handbook(tmp_path) == Handbook()
    assert book(tmp_path, "# Handbook\n").limits == DEFAULT


@pytest.mark.parametrize(
    "line",
    [
        "- Sends a day: 7", "* sends a day : 7", "Sends a Day:7", "- **Sends a day**: 7 mails",
        "- Sends a day: *7*", "1. Sends  a day: `7`",
    ],
)  # fmt: skip
def test_a_person_may_write_a_limit_as_people_do(tmp_path: Path, line: str) -> None:
    found = limits(tmp_path, "Some words first.", line, "- Discounts: none without me.")
    assert found.limits.sends_a_day == 7
    assert found.faults == ()


@pytest.mark.parametrize(
    ("value", "amount"),
    [("250 EUR", "250"), ("1.500,00 €", "1500"), ("$2,000", "2000"), ("0", "0"), ("99.50", "99.5")],
)
def test_the_amount_in_any_form(tmp_path: Path, value: str, amount: str) -> None:
    assert limits(tmp_path, f"- Confirm amounts above: {value}").limits.confirm_above == Decimal(
        amount
    )


@pytest.mark.parametrize(
    "value", ["", "many", "-1", "4 0", "40 or so", "1e9", "٤٠", "no limit", "9999999"]
)
def test_an_unreadable_limit_is_told_and_the_default_holds(tmp_path: Path, value: str) -> None:
    found = limits(tmp_path, f"- Sends a day: {value}")
    assert found.limits == DEFAULT
    (fault,) = found.faults
    assert str(fault).startswith("Handbook.md, line 5: the limit `Sends a day` cannot be read")
    assert "Until then 40 holds" in fault.remedy
    assert limits(tmp_path, "- Confirm amounts above: a lot").faults[0].line == 5


def test_a_limit_that_stands_twice_is_told_and_the_smaller_one_holds(tmp_path: Path) -> None:
    found = limits(tmp_path, "- Sends a day: 90", "- Sends a day: 3")
    assert found.limits.sends_a_day == 3
    assert "stands twice" in str(found.faults[0])
    found = limits(tmp_path, "- Sends a day: 9000", "- Sends a day: lots")
    assert found.limits.sends_a_day == DEFAULT.sends_a_day


def test_a_misspelt_limit_is_told(tmp_path: Path) -> None:
    found = limits(tmp_path, "- Sends per day: 3")
    assert found.limits == DEFAULT
    assert "Did you mean `Sends a day`?" in str(found.faults[0])


def test_limits_count_in_their_section_only_and_not_in_a_fence(tmp_path: Path) -> None:
    text = (
        "# Handbook\n## Tone\n- Sends a day: 1\n## Limits\n```\n- Sends a day: 2\n```\n"
        "### People\n- Bob, bob@friends.example: a friend\n- _Eve, eve@evil.example_\n"
        "## Signature\n- Sends a day: 3\n"
    )
    found = book(tmp_path, text)
    assert found.limits == DEFAULT
    assert found.people == frozenset({"bob@friends.example"})


def test_a_handbook_that_is_a_link_or_broken_is_not_obeyed(tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("## Limits\n- Sends a day: 9999\n", "utf-8")
    (tmp_path / "Handbook.md").symlink_to(other)
    found = read_handbook(tmp_path)
    assert found.limits == DEFAULT
    assert "40 sends a day" in str(found.faults[0])
    (tmp_path / "Handbook.md").unlink()
    os.link(other, tmp_path / "Handbook.md")
    assert read_handbook(tmp_path).faults
    (tmp_path / "Handbook.md").unlink()
    (tmp_path / "Handbook.md").write_bytes(b"## Limits\n- Sends a day: 9999\n\xff\n")
    assert read_handbook(tmp_path).limits == DEFAULT

"""Receipts: one call, of one tool, with these arguments, once, soon; anything else is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightdesk.errors import ConfigError, NotSent, PolicyDenied
from nightdesk.mcp_servers.receipts import Receipts

ARGUMENTS: dict[str, Any] = {"to": ["ada@example.com"], "subject": "Re: ü", "body": "Hi\n"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receipts(tmp_path: Path, clock: Clock) -> Receipts:
    return Receipts(tmp_path / "state", clock)


def refused(receipts: Receipts, receipt: str, **other: Any) -> str:
    with pytest.raises(PolicyDenied) as e:
        receipts.redeem(receipt, other.get("tool", "send_email"), other.get("arguments", ARGUMENTS))
    assert "call draft_" in e.value.remedy
    return str(e.value)


def test_a_receipt_is_good_for_one_call(receipts: Receipts) -> None:
    receipt = receipts.issue("card-1", "send_email", ARGUMENTS)
    assert receipts.verify(receipt, "send_email", ARGUMENTS) == "card-1"
    assert receipts.redeem(receipt, "send_email", {**ARGUMENTS, "receipt": receipt}) == "card-1"
    assert "has been used" in refused(receipts, receipt)


def test_the_order_of_the_arguments_does_not_matter(receipts: Receipts) -> None:
    receipt = receipts.issue("card-1", "send_email", ARGUMENTS)
    turned = dict(reversed(ARGUMENTS.items()))
    assert receipts.redeem(receipt, "send_email", turned) == "card-1"


def test_none_and_malformed(receipts: Receipts) -> None:
    receipts.issue("card-1", "send_email", ARGUMENTS)
    assert "none was given" in refused(receipts, "")
    assert "Approved/" in refused(receipts, "")
    for text in ("x", "nd1.a", "nd2.a.b", "a.b.c.d", "nd1.ü.b"):
        assert "no receipt" in refused(receipts, text)
    for text in ("nd1..", "nd1.a.b", "nd1.e30.!!!", f"nd1.{'A' * 5000}.AAAA"):
        assert "not signed" in refused(receipts, text)


def test_before_the_first_approval_nothing_is_signed(receipts: Receipts, tmp_path: Path) -> None:
    assert "not signed" in refused(receipts, "nd1.e30.AAAA")
    assert not (tmp_path / "state" / "receipt.key").exists()  # only the executor makes the key


def test_a_foreign_key_is_refused(receipts: Receipts, tmp_path: Path, clock: Clock) -> None:
    receipts.issue("card-1", "send_email", ARGUMENTS)
    foreign = Receipts(tmp_path / "other", clock).issue("card-1", "send_email", ARGUMENTS)
    assert "not signed by this laptop" in refused(receipts, foreign)


def test_any_changed_letter_is_refused(receipts: Receipts) -> None:
    receipt = receipts.issue("card-1", "send_email", ARGUMENTS)
    for at in range(4, len(receipt)):
        if receipt[at] == "." or at == len(receipt) - 1:  # the last holds unused bits
            continue
        other = "A" if receipt[at] != "A" else "B"
        refused(receipts, receipt[:at] + other + receipt[at + 1 :])
    assert receipts.redeem(receipt, "send_email", ARGUMENTS) == "card-1"


@pytest.mark.parametrize(
    "change",
    [{"to": ["eve@example.com"]}, {"body": "Hi"}, {"cc": ["eve@example.com"]}, {"subject": ""}],
)
def test_altered_arguments_are_refused(receipts: Receipts, change: dict[str, Any]) -> None:
    receipt = receipts.issue("card-1", "send_email", ARGUMENTS)
    assert "not those that were approved" in refused(
        receipts, receipt, arguments={**ARGUMENTS, **change}
    )
    assert receipts.redeem(receipt, "send_email", ARGUMENTS) == "card-1"  # and it is still good


def test_another_tool_is_refused(receipts: Receipts) -> None:
    receipt = receipts.issue("card-1", "send_email", ARGUMENTS)
    assert "for send_email, not for post_invoice" in refused(receipts, receipt, tool="post_invoice")


def test_an_expired_receipt_is_refused(receipts: Receipts, clock: Clock) -> None:
    receipt = receipts.issue("card-1", "send_email", ARGUMENTS, ttl_seconds=60)
    clock.now += 59
    assert receipts.verify(receipt, "send_email", ARGUMENTS) == "card-1"
    clock.now += 1
    assert "expired" in refused(receipts, receipt)


def used(tmp_path: Path) -> list[str]:
    names = os.listdir(tmp_path / "state" / "receipts-used")
    return [name for name in names if name[0].isdigit()]


def test_used_ones_are_forgotten_long_after_their_expiry(
    receipts: Receipts, clock: Clock, tmp_path: Path
) -> None:
    receipts.redeem(receipts.issue("1", "send_email", ARGUMENTS), "send_email", ARGUMENTS)
    clock.now += 3600
    receipts.redeem(receipts.issue("2", "send_email", ARGUMENTS), "send_email", ARGUMENTS)
    assert len(used(tmp_path)) == 2
    clock.now += 7 * 24 * 3600
    receipts.redeem(receipts.issue("3", "send_email", ARGUMENTS), "send_email", ARGUMENTS)
    assert len(used(tmp_path)) == 2


def test_a_clock_that_is_set_back_revives_no_used_receipt(
    receipts: Receipts, clock: Clock, tmp_path: Path
) -> None:
    start = clock.now
    old = receipts.issue("1", "send_email", ARGUMENTS)
    receipts.redeem(old, "send_email", ARGUMENTS)
    clock.now += 8 * 24 * 3600
    receipts.redeem(receipts.issue("2", "send_email", ARGUMENTS), "send_email", ARGUMENTS)
    assert len(used(tmp_path)) == 1  # the first is forgotten
    clock.now = start
    assert "has expired" in refused(receipts, old)
    # and approvals go on working with the clock as it is now
    new = receipts.issue("3", "send_email", ARGUMENTS)
    assert receipts.redeem(new, "send_email", ARGUMENTS) == "3"
    assert "has been used" in refused(receipts, new)


def test_a_receipt_whose_call_never_came_is_spent_by_the_executor(receipts: Receipts) -> None:
    receipt = receipts.issue("1", "send_email", ARGUMENTS)
    receipts.spend(receipt)
    receipts.spend(receipt)
    assert "has been used" in refused(receipts, receipt)


def test_what_cannot_be_marked_as_used_is_not_used(receipts: Receipts, tmp_path: Path) -> None:
    receipt = receipts.issue("1", "send_email", ARGUMENTS)
    folder = tmp_path / "state" / "receipts-used"
    folder.write_text("a file stands in its place")
    with pytest.raises((NotSent, ConfigError)):
        receipts.redeem(receipt, "send_email", ARGUMENTS)
    folder.unlink()
    assert receipts.redeem(receipt, "send_email", ARGUMENTS) == "1"


def test_the_key_is_private_and_made_once(receipts: Receipts, tmp_path: Path) -> None:
    receipts.issue("1", "send_email", ARGUMENTS)
    key = tmp_path / "state" / "receipt.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    before = key.read_bytes()
    receipt = Receipts(tmp_path / "state").issue("1", "send_email", ARGUMENTS)
    assert key.read_bytes() == before
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="other users") as e:
        Receipts(tmp_path / "state").redeem(receipt, "send_email", ARGUMENTS)
    assert str(key) in str(e.value)


def test_of_many_processes_one_wins(tmp_path: Path) -> None:
    state = tmp_path / "state"
    receipt = Receipts(state).issue("card-1", "send_email", ARGUMENTS)
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from nightdesk.errors import PolicyDenied\n"
        "from nightdesk.mcp_servers.receipts import Receipts\n"
        "receipts = Receipts(Path(sys.argv[1]))\n"
        "Path(sys.argv[3], str(os.getpid())).touch()\n"
        "while not Path(sys.argv[1], 'go').exists(): pass\n"
        "try:\n"
        f"    print(receipts.redeem(sys.argv[2], 'send_email', {ARGUMENTS!r}))\n"
        "except PolicyDenied as e:\n"
        "    print(e.what)\n"
    )
    ready = tmp_path / "ready"
    ready.mkdir()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(state), receipt, str(ready)],
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    while len(os.listdir(ready)) < len(racers):
        assert all(racer.poll() is None for racer in racers)
    (state / "go").touch()
    said = sorted(racer.communicate(timeout=30)[0].strip() for racer in racers)
    assert said == ["card-1", "the receipt has been used", "the receipt has been used"]

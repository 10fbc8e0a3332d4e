"""Calling something with an ordinary user's rights, also where the tests run as root."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
_READ_AND_WRITE_EVERYTHING = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_PR_CAPBSET_DROP = 24
_VERSION_3 = 0x20080522


def as_ordinary_user(call: Callable[[], T]) -> T:
    """Call in a thread for which the permission bits of files hold, and for its children.

    Linux keeps these rights for each thread, so nothing of it outlasts the call.
    """
    answer: list[T] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            if os.geteuid() == 0:
                _give_up_rights()
            answer.append(call())
        except BaseException as e:  # noqa: BLE001 - the caller's thread raises it
            error.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return answer[0]


def _give_up_rights() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("root reads everything here, and its rights cannot be given up")
    libc: Any = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    done = [libc.capget(header, sets)]
    for number in _READ_AND_WRITE_EVERYTHING:
        done.append(libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0))
        for which in range(3):
            sets[which] &= ~(1 << number)
    done.append(libc.capset(header, sets))
    assert not any(done), os.strerror(ctypes.get_errno())

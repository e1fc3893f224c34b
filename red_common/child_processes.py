"""Children that end with their parent."""

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int, number: signal.Signals) -> None:
    """The kernel signals this process when its parent dies, even of SIGKILL; `parent` is its process id.

    If it has died already, this process ends at once.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program, to be signalled when the process that calls this dies."""
    return partial(die_with, os.getpid(), number)


def describe(code: int) -> str:
    """An exit code in words; -N is signal N."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"

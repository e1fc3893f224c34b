"""Landlock, by its system calls: this process opens no file, uses no TCP and signals nobody any more.

Linux has it since 5.13; newer kernels can deny more. What is open already stays open.
"""

import ctypes
import os
from typing import Final

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # system calls, the same number on every processor
_VERSION: Final = 1  # a flag of landlock_create_ruleset: tell the version
_FILES: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # by the version that brought them
_TCP: Final = {4: 0b11}  # bind and connect
_SCOPES: Final = {6: 0b11}  # abstract Unix sockets, and signals
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    """landlock_ruleset_attr: what is denied, since no rule of ours allows any of it."""

    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def version() -> int:
    """The kernel's version of Landlock.

    Raises:
        OSError: it has none, or it is switched off.
    """
    return _call(_CREATE_RULESET, None, 0, _VERSION)


def put_up() -> None:
    """Denies all that the kernel can, for good; the thread must not be able to gain privileges.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    known = version()
    denied = [sum(bits for since, bits in kind.items() if since <= known) for kind in (_FILES, _TCP, _SCOPES)]
    ruleset = _Ruleset(*denied)
    descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        _call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    converted = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

"""A seccomp filter: of all system calls this process keeps those of `system_calls.py`; the others are EPERM.

So it opens no file, makes no socket, starts no process and reaches no other one. A library that tries is told
so and can go on without.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from typing import Final

from red_service.decoding.system_calls import ALLOWED, CLONE, CLONE3

_PROCESSORS: Final = {
    "x86_64": (0, 317, 0xC000003E),
    "aarch64": (1, 277, 0xC00000B7),
}  # seccomp(2), AUDIT_ARCH
_SET_FILTER: Final = 1
_EVERY_THREAD, _FULL_SPEED = 1, 4  # older kernels slow down whoever has a filter, against Spectre
_CLONE_THREAD: Final = 0x10000
_NUMBER, _PROCESSOR, _FLAGS = 0, 4, 16  # offsets into seccomp_data: the last is of the first argument
_LOAD, _IF_EQUAL, _IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def put_up() -> None:
    """Installs the filter for good, in every thread; the thread must not be able to gain privileges.

    Raises:
        OSError: the kernel has no seccomp, does not allow it here, or it is another processor.
    """
    machine = platform.machine()
    if machine not in _PROCESSORS:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    column, seccomp, processor = _PROCESSORS[machine]
    steps = list(_steps(column, processor))
    program = _Program(len(steps), b"".join(steps))
    number, flags = ctypes.c_long(seccomp), ctypes.c_long(_EVERY_THREAD | _FULL_SPEED)
    if _libc.syscall(number, ctypes.c_long(_SET_FILTER), flags, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _steps(column: int, processor: int) -> Iterator[bytes]:
    """The program; a jump is given as how many steps it leaves out."""
    yield _step(_LOAD, _PROCESSOR)
    yield _step(_IF_EQUAL, processor, otherwise=0, then=1)
    yield _step(_RETURN, _ERROR | errno.EPERM)  # a call of another processor's, which has other numbers
    yield _step(_LOAD, _NUMBER)
    for numbers in ALLOWED.values():
        yield _step(_IF_EQUAL, numbers[column], otherwise=1)
        yield _step(_RETURN, _ALLOW)
    yield _step(_IF_EQUAL, CLONE3[column], otherwise=1)
    yield _step(_RETURN, _ERROR | errno.ENOSYS)
    yield _step(_IF_EQUAL, CLONE[column], otherwise=3)
    yield _step(_LOAD, _FLAGS)
    yield _step(_IF_SET, _CLONE_THREAD, otherwise=1)
    yield _step(_RETURN, _ALLOW)
    yield _step(_RETURN, _ERROR | errno.EPERM)


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)

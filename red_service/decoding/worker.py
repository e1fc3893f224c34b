"""The process that decodes: image in through shared memory, amounts or a problem out, until EOF.

Its length comes on stdin, 4 bytes big-endian, when the image is there. The answer goes to stdout:
its length the same way, and JSON.
Started and watched by `decoding.py`. Nothing secret is in its environment.
"""

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from PIL import Image

from red_service.decoding.image import Measured, measure
from red_service.problems import Rejected
from red_service.redness import kernel

LENGTH: Final = 4
PR_SET_PDEATHSIG: Final = 1
NICE: Final = 10


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """A Rejected on its way through the pipe."""

    code: str
    detail: str


class Success(msgspec.Struct, frozen=True, tag="success"):
    """A Measured on its way through the pipe."""

    measured: Measured


Answer = Success | Refusal


def answer(content: bytes) -> Answer:
    """Measures; an error nobody foresaw is a corrupt image, never a traceback."""
    try:
        return Success(measure(content))
    except Rejected as rejected:
        return Refusal(rejected.code, rejected.detail)
    except MemoryError:
        return Refusal("image_too_expensive", "Decoding takes too much memory.")
    except Exception as error:
        print(f"red worker: unforeseen {error!r}"[:500], file=sys.stderr, flush=True)
        return Refusal("image_corrupt", "The image cannot be decoded.")


def limit(parent: int, memory: int) -> None:
    """Dies with `parent` (a process id), and gets at most `memory` bytes of address space."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the line above
        raise SystemExit(0)
    _yield_to_others()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _yield_to_others() -> None:
    """Decoding is the long work here: Kafka and the services come first where processors are few."""
    os.nice(NICE)
    with contextlib.suppress(OSError):  # a session of ours is a scheduling group of its own
        Path("/proc/self/autogroup").write_text(str(NICE))


def allow_cpu(seconds: float) -> None:
    """From now on `seconds` more of processor time, then SIGPROF.

    RLIMIT_CPU would count from birth, in ticks: twice what was used, of images that come with the ticks.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)


def serve(lengths: BinaryIO, memory: mmap.mmap, answers: BinaryIO, seconds: float) -> None:
    """Answers image after image; the first frame out is empty and says that all is loaded."""
    Image.preinit()  # or the first image would wait for Pillow's plug-ins
    kernel.load()  # and for its check
    answers.write(bytes(LENGTH))
    answers.flush()
    while header := lengths.read(LENGTH):
        content = memory[: int.from_bytes(header)]
        allow_cpu(seconds)
        encoded = msgspec.json.encode(answer(content))
        answers.write(len(encoded).to_bytes(LENGTH) + encoded)
        answers.flush()


def main() -> None:
    """`python -m red_service.decoding.worker PARENT DESCRIPTOR MEMORY SECONDS`."""
    parent, descriptor, memory, seconds = sys.argv[1:]
    limit(int(parent), int(memory))
    image = mmap.mmap(int(descriptor), 0, prot=mmap.PROT_READ)
    os.close(int(descriptor))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak into the answers
    serve(sys.stdin.buffer, image, answers, float(seconds))


if __name__ == "__main__":
    main()

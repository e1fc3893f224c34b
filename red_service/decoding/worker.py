"""The decoding process: images in through shared memory, amounts or refusals out, until EOF on stdin.

Once an image is in the memory, its length comes on stdin, as 4 bytes big-endian. The reply goes to
stdout: its length in the same form, then JSON. `pool.py` starts and watches these processes; their
environment holds no secrets, and before the first image they give up files, network and other processes.
"""

import contextlib
import mmap
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from PIL import Image

from red_common.child_processes import die_with
from red_service.decoding import fences
from red_service.decoding.fences import Fences
from red_service.decoding.image import Measured, measure
from red_service.problems import Rejected
from red_service.redness import kernel

LENGTH: Final = 4  # bytes of a length
NICE: Final = 10


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """The image was rejected; `code` and `detail` are those of the Rejected."""

    code: str
    detail: str


class Success(msgspec.Struct, frozen=True, tag="success"):
    """The image was measured."""

    measured: Measured


Verdict = Success | Refusal


class WorkerReply(msgspec.Struct, frozen=True):
    """The verdict on an image, and the processor seconds since the reply before."""

    verdict: Verdict
    cpu: float


def verdict_on(content: bytes) -> Verdict:
    """Measures an image; an unforeseen error means a corrupt image, and never ends the process."""
    try:
        return Success(measure(content))
    except Rejected as rejected:
        return Refusal(rejected.code, rejected.detail)
    except MemoryError:
        return Refusal("image_too_expensive", "Decoding takes too much memory.")
    except Exception as error:
        print(
            f"red worker: unforeseen error, the image is refused: {error!r}"[:500],
            file=sys.stderr,
            flush=True,
        )
        return Refusal("image_corrupt", "The image cannot be decoded.")


def limit(parent: int, memory: int) -> None:
    """Makes this process die with `parent` (a process id), and limits its address space to `memory` bytes."""
    die_with(parent, signal.SIGKILL)
    _yield_to_others()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _yield_to_others() -> None:
    """Lowers the priority: decoding is the long work, and Kafka and the services must not wait for it."""
    os.nice(NICE)
    with contextlib.suppress(OSError):  # our session is a scheduling group of its own
        Path("/proc/self/autogroup").write_text(str(NICE))


def allow_cpu(seconds: float) -> None:
    """Allows this process `seconds` of processor time from now on; then SIGPROF kills it.

    RLIMIT_CPU would count from the start of the process, and in ticks, which can charge images that
    arrive in step with them twice what they used.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)


def serve(lengths: BinaryIO, memory: mmap.mmap, replies: BinaryIO, seconds: float) -> None:
    """Replies to one image after another until EOF; the first frame is the Fences of this process.

    Everything is loaded then. Each image may use `seconds` of processor time, or the process dies of SIGPROF.
    """
    Image.preinit()  # else the first image would wait for Pillow's plug-ins
    kernel.load()  # and for the check of the kernel
    _reply(replies, fences.put_up())
    spent = time.process_time()
    while header := lengths.read(LENGTH):
        content = memory[: int.from_bytes(header)]
        allow_cpu(seconds)
        verdict = verdict_on(content)
        # While a timer runs, the kernel brings this clock up to date only where the process is interrupted
        # or waits: what is missing now is charged to the next image.
        before, spent = spent, time.process_time()
        _reply(replies, WorkerReply(verdict, spent - before))


def _reply(replies: BinaryIO, reply: WorkerReply | Fences) -> None:
    encoded = msgspec.json.encode(reply)
    replies.write(len(encoded).to_bytes(LENGTH) + encoded)
    replies.flush()


def main() -> None:
    """`python -m red_service.decoding.worker PARENT DESCRIPTOR MEMORY SECONDS`.

    A process id, the file descriptor of the shared memory, bytes of address space, and seconds per image.
    """
    parent, descriptor, memory, seconds = sys.argv[1:]
    limit(int(parent), int(memory))
    image = mmap.mmap(int(descriptor), 0, prot=mmap.PROT_READ)
    os.close(int(descriptor))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that a library that prints cannot corrupt the replies
    serve(sys.stdin.buffer, image, replies, float(seconds))


if __name__ == "__main__":
    main()

"""A pool of decoding processes: a hostile image can kill its worker, but never RED.

Each slot owns one process and takes the next job when it is idle. A worker that exceeds its limits is
killed and replaced; if a worker crashes, its replacement tries the image once more. A verdict depends on the
image alone: on processor time, never on time by the clock, which others on the machine can take.
"""

import asyncio
import contextlib
import logging
import mmap
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from red_common.problems import Problem
from red_service.decoding.fair_queue import Cost, ImageQueue, Turn
from red_service.decoding.fences import Fences
from red_service.decoding.image import Measured
from red_service.decoding.worker import LENGTH, Refusal, Verdict, WorkerReply
from red_service.problems import Rejected
from red_service.upload import MAX_IMAGE

log = logging.getLogger(__name__)

IMAGES_PER_WORKER: Final = 10_000  # then it is replaced, so that no leak in a decoder adds up
START_SECONDS: Final = 20.0  # for a worker to load its decoders
STALLED: Final = 10  # times as long by the clock as an image may take in processor time
STARVED: Final = "The machine gives the decoder too little processor time; try again later."
_replies = msgspec.json.Decoder(WorkerReply)
_fences = msgspec.json.Decoder(Fences)


class WorkerDied(Exception):
    """Raised when a worker ended instead of replying; `returncode` is its process's, -N for signal N."""

    def __init__(self, returncode: int | None) -> None:
        super().__init__(f"worker ended with return code {returncode}")
        self.returncode = returncode


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may cost: `seconds` of processor time, `memory` bytes of address space."""

    seconds: float = 5.0
    memory: int = 1536 << 20


@dataclass(slots=True)
class _Job:
    content: bytes
    answer: "asyncio.Future[Measured]"


@dataclass(slots=True)
class _Worker:
    process: Process
    memory: mmap.mmap  # shared with the process: one copy moves an image, where a pipe would take many
    fences: Fences
    images: int = 0

    @classmethod
    async def start(cls, limits: Limits) -> "_Worker":
        descriptor = os.memfd_create("image")
        try:
            os.ftruncate(descriptor, MAX_IMAGE)
            memory = mmap.mmap(descriptor, MAX_IMAGE)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "red_service.decoding.worker"),
                *(str(os.getpid()), str(descriptor), str(limits.memory), str(limits.seconds)),
                stdin=PIPE,
                stdout=PIPE,
                env=_environment(),
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C reaches RED only, which then stops its workers
            )
        finally:
            os.close(descriptor)
        try:
            async with asyncio.timeout(START_SECONDS):
                fences = _fences.decode(await _frame(process))
        except BaseException:
            await _kill(process, memory)
            raise
        return cls(process, memory, fences)

    async def ask(self, content: bytes) -> WorkerReply:
        """The reply to one image, at most MAX_IMAGE bytes; raises WorkerDied if the process ends instead."""
        self.images += 1
        stdin = self.process.stdin
        assert stdin is not None
        self.memory[: len(content)] = content
        try:
            stdin.write(len(content).to_bytes(LENGTH))
            await stdin.drain()
        except OSError:
            raise WorkerDied(await self.process.wait()) from None
        try:
            reply: WorkerReply = _replies.decode(await _frame(self.process))
        except (msgspec.MsgspecError, UnicodeDecodeError):  # an image has made it say something else
            await self.kill()
            raise WorkerDied(None) from None
        return reply

    async def kill(self) -> None:
        await _kill(self.process, self.memory)


async def _frame(process: Process) -> bytes:
    """The next frame from the process; raises WorkerDied if the process ends instead."""
    stdout = process.stdout
    assert stdout is not None
    try:
        length = int.from_bytes(await stdout.readexactly(LENGTH))
        return await stdout.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        raise WorkerDied(await process.wait()) from None


async def _kill(process: Process, memory: mmap.mmap) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
    memory.close()


def _environment() -> dict[str, str]:
    """Only what Python needs to start; RED's secrets are not passed on."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class DecoderPool:
    """Measures images, at most `together` of one client at once, in one process more than that.

    The process more is kept for clients that have no image in a decoder. An image waits at most
    `queue_seconds` for its turn. `on_restart(reason)` is called whenever a process is replaced.
    """

    def __init__(
        self,
        together: int,
        limits: Limits | None = None,
        *,
        queue_seconds: float = 2.0,
        images_per_worker: int = IMAGES_PER_WORKER,
        on_restart: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._workers = together + 1
        self._limits = limits or Limits()
        self._queue_seconds = queue_seconds
        self._images_per_worker = images_per_worker
        self._on_restart = on_restart
        self._queue: ImageQueue[_Job] = ImageQueue(self._workers)
        self._slots: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """How many images wait for a decoder."""
        return len(self._queue)

    async def start(self) -> None:
        """Waits until every worker has loaded its decoders.

        Raises:
            WorkerDied, TimeoutError, OSError: a worker did not start; the others have been killed.
        """
        started = await asyncio.gather(
            *(_Worker.start(self._limits) for _ in range(self._workers)), return_exceptions=True
        )
        failures = [worker for worker in started if isinstance(worker, BaseException)]
        for worker in started:
            if isinstance(worker, _Worker):
                if failures:
                    await worker.kill()
                else:
                    self._slots.append(asyncio.create_task(self._serve(worker)))
        if failures:
            raise failures[0]
        for fences in {worker.fences for worker in started if isinstance(worker, _Worker)}:
            log.log(logging.WARNING if fences.missing else logging.INFO, "decoders are %s", fences)
        await asyncio.sleep(0)  # a slot that was cancelled before it began would not kill its worker

    async def stop(self) -> None:
        """Kills the workers; the images being decoded or waiting are cancelled."""
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots.clear()
        for job in self._queue.drain():
            job.answer.cancel()

    def check_room(self, client_id: str, size: int) -> None:
        """Refuses an image of `size` bytes, known or expected, that would wait too long if it came now.

        Raises:
            Problem: 503 `overloaded`.
        """
        if self._queue.expected_wait_seconds(client_id) > self._queue_seconds:
            raise self._overloaded(client_id, size)

    async def measure(self, content: bytes, client_id: str = "", *, patient: bool = False) -> Measured:
        """Measures one image, at most MAX_IMAGE bytes, in its client's turn; safe to repeat.

        A `patient` one waits as long as it takes: it is part of a request that has been begun.

        Raises:
            Rejected: it is not an image, or exceeds the limits.
            Problem: 503 `overloaded`, it would have waited too long or the machine gives it no time; 503
                `decoder_lost`, somebody else killed the decoder, twice.
        """
        if not content:
            raise Rejected("image_empty", "The image has no bytes.")
        loop = asyncio.get_running_loop()
        job = _Job(content, loop.create_future())
        self._queue.put(client_id, job, len(content))
        limit = None if patient else loop.call_later(self._queue_seconds, self._give_up, client_id, job)
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._queue.discard(client_id, job)
            raise
        finally:
            if limit is not None:
                limit.cancel()

    def _give_up(self, client_id: str, job: _Job) -> None:
        if self._queue.discard(client_id, job):
            self._fail(job, self._overloaded(client_id, len(job.content)))

    def _overloaded(self, client_id: str, size: int) -> Problem:
        return Problem(
            "overloaded",
            f"The image would wait more than {self._queue_seconds:g} s for a decoder; try again later.",
            retry_after=self._queue.return_seconds(client_id, size),
        )

    async def _serve(self, worker: _Worker | None) -> None:
        """Runs one slot forever: first it makes sure of a live worker, then it takes a job."""
        try:
            while True:
                worker = worker or await self._fresh()
                turn = await self._queue.get()
                worker = await self._take(turn, worker)
        finally:
            if worker is not None:
                await worker.kill()

    async def _take(self, turn: Turn[_Job], worker: _Worker) -> _Worker | None:
        """Settles the job whose turn it is; returns the worker if it can take another one."""
        job, loop = turn.job, asyncio.get_running_loop()
        started, cpu = loop.time(), None
        try:
            if job.answer.done():  # whoever asked has given up
                return worker
            kept, cpu = await self._do(job, worker)
        except asyncio.CancelledError:
            job.answer.cancel()
            raise
        finally:
            elapsed = loop.time() - started
            if cpu is not None:
                self._queue.costs.learn(len(job.content), Cost(cpu, elapsed))
            self._queue.done(turn, elapsed if cpu is None else cpu)
        return kept

    async def _do(self, job: _Job, worker: _Worker) -> tuple[_Worker | None, float | None]:
        """Settles the job.

        Returns the worker if it can take another one, and the processor seconds, None if nobody knows.
        """
        for last in (False, True):
            try:
                reply = await self._ask(worker, job.content)
            except WorkerDied as died:
                await self._replace(worker, str(died))
                if last or died.returncode == -signal.SIGPROF:
                    self._fail(job, _verdict(died))
                    return None, None
                worker = await self._fresh()
            except TimeoutError:
                await self._replace(worker, "time limit")
                self._fail(job, Problem("overloaded", STARVED, retry_after=5))
                return None, None
            else:
                self._settle(job, reply.verdict)
                break
        if worker.images >= self._images_per_worker:
            await self._replace(worker, "recycled")
            return None, reply.cpu
        return worker, reply.cpu

    async def _ask(self, worker: _Worker, content: bytes) -> WorkerReply:
        try:
            async with asyncio.timeout(STALLED * self._limits.seconds):
                return await worker.ask(content)
        except asyncio.CancelledError:
            await worker.kill()
            raise

    def _settle(self, job: _Job, verdict: Verdict) -> None:
        if isinstance(verdict, Refusal):
            self._fail(job, Rejected(verdict.code, verdict.detail))
        elif not job.answer.done():
            job.answer.set_result(verdict.measured)

    def _fail(self, job: _Job, problem: Problem) -> None:
        if not job.answer.done():
            job.answer.set_exception(problem)

    async def _replace(self, worker: _Worker, reason: str) -> None:
        if reason != "recycled":
            log.warning("replacing decoding worker %s: %s", worker.process.pid, reason)
        self._on_restart(reason)
        await worker.kill()

    async def _fresh(self) -> _Worker:
        """A new worker; tries again until the machine can start one."""
        pause = 0.1
        while True:
            try:
                return await _Worker.start(self._limits)
            except (WorkerDied, TimeoutError, OSError) as error:
                log.error("cannot start a decoding worker, next try in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)


def _verdict(died: WorkerDied) -> Problem:
    if died.returncode == -signal.SIGPROF:
        return Rejected("image_too_expensive", "Decoding takes too much processor time.")
    if died.returncode == -signal.SIGKILL:  # not by us, so it says nothing about the image
        return Problem(
            "decoder_lost",
            "The decoder was killed twice, perhaps for lack of memory; try again.",
            retry_after=1,
        )
    return Rejected("image_corrupt", "The decoder crashed twice on this image.")

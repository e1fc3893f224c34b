"""A child process in a session of its own; its output is prefixed, and it ends with its parent."""

import asyncio
import contextlib
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from red_common.child_processes import die_with_parent
from red_common.restarts import Restarts

KEPT_LINES = 20


class Child:
    """A program that is started as often as necessary; `say(text)` prints one line for people.

    `orphaned` is the signal that the kernel sends it when the parent dies.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        say: Callable[[str], None],
        orphaned: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.restarts = Restarts()
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.process: asyncio.subprocess.Process | None = None
        self._command, self._environment = list(command), dict(environment)
        self._say = say
        self._orphaned = orphaned
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start the program in a session of its own, so that Ctrl-C in the terminal does not reach it."""
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
            preexec_fn=die_with_parent(self._orphaned),
        )
        self._reading = asyncio.create_task(self._read(self.process), name=f"read {self.name}")

    async def ended(self) -> int:
        """Wait until it has ended and its output is read; returns the exit code (negative: a signal)."""
        assert self.process is not None
        assert self._reading is not None
        code = await self.process.wait()
        await asyncio.wait([self._reading], timeout=1)
        return code

    async def stop(self, seconds: float) -> None:
        """Send SIGTERM, and SIGKILL after `seconds`; does nothing if it does not run."""
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            self._say(f"{self.name} did not stop within {seconds:g} s and was killed")
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line longer than the limit is skipped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self.last_lines.append(text)
            print(f"{self.name:<7}| {text}", file=sys.stderr, flush=True)

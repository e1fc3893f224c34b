"""Several processes that serve RED's port together; the kernel spreads connections over them.

This process only starts them, and starts one again when it dies. Each is a whole RED with its share of the
decoders, so an image is served from beginning to end by one of them.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory

from prometheus_client import multiprocess

from red_common.child_processes import describe, die_with_parent
from red_common.restarts import Restarts
from red_service.metrics import SHARED_FOLDER

log = logging.getLogger(__name__)

CANNOT_START = 2
KILLED_AFTER = 15.0  # seconds after SIGTERM


async def serve_together(servers: int) -> int:
    """Serves with so many processes until SIGINT or SIGTERM, or until one of them cannot start.

    Returns the exit code: that of the process that cannot start, 1 if one has died too often, else 0.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with TemporaryDirectory(prefix="red-metrics-") as folder:
        environment = os.environ | {SHARED_FOLDER: folder}
        keeping = [asyncio.create_task(_keep(number, environment)) for number in range(servers)]
        waiting = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait([waiting, *keeping], return_when=asyncio.FIRST_COMPLETED)
        for task in [waiting, *keeping]:
            task.cancel()
        await asyncio.gather(waiting, *keeping, return_exceptions=True)
    return max((task.result() for task in keeping if task in done), default=0)


async def _keep(number: int, environment: Mapping[str, str]) -> int:
    """Starts one server again whenever it dies; returns the exit code of RED once that makes no sense."""
    restarts = Restarts()
    while True:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "red_service", "--server", str(number)),
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops its servers
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            raise
        multiprocess.mark_process_dead(process.pid, environment[SHARED_FOLDER])  # type: ignore[no-untyped-call]
        if code == CANNOT_START:
            return code
        log.error("server %d died (%s)", number, describe(code))
        if restarts.too_many(time.monotonic()):
            log.error("server %d has died too often within a minute", number)
            return 1
        await asyncio.sleep(restarts.pause())


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(KILLED_AFTER):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

"""A worker that is told to stop ends, whatever holds its parts up."""

import signal
import subprocess
import sys
import time

PROGRAM = """
import asyncio, sys
import mode
from red_stats.faust import worker

class Part(mode.Service):
    async def maybe_start(self):
        await super().maybe_start()
        print("ready", flush=True)

    async def on_stop(self):
        await asyncio.sleep(float(sys.argv[1]))
        print("stopped", flush=True)

worker.STOP_SECONDS = float(sys.argv[2])
worker.Worker(Part(), shared=[], fatal=sys.exit, redirect_stdouts=False).execute_from_commandline()
"""


def stopped(seconds, limit):
    """Output and duration of the stop of a part that takes so long for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(seconds), str(limit)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err, time.monotonic() - started


def test_a_part_that_stops_in_time_is_waited_for():
    _, out, err, _ = stopped(0.1, limit=15)
    assert "stopped" in out
    assert "ending at once" not in err


def test_a_part_that_hangs_does_not_hold_the_end_up_beyond_the_limit():
    code, out, err, seconds = stopped(25, limit=1)
    assert code == 0
    assert "stopped" not in out
    assert "still stopping" in err
    assert seconds < 20

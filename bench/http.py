"""RED over HTTP with storage and Kafka on this machine, beside twice what it measures on one core."""

import asyncio
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

from bench.load import known_key
from bench.pictures import SIZES, photo
from bench.runs import told
from bench.senders import Senders, senders
from bench.system import System, red_alone, spent
from red_common import c_library
from red_service.decoding import image
from red_service.redness import kernel

SECONDS = 10
WARM_IMAGES = 4000  # Kafka's JVM compiles while it serves these
TOGETHER = {"0.3 MP": 4, "2 MP": 3, "12 MP": 3}  # as many as RED takes with hardly a refusal
ROUNDS = 3
FILES = 100


def main() -> None:
    c_library.build(kernel.SOURCE)
    with red_alone(RED_RATE="0") as system:
        asyncio.run(_throughput(system))


async def _throughput(system: System) -> None:
    key = await known_key(system, "http")
    small = photo(*SIZES["0.3 MP"])
    async with senders(system.red, key) as sending:
        await _posted(sending, small, 8, images_wanted=WARM_IMAGES)
        for name, size in SIZES.items():
            content = photo(*size)
            rates, limits, ratios = [], [], []
            costs: dict[str, list[float]] = defaultdict(list)
            for _ in range(ROUNDS):
                limits.append(2 * await asyncio.to_thread(_measured_a_second, content))
                before = spent()
                done, seconds = await _posted(sending, content, TOGETHER[name])
                rates.append(done / seconds)
                ratios.append(rates[-1] / limits[-1])
                for part, used in spent().items():
                    costs[part].append(1000 * (used - before[part]) / done)
            print(
                f"{name} JPEG over HTTP: {statistics.median(rates):.0f} images/s;"
                f" twice one core that only measures: {statistics.median(limits):.0f}"
            )
            told("  RED with HTTP, storage, Kafka / twice one core", statistics.median(ratios), 0.8)
            shares = ", ".join(f"{part} {statistics.median(found):.2f}" for part, found in costs.items())
            alone = 2000 / statistics.median(limits)  # ms; a limit is of two cores
            print(f"  ms of processor time an image: {shares}; one that is only measured {alone:.2f}")
            print(f"  {_written(system.folder, content):.2f} of it to write those bytes into a new file")


def _measured_a_second(content: bytes) -> float:
    before, done = os.sched_getaffinity(0), 0
    os.sched_setaffinity(0, {0})
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < 1.5:
        image.measure(content)
        done += 1
    os.sched_setaffinity(0, before)
    return done / spent


def _written(folder: Path, content: bytes) -> float:
    """Milliseconds of processor time to write a new file; many, if its memory is new to a virtual machine."""
    before = time.process_time()
    for number in range(FILES):
        (folder / f"written-{len(content)}-{number}").write_bytes(content)
    return 1000 * (time.process_time() - before) / FILES


async def _posted(
    sending: Senders, content: bytes, together: int, *, images_wanted: int | None = None
) -> tuple[int, float]:
    """Images that were answered 200, and in how many seconds."""
    done, start = 0, time.perf_counter()

    def running() -> bool:
        return time.perf_counter() - start < SECONDS if images_wanted is None else done < images_wanted

    async def sender(number: int) -> None:
        nonlocal done
        count = 0
        while running():
            count += 1
            reply = await sending.post(content, b"%d %d %f" % (number, count, start))
            done += reply.status == 200

    await asyncio.gather(*(sender(number) for number in range(together)))
    return done, time.perf_counter() - start

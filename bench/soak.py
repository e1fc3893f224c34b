"""An hour under steady load: memory, file descriptors and lag of every process must stay flat.

`python -m bench.soak [--minutes 60] [--rate 50]` prints third and last quarter and draws
`docs/images/soak.svg`; exit code 1 when something grew by more than a twentieth from one to the other:
in the first half hour Kafka's heap fills up to its limit.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil

from bench.load import an_image
from bench.plots import Panel, drawn
from bench.runs import ROOT
from bench.senders import Senders
from bench.system import System, a_system, bearer, memory, until_known
from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.consumer_lag import lag_of
from tests.receiver import Receiver

CLIENTS = 4
SAMPLE_SECONDS = 15.0
GROWTH = 1.05
SLACK = {"memory": 8.0, "files": 8.0, "lag": 200.0}  # MiB, descriptors, records that are no growth
Series = dict[str, list[tuple[float, float]]]  # name -> (minute, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=50, help="images a second")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "images" / "soak.svg")
    given = parser.parse_args()
    title = f"{given.minutes:g} minutes at {given.rate:g} images a second, 5 % of them alert"
    given.plot.parent.mkdir(parents=True, exist_ok=True)

    def draw(found: dict[str, Series]) -> None:
        panels = [
            Panel("memory, MiB (shared pages once)", found["memory"]),
            Panel("file descriptors", found["files"]),
            Panel("records behind", found["lag"]),
        ]
        given.plot.write_text(drawn(title, panels))

    with a_system() as system:
        found = asyncio.run(_soaked(system, given.minutes, given.rate, draw))
    grown = [line for kind, series in found.items() for line in _compared(kind, series)]
    print(f"drawn: {given.plot}")
    sys.exit(any(grown))


async def _soaked(
    system: System, minutes: float, rate: float, draw: Callable[[dict[str, Series]], None]
) -> dict[str, Series]:
    """Load, a receiver, and a sample every 15 s; all that was sent must have been counted and delivered."""
    red, grey = an_image(0.5, 1), an_image(0.0, 2)
    keys = [await asyncio.to_thread(system.key, f"soak-{number}") for number in range(CLIENTS)]
    found: dict[str, Series] = {kind: defaultdict(list) for kind in SLACK}
    async with Receiver() as receiver, aiohttp.ClientSession() as session:
        for key in keys:
            await until_known(session, f"{system.red}/red/images/x", key)
            await until_known(session, f"{system.stats}/v1/subscriptions", key)
            body = {"webhook_url": receiver.url, "threshold": 0.25}
            url = f"{system.stats}/v1/subscriptions"
            async with session.post(url, json=body, headers=bearer(key)) as made:
                assert made.status == 201, await made.text()
        senders = [Senders(system.red, key) for key in keys]
        started, sent, alerts = time.monotonic(), 0, 0
        sampling = asyncio.create_task(_sampled(system, started, found, draw))
        newest = ["0:-1"] * CLIENTS  # position of each client's last image

        async def post(number: int, content: bytes) -> None:
            sender, tail = senders[number % CLIENTS], b"%d" % number
            # as a client should: the same key until there is an answer, whatever became of the last try
            while (reply := await sender.post(content, tail, f"soak-{number}")).status in (0, 409, 503):  # noqa: ASYNC110
                await asyncio.sleep(reply.retry_after or 1)
            assert reply.status == 200, reply
            where = json.loads(reply.body)["position"]
            newest[number % CLIENTS] = max(newest[number % CLIENTS], where, key=_offset)

        async with asyncio.TaskGroup() as posts:  # the first that fails ends the run
            while time.monotonic() - started < 60 * minutes:
                is_red = sent % 20 == 0
                posts.create_task(post(sent, red if is_red else grey))
                sent, alerts = sent + 1, alerts + is_red
                await asyncio.sleep(max(0.0, started + sent / rate - time.monotonic()))
        print(f"{sent:,} images sent, {alerts:,} of them over", flush=True)
        await receiver.until(alerts, seconds=60)
        sampling.cancel()
        assert len({got.id for got in receiver.got}) == alerts
        images = 0
        for key, position in zip(keys, newest, strict=True):  # read behind the last one posted
            url = f"{system.stats}/v1/live?at_least={position}"
            async with session.get(url, headers=bearer(key)) as answer:
                images += (await answer.json())["totals"]["24h"]["images"]
    print(f"{images:,} counted, {alerts:,} alerts delivered, each once")
    assert images == sent
    return found


def _offset(position: str) -> int:
    return int(position.partition(":")[2])


async def _sampled(
    system: System, started: float, found: dict[str, Series], draw: Callable[[dict[str, Series]], None]
) -> None:
    while True:
        minute = (time.monotonic() - started) / 60
        for name, (mib, files) in (await asyncio.to_thread(_processes, system)).items():
            found["memory"][name].append((minute, mib))
            found["files"][name].append((minute, files))
        behind: dict[str, float] = defaultdict(float)
        for one in await lag_of(KafkaConnection(system.kafka), 4):
            behind[one.role] += one.records
        for role, records in behind.items():
            found["lag"][role].append((minute, records))
        await asyncio.to_thread(draw, found)  # an interrupted soak keeps its picture
        mib, files, behind_now = (sum(line[-1][1] for line in found[kind].values()) for kind in SLACK)
        told = f"{minute:5.1f} min: {mib:,.0f} MiB, {files:,.0f} descriptors, {behind_now:,.0f} behind"
        print(told, file=sys.stderr, flush=True)
        await asyncio.sleep(SAMPLE_SECONDS)


def _processes(system: System) -> dict[str, tuple[float, float]]:
    """Memory (MiB) and descriptors by part."""
    return {
        name: (sum(map(memory, processes)), sum(map(_descriptors, processes)))
        for name, processes in system.parts().items()
    }


def _descriptors(process: psutil.Process) -> int:
    try:
        return int(process.num_fds())
    except psutil.Error:
        return 0  # a decoder that was just replaced


def _compared(kind: str, series: Series) -> list[str]:
    """Third and last quarter of each; the first half warms up. Returns what grew."""
    grown = []
    for name, points in series.items():
        values = [value for _, value in points]
        quarter = max(1, len(values) // 4)
        early = statistics.median(values[-2 * quarter : -quarter] or values)
        late = statistics.median(values[-quarter:])
        flat = late <= early * GROWTH + SLACK[kind]
        grown += [] if flat else [f"{kind} of {name}"]
        print(f"{kind:<7} {name:<11} {early:8.1f} -> {late:8.1f}   {'flat' if flat else 'GROWS'}")
    return grown


if __name__ == "__main__":
    main()

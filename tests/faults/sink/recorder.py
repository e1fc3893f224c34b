"""The real Recorder and Sink over a real store, fed from a log of the tests instead of Kafka."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from red_common.kafka.connection import KafkaConnection
from red_stats.domain.recorded_tables import MEASUREMENTS
from red_stats.store import recorder
from red_stats.store.clickhouse import Store
from red_stats.store.sink import Sink
from tests.faults.sink.log import PARTITIONS, TOPIC

FATAL = 70
FETCHING = SimpleNamespace(pause=lambda tp: None, resume=lambda tp: None)


class FakeStates:
    """Holds one partition in generation 1; tells dead letters to nobody."""

    def __init__(self, partition):
        self.role = "record"
        self.held = {partition: SimpleNamespace(partition=partition, generation=1)}

    def fatal(self, why):
        """The process dies and its supervisor starts it again."""
        print('{"fatal": true}', flush=True)
        os._exit(FATAL)

    async def transact(self, partition, build):
        return True


def a_sink(store, pause=lambda seconds: None):
    return Sink(store, "measurements", MEASUREMENTS.empty, pause=pause)


class Player:
    """Takes a partition over and records its log."""

    def __init__(self, store: Store, log, *, pause=lambda seconds: None):
        recorder.read_range = log.read_range
        self.log = log
        self._states = FakeStates(log.partition)
        self.recorder = recorder.Recorder(
            TOPIC, MEASUREMENTS, a_sink(store, pause), states=self._states, partitions=PARTITIONS,
            connection=KafkaConnection(""), writer=ThreadPoolExecutor(1),
            interval=0,
        )  # fmt: skip

    async def take_over(self):
        """As after a rebalance; the offset to go on at."""
        await self.recorder.take_over(self._states.held[self.log.partition])
        return self.recorder.next[self.log.partition]

    async def record(self, first, end):
        """Returns when the batch of `[first, end)` is acknowledged; its last offset."""
        batch = self.log.batch(first, end)
        if batch is None:
            return None
        acknowledged = asyncio.Event()

        async def ack():
            acknowledged.set()

        self.recorder.put((TOPIC, self.log.partition), batch, ack, FETCHING)
        await acknowledged.wait()
        return batch.last_offset

    async def go_on(self, end, size):
        """From the mark to `end`, `size` offsets at a time."""
        first = await self.take_over()
        for start in range(first, end, size):
            await self.record(start, min(start + size, end))

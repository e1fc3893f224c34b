"""Writes `red.audit`: at once for a command, every 10 s for what a service has counted."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from red_common.audit import TOPIC, Act, AuditRecord, Tally
from red_common.kafka.connection import KafkaConnection, KafkaError
from red_common.kafka.shutdown import abandon, ended

log = logging.getLogger(__name__)

EVERY: Final = 10.0  # seconds between two writes of a service
SECONDS: Final = 10.0  # for one write
STOP_SECONDS: Final = 2.0  # for the last one


def new_id() -> str:
    """An id that no other record has."""
    return uuid.uuid4().hex


async def write(
    connection: KafkaConnection, records: Sequence[AuditRecord], seconds: float = SECONDS
) -> None:
    """Returns once every in-sync replica has the records; what is written twice has the same ids.

    Raises:
        KafkaError, OSError: Kafka did not acknowledge them all within `seconds`.
    """
    producer = connection.producer(enable_idempotence=True, acks="all", compression_type="gzip")
    try:
        async with asyncio.timeout(seconds):
            await producer.start()
            sent = [await producer.send(TOPIC, msgspec.json.encode(record)) for record in records]
            await asyncio.gather(*sent)
    except BaseException as error:
        await abandon(producer)
        if isinstance(error, TimeoutError):
            advice = "if there is no such topic, make it with `red-stats topics`"
            raise TimeoutError(f"no record came into {TOPIC} within {seconds:g} s; {advice}") from None
        raise
    await ended(producer.stop())


class AuditWriter:
    """Counts acts in memory and writes what was counted; while Kafka is away it goes on counting.

    `now` is the clock (Unix seconds). What Kafka has not taken at the end is in the log of the process.
    """

    def __init__(
        self, connection: KafkaConnection, *, now: Callable[[], float], every: float = EVERY
    ) -> None:
        self._connection, self._now, self._every = connection, now, every
        self._tally = Tally()
        self._unsent: list[AuditRecord] = []

    def count(self, act: Act) -> None:
        """Count one act; it is written within `every` seconds, or once Kafka is back."""
        self._tally.count(act, self._now())

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Writes meanwhile, and at the end; never raises an error of Kafka."""
        writing = asyncio.create_task(self._write_on(), name="write red.audit")
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._write_last()

    async def _write_on(self) -> None:
        is_away = False
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._write(SECONDS)
                is_away = False
            except (KafkaError, OSError) as error:
                if not is_away:
                    log.warning("records of %s wait for Kafka: %r", TOPIC, error)
                is_away = True

    async def _write_last(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while self._unsent or self._tally:
                    await self._write(STOP_SECONDS)
        except (KafkaError, OSError):
            for record in [*self._unsent, *self._tally.take(new_id)]:
                log.error(
                    "Kafka did not take a record of %s: %s", TOPIC, msgspec.json.encode(record).decode()
                )

    async def _write(self, seconds: float) -> None:
        self._unsent = self._unsent or self._tally.take(new_id)
        if self._unsent:
            await write(self._connection, self._unsent, seconds)
            self._unsent = []

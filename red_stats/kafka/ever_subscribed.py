"""The ids of all subscriptions that clients ever had: `red.command-results` keeps every result."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping

from red_common.events import InvalidEvent
from red_common.kafka.connection import KafkaConnection, KafkaError, TopicPartition
from red_stats import topics
from red_stats.domain import command_results
from red_stats.domain.subscriptions import PublicSubscription
from red_stats.kafka.range_reader import read_in_steps

log = logging.getLogger(__name__)

AT_ONCE = 2000  # records between two turns of the loop
PAUSE = 0.5  # seconds, while Kafka is away


async def ever_subscribed(
    connection: KafkaConnection, partition: int, client_ids: frozenset[str]
) -> Mapping[str, set[str]]:
    """By client_id; live keeps a row of each for ever. While Kafka is away it waits."""
    while True:
        try:
            return await _read(connection, partition, client_ids)
        except (KafkaError, OSError) as error:
            log.warning("%s/%d cannot be read, trying again: %r", topics.COMMAND_RESULTS, partition, error)
            await asyncio.sleep(PAUSE)


async def _read(
    connection: KafkaConnection, partition: int, client_ids: frozenset[str]
) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    keys = {client_id.encode() for client_id in client_ids}
    tp = TopicPartition(topics.COMMAND_RESULTS, partition)
    async for records in read_in_steps(connection, tp, 0, None, AT_ONCE):
        for record in records:
            if record.key not in keys:
                continue
            try:
                result = command_results.decode(record.value)
            except InvalidEvent:  # somebody else's
                continue
            if isinstance(result.subscription, PublicSubscription):
                found[result.client_id].add(result.subscription.id)
    return found

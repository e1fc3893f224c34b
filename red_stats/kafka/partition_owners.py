"""Which worker holds each partition of role live: each announces on a small topic what it is assigned."""

import logging
from typing import Any

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from red_stats import topics
from red_stats.kafka.record_sender import NotSent, RecordSender

log = logging.getLogger(__name__)


class PartitionOwners:
    """`own` is this worker's address for the others."""

    def __init__(self, connection: KafkaConnection, sender: RecordSender, own: str) -> None:
        self.own = own
        self.urls: dict[int, str] = {}
        self.follower = Follower(connection, topics.LIVE_OWNERS, self._apply)
        self._sender = sender

    async def announce(self, number: int) -> None:
        """Say that a partition is held here; said again after every rebalance."""
        try:
            await self._sender.send(topics.LIVE_OWNERS, str(number), self.own.encode())
        except NotSent as error:
            log.warning("the other workers cannot be told who holds live/%d: %s", number, error)

    def _apply(self, record: Any) -> None:
        if record.key and record.key.isdigit():
            self.urls[int(record.key)] = (record.value or b"").decode(errors="replace")

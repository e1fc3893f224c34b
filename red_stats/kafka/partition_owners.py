"""Which worker holds each partition of role live: each tells it on a small topic as it takes them."""

import logging
from typing import Any

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from red_stats import topics
from red_stats.kafka.record_sender import NotSent, Sender

log = logging.getLogger(__name__)


class Whereabouts:
    """`own` is this worker's address for the others."""

    def __init__(self, connection: KafkaConnection, sender: Sender, own: str) -> None:
        self.own = own
        self.urls: dict[int, str] = {}
        self.follower = Follower(connection, topics.LIVE_OWNERS, self._apply)
        self._sender = sender

    async def tell(self, number: int) -> None:
        """Say that a partition is held here; told again after every rebalance."""
        try:
            await self._sender.send(topics.LIVE_OWNERS, str(number), self.own.encode())
        except NotSent as error:
            log.warning("the others cannot be told who holds live/%d: %s", number, error)

    def _apply(self, record: Any) -> None:
        if record.key and record.key.isdigit():
            self.urls[int(record.key)] = (record.value or b"").decode(errors="replace")

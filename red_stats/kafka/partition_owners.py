"""Which worker holds each partition of role live: workers announce on a topic what they are assigned."""

import logging
from typing import Any

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from red_stats import topics
from red_stats.kafka.record_sender import NotSent, RecordSender

log = logging.getLogger(__name__)


class PartitionOwners:
    """The addresses in `urls`, by partition; `own` is the URL at which the others reach this worker."""

    def __init__(self, connection: KafkaConnection, sender: RecordSender, own: str) -> None:
        self.own = own
        self.urls: dict[int, str] = {}
        self.follower = Follower(connection, topics.LIVE_OWNERS, self._apply)
        self._sender = sender

    async def announce(self, number: int) -> None:
        """Announce that this worker holds a partition; done after every rebalance."""
        try:
            await self._sender.send(topics.LIVE_OWNERS, str(number), self.own.encode())
        except NotSent as error:
            log.warning("live/%d could not be announced to the other workers: %s", number, error)

    def _apply(self, record: Any) -> None:
        if record.key and record.key.isdigit() and len(record.key) < 6:
            self.urls[int(record.key)] = (record.value or b"").decode(errors="replace")

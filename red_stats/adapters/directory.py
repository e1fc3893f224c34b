"""The subscriptions of all clients as `red.subscriptions` tells them, for whoever is not live."""

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from red_service.clients import Follower
from red_stats import topics
from red_stats.domain import subscriptions
from red_stats.domain.subscriptions import Client, Subscription

log = logging.getLogger(__name__)


class Directory:
    """Follows the compacted topic; `on_change(client_id)` is told after each change."""

    def __init__(self, bootstrap: str, topic: str = topics.SUBSCRIPTIONS) -> None:
        self.clients: dict[str, Client] = {}
        self.follower = Follower(bootstrap, topic, self.apply)
        self.on_change: Callable[[str], None] = lambda client_id: None

    def apply(self, record: Any) -> None:
        """Fold one record in. Marks of live share the topic's keys with a `!`; they are skipped."""
        key = (record.key or b"").decode(errors="replace")
        if key.startswith("!"):
            return
        if record.value is None:
            self.clients.pop(key, None)
        else:
            try:
                self.clients[key] = subscriptions.decode(record.value)
            except msgspec.MsgspecError as error:
                log.error("%s offset %d is no list of subscriptions: %s", record.topic, record.offset, error)
                return
        self.on_change(key)

    def sealed_otherwise(self, key_id: str) -> str | None:
        """The id of another key that a secret was sealed with, or None when all are ours."""
        sealed = (
            secret.encrypted.partition(".")[0]
            for client in self.clients.values()
            for subscription in client.subscriptions
            for secret in subscription.secrets
        )
        return next((other for other in sealed if other != key_id), None)

    def find(self, client_id: str, subscription_id: str) -> Subscription | None:
        """A subscription of that client, or None."""
        client = self.clients.get(client_id)
        return client.find(subscription_id) if client else None

"""Deliver's table of endpoints that have proven their consent, of one partition (RED_WEBHOOK_VERIFY)."""

import msgspec

from red_stats.domain.deliveries import url_mark
from red_stats.tables.endpoint_rows import EndpointRows


class ProvenEndpoint(msgspec.Struct, frozen=True):
    """A subscription whose endpoint echoed the challenge; `url` is the mark of the URL it had then."""

    client_id: str
    url: str


class ProvenEndpoints(EndpointRows[ProvenEndpoint]):
    """By subscription id, and with it by client."""

    def __init__(self) -> None:
        super().__init__(ProvenEndpoint)

    def has(self, subscription_id: str, url: str) -> bool:
        """Whether the subscription's endpoint has proven its consent at this URL."""
        found = self.get(subscription_id)
        return found is not None and found.url == url_mark(url)

"""Deliver's table of endpoints that have proven their consent, of one partition (RED_WEBHOOK_VERIFY)."""

import msgspec

from red_stats.domain.deliveries import url_mark


class ProvenEndpoint(msgspec.Struct, frozen=True):
    """A subscription whose endpoint echoed the challenge; `url` is the mark of the URL it had then."""

    client_id: str
    url: str


_decoder = msgspec.json.Decoder(ProvenEndpoint)
encode = msgspec.json.Encoder().encode


class ProvenEndpoints(dict[str, ProvenEndpoint]):
    """By subscription id; in `of` the subscription ids of each client."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, set[str]] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes.

        Raises:
            MsgspecError, ValueError: it is no row of ours; nothing has changed.
        """
        subscription_id = key.decode()
        endpoint = None if value is None else _decoder.decode(value)
        old = self.pop(subscription_id, None)
        if old is not None:
            self.of[old.client_id].discard(subscription_id)
            if not self.of[old.client_id]:
                del self.of[old.client_id]
        if endpoint is not None:
            self[subscription_id] = endpoint
            self.of.setdefault(endpoint.client_id, set()).add(subscription_id)

    def has(self, subscription_id: str, url: str) -> bool:
        """Whether the subscription's endpoint has proven its consent at this URL."""
        found = self.get(subscription_id)
        return found is not None and found.url == url_mark(url)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        return {name.encode(): encode(endpoint) for name, endpoint in self.items()}

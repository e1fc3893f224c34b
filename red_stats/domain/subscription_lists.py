"""Every client's list of subscriptions by name, kept as its bytes and decoded when it is asked for.

A million of them must fit into memory and be read within seconds; few are asked for at a time.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from red_stats.domain import subscriptions
from red_stats.domain.subscriptions import Client, ThresholdVersion

log = logging.getLogger(__name__)

MAX_KNOWN = 20_000  # decoded at a time


class Lists:
    """The newest list of each client, as `red.subscriptions` has them."""

    def __init__(self, values: Mapping[str, bytes] | None = None) -> None:
        self._values = dict(values or {})
        self._known: dict[str, Client | None] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one record over; None deletes."""
        name = key.decode(errors="replace")
        self._known.pop(name, None)
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value

    def with_versions(self) -> "VersionLists":
        """A copy that shares their bytes, for who judges by them."""
        return VersionLists(self._values)

    def put(self, client: Client) -> None:
        """A client's new list replaces the old one."""
        self.load(client.client_id.encode(), subscriptions.encode(client))

    def get(self, client_id: str) -> Client | None:
        """A client's list, or None; what is no list is logged, and none."""
        if client_id in self._known:
            return self._known[client_id]
        value = self._values.get(client_id)
        if value is None:
            return None
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        client = self._known[client_id] = _decoded(client_id, value)
        return client

    def values_of(self) -> Iterable[bytes]:
        """All of them as they stand on the topic."""
        return self._values.values()

    def encoded(self) -> dict[bytes, bytes]:
        """All of them as they stand on the topic, by key."""
        return {name.encode(): value for name, value in self._values.items()}

    def items(self) -> Iterator[tuple[str, Client]]:
        """All of them."""
        for name in list(self._values):
            client = self.get(name)
            if client is not None:
                yield name, client

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._values

    def __getitem__(self, client_id: str) -> Client:
        client = self.get(client_id)
        if client is None:
            raise KeyError(client_id)
        return client

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class VersionLists(Lists):
    """With what each client's versions judge by."""

    def __init__(self, values: Mapping[str, bytes] | None = None) -> None:
        super().__init__(values)
        self._judges: dict[str, tuple[ThresholdVersion, ...]] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one record over; None deletes."""
        super().load(key, value)
        self._judges.pop(key.decode(errors="replace"), None)

    def judges(self, client_id: str) -> tuple[ThresholdVersion, ...]:
        """Every version of the client that may judge a measurement."""
        judges = self._judges.get(client_id)
        if judges is not None:
            return judges
        client = self.get(client_id)
        if client is None:
            return ()
        if len(self._judges) >= MAX_KNOWN:
            self._judges.clear()
        judges = self._judges[client_id] = subscriptions.active_versions(client)
        return judges


def _decoded(client_id: str, value: bytes) -> Client | None:
    try:
        return subscriptions.decode(value)
    except msgspec.MsgspecError as error:
        log.error("the list of %s cannot be read: %s", client_id, error)
        return None

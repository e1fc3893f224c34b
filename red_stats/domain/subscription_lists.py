"""Every client's list of subscriptions, kept as bytes and decoded when it is needed.

A million of them must fit into memory and load within seconds; few are needed at a time.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from red_common.events import InvalidEvent
from red_stats.domain import subscriptions
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.subscriptions import Client, ThresholdVersion

log = logging.getLogger(__name__)

MAX_DECODED = 20_000  # lists kept decoded
_ERASED = b'"erased":'  # in few lists; only those are decoded to be told apart


class SubscriptionLists:
    """The newest list of each client by client_id, as on `red.subscriptions`.

    `erased` are the clients that have been erased, below offsets that are all lower than `erased_below`;
    `erasures` counts what was read about them.
    """

    def __init__(
        self, values: Mapping[str, bytes] | None = None, erased: Mapping[str, Erased] | None = None
    ) -> None:
        self._values = dict(values or {})
        self._decoded: dict[str, Client | None] = {}
        self.erased = dict(erased or {})
        self.erased_below = self.erasures = 0

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one record; a value of None deletes."""
        name = key.decode(errors="replace")
        self._decoded.pop(name, None)
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value
        self._note_erased(name, value)

    def erased_of(self, client_id: str) -> Erased:
        """What of a client has been erased."""
        return self.erased.get(client_id, NEVER)

    def with_versions(self) -> "VersionLists":
        """A copy that also has the versions of each client; it shares the bytes."""
        return VersionLists(self._values, self.erased)

    def put(self, client: Client) -> None:
        """A client's new list replaces the old one."""
        self.load(client.client_id.encode(), subscriptions.encode(client))

    def get(self, client_id: str) -> Client | None:
        """A client's list, or None; a list that cannot be read is logged and treated as none."""
        if client_id in self._decoded:
            return self._decoded[client_id]
        value = self._values.get(client_id)
        if value is None:
            return None
        if len(self._decoded) >= MAX_DECODED:
            self._decoded.clear()
        client = self._decoded[client_id] = _decode(client_id, value)
        return client

    def size(self, client_id: str) -> int:
        """How many bytes a client's list has."""
        return len(self._values.get(client_id, b""))

    def values(self) -> Iterable[bytes]:
        """Every list as it is on the topic."""
        return self._values.values()

    def encoded(self) -> dict[bytes, bytes]:
        """Every list as it is on the topic, by key."""
        return {name.encode(): value for name, value in self._values.items()}

    def items(self) -> Iterator[tuple[str, Client]]:
        """Every list that can be read, by client_id."""
        for name in list(self._values):
            client = self.get(name)
            if client is not None:
                yield name, client

    def _note_erased(self, name: str, value: bytes | None) -> None:
        client = self.get(name) if value is not None and _ERASED in value else None
        if client is not None and isinstance(client.erased, Erased):
            self.erased[name] = client.erased
            self.erased_below = max(self.erased_below, client.erased.before)
            self.erasures += 1
        else:
            self.erased.pop(name, None)

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


class VersionLists(SubscriptionLists):
    """The lists with the versions that the counting fold judges by."""

    def __init__(
        self, values: Mapping[str, bytes] | None = None, erased: Mapping[str, Erased] | None = None
    ) -> None:
        super().__init__(values, erased)
        self._active: dict[str, tuple[ThresholdVersion, ...]] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one record; a value of None deletes."""
        super().load(key, value)
        self._active.pop(key.decode(errors="replace"), None)

    def active_versions(self, client_id: str) -> tuple[ThresholdVersion, ...]:
        """Every version of the client that may be in force for a measurement, oldest range first."""
        active = self._active.get(client_id)
        if active is not None:
            return active
        client = self.get(client_id)
        if client is None:
            return ()
        if len(self._active) >= MAX_DECODED:
            self._active.clear()
        active = self._active[client_id] = subscriptions.active_versions(client)
        return active


def _decode(client_id: str, value: bytes) -> Client | None:
    try:
        client = subscriptions.decode(value)
        subscriptions.active_versions(client)  # its thresholds can be used
        return client
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidEvent) as error:
        log.error("the subscriptions of client %s cannot be read: %s", client_id, error)
        return None

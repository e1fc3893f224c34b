"""Tables of role deliver with a row for some of the endpoints of clients."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from red_stats.domain.record_batches import Out

encode = msgspec.json.Encoder().encode


class OfClient(Protocol):
    """A row that says whose it is."""

    @property
    def client_id(self) -> str:
        """The client of the subscription."""


AnyRow = TypeVar("AnyRow", bound=OfClient)


class EndpointRows(dict[str, AnyRow]):
    """By subscription id; in `of` the subscription ids of each client."""

    def __init__(self, row: type[AnyRow]) -> None:
        super().__init__()
        self.of: dict[str, set[str]] = {}
        self._decoder = msgspec.json.Decoder(row)

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes.

        Raises:
            MsgspecError, ValueError: it is no row of ours; nothing has changed.
        """
        subscription_id = key.decode()
        row = None if value is None else self._decoder.decode(value)
        old = self.pop(subscription_id, None)
        if old is not None:
            self.of[old.client_id].discard(subscription_id)
            if not self.of[old.client_id]:
                del self.of[old.client_id]
        if row is not None:
            self[subscription_id] = row
            self.of.setdefault(row.client_id, set()).add(subscription_id)

    def apply(self, records: Iterable[Out]) -> None:
        """Apply committed changelog records of ours."""
        for _, key, value in records:
            self.load(key or b"", value)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        return {name.encode(): encode(row) for name, row in self.items()}

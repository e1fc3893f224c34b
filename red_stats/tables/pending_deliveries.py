"""Deliver's table of pending deliveries of one partition."""

from red_stats.domain import deliveries
from red_stats.domain.deliveries import Row
from red_stats.domain.delivery_kinds import is_known


class PendingRows(dict[str, Row]):
    """Deliveries that have not ended, by id.

    In `of` also by subscription id, then id; `clients` has how many each client has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, dict[str, Row]] = {}
        self.clients: dict[str, int] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes.

        Raises:
            MsgspecError, ValueError: it is no delivery of ours.
        """
        row = None if value is None else deliveries.decode(value)
        if row is not None and not is_known(row):
            raise ValueError(f"there is no kind of delivery {row.type[:100]!r}")
        self.put(key.decode(), row)

    def put(self, delivery_id: str, row: Row | None) -> None:
        """Set the new row of a delivery; None removes it, since it has ended."""
        old = self.pop(delivery_id, None)  # it may be of another endpoint, where somebody else has written
        if old is not None:
            siblings = self.of[old.subscription_id]
            del siblings[delivery_id]
            if not siblings:
                del self.of[old.subscription_id]
            self.clients[old.client_id] -= 1
            if not self.clients[old.client_id]:
                del self.clients[old.client_id]
        if row is not None:
            self[delivery_id] = row
            self.of.setdefault(row.subscription_id, {})[delivery_id] = row
            self.clients[row.client_id] = self.clients.get(row.client_id, 0) + 1

    def counts(self, client_id: str, subscription_id: str) -> tuple[int, int]:
        """How many rows an endpoint and its client have."""
        return len(self.of.get(subscription_id, ())), self.clients.get(client_id, 0)

    def encoded(self) -> dict[bytes, bytes]:
        """Every row as its changelog has it, by key."""
        return {name.encode(): deliveries.encode(row) for name, row in self.items()}

"""The deliveries whose POST is under way or whose outcome is not committed yet."""

from collections.abc import Iterable, Set


class InFlight:
    """At most `limit` ids, each with how far (ms) the wall clock was ahead of the queues' at the start."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ahead: dict[str, int] = {}

    def __contains__(self, delivery_id: object) -> bool:
        return delivery_id in self._ahead

    @property
    def is_full(self) -> bool:
        """Whether no more POSTs may begin."""
        return len(self._ahead) >= self._limit

    def begin(self, delivery_id: str, ahead: int) -> None:
        """Note that the POST of a delivery begins."""
        self._ahead[delivery_id] = ahead

    def end(self, delivery_ids: Iterable[str]) -> dict[str, int]:
        """Remove deliveries; returns how far the wall clock was ahead for each that was in flight."""
        return {name: self._ahead.pop(name) for name in delivery_ids if name in self._ahead}

    def without(self, delivery_ids: Set[str]) -> Set[str]:
        """The ids in flight other than these."""
        return self._ahead.keys() - delivery_ids

"""Deliveries whose POST is under way, or whose outcome is not committed yet."""

from collections.abc import Iterable, Set


class InFlight:
    """At most `limit`, each with how far (ms) the wall clock was ahead of the queues' when it began."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ahead: dict[str, int] = {}

    def __contains__(self, delivery_id: object) -> bool:
        return delivery_id in self._ahead

    @property
    def is_full(self) -> bool:
        """Whether nothing more may begin."""
        return len(self._ahead) >= self._limit

    def begin(self, delivery_id: str, ahead: int) -> None:
        """A POST begins."""
        self._ahead[delivery_id] = ahead

    def end(self, delivery_ids: Iterable[str]) -> dict[str, int]:
        """These have ended; how far ahead the wall clock was at the beginning of each that was under way."""
        return {name: self._ahead.pop(name) for name in delivery_ids if name in self._ahead}

    def without(self, delivery_ids: Set[str]) -> Set[str]:
        """The others."""
        return self._ahead.keys() - delivery_ids

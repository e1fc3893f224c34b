"""Deliver's table of endpoints that fail, of one partition."""

from red_stats.domain.failing_endpoints import Endpoint
from red_stats.tables.endpoint_rows import EndpointRows


class FailingEndpoints(EndpointRows[Endpoint]):
    """By subscription id, and those that are probed by when."""

    def __init__(self) -> None:
        super().__init__(Endpoint)
        self._due: dict[str, int] = {}  # of those that are probed
        self._first: int | None = None

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record, as of any endpoint."""
        super().load(key, value)
        name = key.decode()
        was_probed = self._due.pop(name, None) is not None
        if name in self and self[name].due:
            self._due[name] = self[name].due
        if was_probed or name in self._due:
            self._first = min(self._due.values(), default=None)

    def next_due(self) -> int | None:
        """When the first probe is due; None: none will be."""
        return self._first

    def due(self, at: int) -> list[str]:
        """The subscriptions whose endpoints are to be probed by `at`, in the order of their times."""
        return sorted((name for name, due in self._due.items() if due <= at), key=self._due.__getitem__)

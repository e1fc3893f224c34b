"""Room for POSTs in one place, and who waits for it, in turn by client. Pure."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)  # of a queue


class Room(Generic[Key]):
    """How much is taken, and who waits for more: the queues of each client, with their hosts.

    A client with many queues comes no more often than one with a single one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lines: dict[str, dict[Key, str]] = {}

    @property
    def is_full(self) -> bool:
        """Whether nothing more may begin here."""
        return self._taken >= self._limit

    @property
    def is_awaited(self) -> bool:
        """Whether a queue waits for room here."""
        return bool(self._lines)

    @property
    def is_idle(self) -> bool:
        """Whether it knows nothing: it can be forgotten."""
        return not self._taken and not self._lines

    def take(self, count: int) -> None:
        """Take room, or give it back: a negative count."""
        self._taken += count

    def wait(self, key: Key, client: str, host: str) -> None:
        """Have a queue wait behind the others of its client; a new client is the last one."""
        self._lines.setdefault(client, {})[key] = host

    def first(self) -> tuple[Key, str, str]:
        """Whose turn it is: the queue, its client, its host."""
        client, line = next(iter(self._lines.items()))
        key, host = next(iter(line.items()))
        return key, client, host

    def remove(self, key: Key, client: str) -> None:
        """Have a queue wait no longer; its client keeps its turn."""
        del self._lines[client][key]
        if not self._lines[client]:
            del self._lines[client]

    def pass_turn(self, client: str) -> None:
        """Note that a client has had its turn."""
        if client in self._lines:
            self._lines[client] = self._lines.pop(client)

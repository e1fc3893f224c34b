"""The rows of each table in one partition, as dicts that the folds read and transactions change."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from red_stats.domain import deliveries, subscriptions, windows
from red_stats.domain.deliveries import Row
from red_stats.domain.subscriptions import Client, Judge
from red_stats.domain.windows import Window

REMEMBERED_ANSWERS = 100


class WindowRows:
    """Windows by client and minute, and which clients have one in each minute, for expiry."""

    def __init__(self) -> None:
        self.by_client: dict[str, dict[int, Window]] = {}
        self._clients_in: dict[int, set[str]] = defaultdict(set)

    @staticmethod
    def key(client_id: str, minute: int) -> bytes:
        """The changelog key of a window."""
        return f"{client_id}|{minute}".encode()

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes."""
        client_id, _, minute = key.decode().partition("|")
        if value is None:
            self.drop([(client_id, int(minute))])
        else:
            self.put({(client_id, int(minute)): windows.decode(value)})

    def get(self, client_id: str, minute: int) -> Window | None:
        """The window, or None when nothing was counted in it."""
        return self.by_client.get(client_id, {}).get(minute)

    def put(self, changed: Mapping[tuple[str, int], Window]) -> None:
        """Whole new windows replace the old ones."""
        for (client_id, minute), window in changed.items():
            self.by_client.setdefault(client_id, {})[minute] = window
            self._clients_in[minute].add(client_id)

    def drop(self, keys: Iterable[tuple[str, int]]) -> None:
        """Expired windows leave memory; a client without any leaves it too."""
        for client_id, minute in keys:
            held = self.by_client.get(client_id)
            if held is not None:
                held.pop(minute, None)
                if not held:
                    del self.by_client[client_id]
            clients = self._clients_in.get(minute)
            if clients is not None:
                clients.discard(client_id)
                if not clients:
                    del self._clients_in[minute]

    def expired(self, horizon: int, retention_ms: int) -> list[tuple[str, int]]:
        """Every window that the newest Kafka time (ms) has left behind the retention."""
        minutes = [m for m in self._clients_in if windows.is_expired(m, horizon, retention_ms)]
        return [(client_id, minute) for minute in minutes for client_id in self._clients_in[minute]]

    def __contains__(self, key: bytes) -> bool:
        client_id, _, minute = key.decode().partition("|")
        return self.get(client_id, int(minute)) is not None

    def __getitem__(self, key: bytes) -> Window:
        client_id, _, minute = key.decode().partition("|")
        return self.by_client[client_id][int(minute)]

    def __iter__(self) -> Iterator[bytes]:
        for client_id, held in self.by_client.items():
            for minute in held:
                yield self.key(client_id, minute)

    def __len__(self) -> int:
        return sum(map(len, self.by_client.values()))


class SequenceRows(dict[str, int]):
    """The last `seq` of every subscription, for ever."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes."""
        if value is None:
            self.pop(key.decode(), None)
        else:
            self[key.decode()] = int(value)


class ThresholdRows(dict[str, Client]):
    """Each client's whole list; the changelog of this table IS red.subscriptions."""

    def __init__(self) -> None:
        super().__init__()
        self._judges: dict[str, tuple[Judge, ...]] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes."""
        if value is None:
            self.pop(key.decode(), None)
            self._judges.pop(key.decode(), None)
        else:
            self.put(subscriptions.decode(value))

    def put(self, client: Client) -> None:
        """A client's new list replaces the old one."""
        self[client.client_id] = client
        self._judges[client.client_id] = subscriptions.judges_of(client)

    def judges(self, client_id: str) -> tuple[Judge, ...]:
        """Every version of the client that may judge a measurement."""
        return self._judges.get(client_id, ())


class AnswerRows(dict[str, "OrderedDict[str, bytes]"]):
    """The answers to the last 100 commands of every client, so that a repeated one gets its own again."""

    @staticmethod
    def key(client_id: str, command_id: str) -> bytes:
        """The changelog key of an answer."""
        return f"{client_id}|{command_id}".encode()

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes. Oldest first, as the log is."""
        client_id, _, command_id = key.decode().partition("|")
        held = self.setdefault(client_id, OrderedDict())
        held.pop(command_id, None)
        if value is not None:
            held[command_id] = value
        elif not held:
            del self[client_id]

    def answer(self, client_id: str, command_id: str) -> bytes | None:
        """The first answer to that command, or None."""
        held = self.get(client_id)
        return None if held is None else held.get(command_id)


class NoRows(dict[bytes, bytes]):
    """A table of marks only."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Marks are taken by the ownership; nothing else is written here."""


class PendingRows(dict[str, Row]):
    """Deliveries that have not ended, also by subscription."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, dict[str, Row]] = {}

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record over; None deletes."""
        self.put(key.decode(), None if value is None else deliveries.decode(value))

    def put(self, delivery_id: str, row: Row | None) -> None:
        """A delivery's new row; None when it has ended."""
        if row is not None:
            self[delivery_id] = row
            self.of.setdefault(row.subscription_id, {})[delivery_id] = row
            return
        old = self.pop(delivery_id, None)
        if old is not None:
            siblings = self.of[old.subscription_id]
            del siblings[delivery_id]
            if not siblings:
                del self.of[old.subscription_id]

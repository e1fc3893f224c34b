"""Live's table of windows of one partition."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from red_stats.domain import windows
from red_stats.domain.windows import Window

log = logging.getLogger(__name__)

MAX_HOT = 20_000  # windows kept decoded


class WindowRows:
    """Windows by changelog key, as the changelog has them: a million small ones must fit into memory.

    Those that changed recently are also kept decoded. Keys by minute are kept for expiry.
    """

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys_in: dict[int, list[bytes]] = defaultdict(list)  # may hold keys that are gone, or twice
        self._hot: dict[bytes, Window] = {}

    key = staticmethod(windows.key_of)

    @staticmethod
    def named(key: bytes) -> tuple[str, int]:
        """The client_id and minute of a changelog key."""
        client_id, _, minute = key.decode().rpartition("|")
        return client_id, int(minute)

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog record; a value of None deletes."""
        self._hot.pop(key, None)
        if value is None:
            self.drop([key])
        else:
            self._set(key, value)

    def window(self, key: bytes) -> Window:
        """The window of a key; an empty one if there is none."""
        return self._hot.get(key) or self._decoded(key) or windows.EMPTY

    def of(self, client_id: str, first: int, last: int) -> dict[int, Window]:
        """The windows of a client in minutes `first` to `last`, both included, by minute in order."""
        minutes = sorted(minute for minute in self._keys_in if first <= minute <= last)
        found = {minute: self._decoded(self.key(client_id, minute)) for minute in minutes}
        return {minute: window for minute, window in found.items() if window is not None}

    def images_of(self, client_id: str) -> dict[int, int]:
        """How many images each window of a client has, by minute; without reading the rest of it."""
        found = {minute: self._values.get(self.key(client_id, minute)) for minute in self._keys_in}
        return {minute: windows.images_in(value) for minute, value in found.items() if value is not None}

    def of_client(self, client_id: str, subscription_ids: Iterable[str]) -> list[bytes]:
        """The keys of every window of a client."""
        keys = [self.key(client_id, minute) for minute in self._keys_in]
        return [key for key in keys if key in self._values]

    def keep_decoded(self, changed: Mapping[bytes, Window]) -> None:
        """Keep windows that were just loaded decoded as well."""
        if len(self._hot) >= MAX_HOT:
            self._hot.clear()
        self._hot.update(changed)

    def drop(self, keys: Iterable[bytes]) -> None:
        """Remove windows from memory."""
        for key in keys:
            self._values.pop(key, None)
            self._hot.pop(key, None)

    def expired(self, horizon: int, retention_ms: int) -> list[bytes]:
        """The keys of every window that the newest Kafka time (ms) has left behind the retention."""
        found: dict[bytes, None] = {}
        for minute in [m for m in self._keys_in if windows.is_expired(m, horizon, retention_ms)]:
            keys = [key for key in self._keys_in[minute] if key in self._values]
            if keys:
                found.update(dict.fromkeys(keys))
            else:
                del self._keys_in[minute]
        return list(found)

    def encoded(self) -> dict[bytes, bytes]:
        """Every window as its changelog has it, by key."""
        return self._values

    def items(self) -> Iterator[tuple[tuple[str, int], Window]]:
        """Every window that can be read, by client_id and minute."""
        for key in self._values:
            window = self._decoded(key)
            if window is not None:
                yield self.named(key), window

    def _set(self, key: bytes, value: bytes) -> None:
        if key not in self._values:
            self._keys_in[int(key[key.rindex(b"|") + 1 :])].append(key)
        self._values[key] = value

    def _decoded(self, key: bytes) -> Window | None:
        """A window, or None; one that cannot be read (not written by us) is logged."""
        value = self._values.get(key)
        try:
            return None if value is None else windows.decode(value)
        except msgspec.MsgspecError as error:
            log.error("the window %r cannot be read: %s", key, error)
            return None

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: bytes) -> Window:
        window = self._decoded(key)
        if window is None:
            raise KeyError(key)
        return window

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

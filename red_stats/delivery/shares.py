"""Who may POST next: shares of the POSTs in flight, and a turn for whoever waits for room. Pure.

A POST takes room in three places: with its client, with the host it goes to, and in all. A queue for which
one of them is full waits there, and is looked at again when a POST leaves that place.
"""

from collections.abc import Iterable, Mapping, Set
from enum import IntEnum
from typing import Final, Generic, NamedTuple

from red_stats.delivery.room import Key, Room


class Kind(IntEnum):
    """What a place is, in the order in which those who wait in several get room that is free in all."""

    ALL = 0
    HOST = 1
    CLIENT = 2


#: POSTs in flight: over all, to one host, of one client. An endpoint has its own limit (EndpointQueue).
LIMITS: Final = {Kind.ALL: 256, Kind.HOST: 32, Kind.CLIENT: 32}

Name = tuple[Kind, str]


class Slot(NamedTuple):
    """A delivery in flight; `ahead` (ms) is how far the wall clock was ahead of the queues' at its start."""

    client: str
    host: str
    ahead: int

    @property
    def places(self) -> tuple[Name, Name, Name]:
        """Where it takes room."""
        return _places(self.client, self.host)


class Shares(Generic[Key]):
    """The deliveries, by id, whose POST is under way or whose outcome is not committed yet."""

    def __init__(self, limits: Mapping[Kind, int] = LIMITS) -> None:
        self._limits = limits
        self._slots: dict[str, Slot] = {}
        self._rooms: dict[Name, Room[Key]] = {}
        self._waiting: dict[Key, tuple[Name, str, str]] = {}  # where, the client, the host
        self._open: set[Name] = set()  # places where there may be both room and somebody who waits

    def __contains__(self, delivery_id: object) -> bool:
        return delivery_id in self._slots

    def has_room(self, client: str, host: str) -> bool:
        """Whether a POST may begin."""
        return self._full(client, host) is None

    def begin(self, delivery_id: str, client: str, host: str, ahead: int) -> None:
        """Note that the POST of a delivery begins."""
        self._slots[delivery_id] = slot = Slot(client, host, ahead)
        for name in slot.places:
            self._room(name).take(1)

    def move(self, delivery_id: str, host: str) -> bool:
        """Note that a POST goes to another host than was thought; False if there is no room."""
        slot = self._slots[delivery_id]
        if host != slot.host:
            if self._is_full((Kind.HOST, host)):
                return False
            self._room((Kind.HOST, host)).take(1)
            self._leave((Kind.HOST, slot.host))
            self._slots[delivery_id] = slot._replace(host=host)
        return True

    def end(self, delivery_ids: Iterable[str]) -> dict[str, int]:
        """Remove deliveries, which leave room (`next_key`); returns `ahead` of each that was in flight."""
        ended = {name: self._slots.pop(name) for name in delivery_ids if name in self._slots}
        for slot in ended.values():
            for name in slot.places:
                self._leave(name)
        return {name: slot.ahead for name, slot in ended.items()}

    def without(self, delivery_ids: Set[str]) -> Set[str]:
        """The ids in flight other than these."""
        return self._slots.keys() - delivery_ids

    def wait(self, key: Key, client: str, host: str) -> None:
        """Have a queue wait for its turn; one that waits already keeps its place if its host is the same."""
        waits = self._waiting.get(key)
        if waits is None or waits[1:] != (client, host):
            self.forget(key)
            self._wait(key, client, host, self._full(client, host) or (Kind.ALL, ""))

    def forget(self, key: Key) -> None:
        """Have a queue wait no longer."""
        if key in self._waiting:
            name, client, _ = self._waiting.pop(key)
            self._rooms[name].remove(key, client)
            self._drop_idle(name)

    def next_key(self) -> Key | None:
        """The queue whose turn it is and that has room; it waits no longer. None: nobody who waits has."""
        while self._open:
            name = min(self._open)
            room = self._rooms.get(name)
            if room is None or room.is_full or not room.is_awaited:
                self._open.discard(name)
                continue
            key, client, host = room.first()
            full = self._full(client, host)
            if full is None:
                room.pass_turn(client)
                self.forget(key)
                return key
            self.forget(key)
            self._wait(key, client, host, full)
        return None

    def _wait(self, key: Key, client: str, host: str, name: Name) -> None:
        self._waiting[key] = name, client, host
        self._room(name).wait(key, client, host)
        if not self._is_full(name):
            self._open.add(name)

    def _leave(self, name: Name) -> None:
        self._rooms[name].take(-1)
        self._open.add(name)
        self._drop_idle(name)

    def _full(self, client: str, host: str) -> Name | None:
        """The place where a POST has to wait for room; None if it has room everywhere."""
        return next((name for name in _places(client, host) if self._is_full(name)), None)

    def _is_full(self, name: Name) -> bool:
        return name in self._rooms and self._rooms[name].is_full

    def _room(self, name: Name) -> Room[Key]:
        if name not in self._rooms:
            self._rooms[name] = Room(self._limits[name[0]])
        return self._rooms[name]

    def _drop_idle(self, name: Name) -> None:
        if self._rooms[name].is_idle:
            del self._rooms[name]
            self._open.discard(name)


def _places(client: str, host: str) -> tuple[Name, Name, Name]:
    return (Kind.CLIENT, client), (Kind.HOST, host), (Kind.ALL, "")

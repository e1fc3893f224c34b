"""Which records of a client have been erased: a pure function of the log.

An erase command is stamped with the end of the client's measurement partition, as versions are: what it
measured, what was raised about that and what was sent of that are erased, and what comes behind counts.
"""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec


class Erased(msgspec.Struct, frozen=True, array_like=True):
    """The erased records: of measurements with offsets below `before`; `at` is when (ms since 1970)."""

    before: int
    at: int

    def holds_position(self, position: str) -> bool:
        """Whether a measurement's `partition:offset` is erased, and with it what was raised about it."""
        return int(position.partition(":")[2]) < self.before

    def holds_delivery(self, position: str, made_at: int) -> bool:
        """Whether a delivery is: by its alert's position, or if it has none by when it was made (ms)."""
        return self.holds_position(position) if position else made_at <= self.at


NEVER: Final = Erased(0, -1)
ErasedOf = Callable[[str], Erased]  # by client_id


def never(client_id: str) -> Erased:
    """What is erased where nothing ever was."""
    return NEVER


class ErasedClients(Protocol):
    """Who has been erased, as far as it has been read; `erasures` counts what was read of it."""

    @property
    def erasures(self) -> int:
        """How often something was read about an erased client."""

    def erased_of(self, client_id: str) -> Erased:
        """What of a client has been erased."""

    def erased_below(self, partition: int) -> int:
        """An offset of a partition from which on nothing is erased; 0: nobody is."""


class Nobody:
    """Where nobody was erased."""

    erasures = 0
    erased_of = staticmethod(never)

    def erased_below(self, partition: int) -> int:
        """Nothing is erased from the beginning on."""
        return 0

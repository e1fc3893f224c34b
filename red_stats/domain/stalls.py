"""Which partitions do not move although their logs do, and why. Pure: times are arguments.

The mark tells how far a partition has come, and only committed records count: control records and what was
aborted move no mark. An idle partition has nothing to move to, and one that moves, however far behind, is
no stall.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

AFTER_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 5.0  # when a partition has stood so long, it is looked whether a record waits
GAP_SECONDS: Final = 10.0  # without an observation for so long, nothing is known of the time between

NOWHERE: Final = 1 << 62  # behind the end of any log: a place of which nothing is to be processed

Cause = Literal["open transaction", "not processed"]


class Place(NamedTuple):
    """One partition of a source topic as a role has it since a generation of its group."""

    role: str
    topic: str
    partition: int
    generation: int


class Progress(NamedTuple):
    """Where a place goes on; the end of what can be read there, and of the whole log (one past the last)."""

    next: int
    readable: int
    end: int


class Stall(NamedTuple):
    """A partition that has not moved for `seconds`; `detail` is a sentence for operators."""

    role: str
    topic: str
    partition: int
    cause: Cause
    seconds: float
    detail: str


class _Standing(NamedTuple):
    at: int
    since: float


class Stalls:
    """What was observed of each place, and what that means; `failure_of` may know a better reason."""

    def __init__(self) -> None:
        self._behind: dict[Place, _Standing] = {}
        self._held_back: dict[Place, _Standing] = {}
        self._waiting: dict[Place, int] = {}  # the first record that is not processed
        self._looked: dict[Place, int] = {}  # no record waits below this offset
        self._observed = float("-inf")

    def observe(self, now: float, seen: Mapping[Place, Progress]) -> dict[Place, tuple[int, int]]:
        """Take an observation at `now` (monotonic seconds).

        Returns:
            Offsets `[start, end)` by place in which it is worth looking for a record; see `found`.
        """
        if now - self._observed > GAP_SECONDS:
            self._behind.clear()
            self._held_back.clear()
        self._observed = now
        self._waiting = {p: at for p, at in self._waiting.items() if p in seen and at >= seen[p].next}
        self._looked = {place: at for place, at in self._looked.items() if place in seen}
        unread = {
            place: (start, progress.readable)
            for place, progress in seen.items()
            if (start := max(progress.next, self._looked.get(place, 0))) < progress.readable
        }
        self._behind = {place: _still(self._behind.get(place), seen[place].next, now) for place in unread}
        self._held_back = {
            place: _still(self._held_back.get(place), progress.readable, now)
            for place, progress in seen.items()
            if progress.end > progress.readable
        }
        return {
            place: offsets
            for place, offsets in unread.items()
            if place not in self._waiting and now - self._behind[place].since >= LOOK_SECONDS
        }

    def found(self, place: Place, end: int, first: int | None) -> None:
        """Note the first record in offsets that were looked at, up to `end`; None: there is none."""
        if first is None:
            self._looked[place] = end
            del self._behind[place]
        else:
            self._waiting[place] = first

    def now(self, now: float, failures: Mapping[tuple[str, int], str]) -> list[Stall]:
        """The stalls at `now`; `failures` are the last ones by role and partition, in words."""
        stalls: list[Stall] = []
        if now - self._observed > GAP_SECONDS:
            return stalls
        for place, standing in self._held_back.items():
            if (seconds := now - standing.since) >= AFTER_SECONDS:
                detail = (
                    f"a transaction has been open since offset {standing.at}: nothing from there on can be"
                    " read before its producer, or Kafka after its time-out, ends it"
                )
                stalls.append(_stall(place, "open transaction", seconds, detail))
        for place, first in self._waiting.items():
            if (seconds := now - self._behind[place].since) >= AFTER_SECONDS:
                why = failures.get((place.role, place.partition), "see the log of this worker")
                detail = f"the record at offset {first} is not processed: {why}"
                stalls.append(_stall(place, "not processed", seconds, detail))
        return stalls


def _still(before: _Standing | None, at: int, now: float) -> _Standing:
    return before if before is not None and before.at == at else _Standing(at, now)


def _stall(place: Place, cause: Cause, seconds: float, detail: str) -> Stall:
    return Stall(place.role, place.topic, place.partition, cause, round(seconds, 1), detail)

"""Answers about what live holds, made once for each state of a partition, however often they are asked."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson

from red_stats.domain.windows import minute_of
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionState

MOST: Final = 1000  # answers kept of one partition

#: (tables, client_id, now in ms) -> the fields of a view for one client, the same within a minute
Answer = Callable[[LiveTables, str, int], Mapping[str, Any]]
Fields = Mapping[str, orjson.Fragment]


class LastAnswers:
    """The fields of each answer as JSON, until the partition's marks, its tables or the minute change."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[PartitionState[LiveTables], _Kept] = WeakKeyDictionary()

    def fields(self, answer: Answer, state: PartitionState[LiveTables], client_id: str, now: int) -> Fields:
        """What `answer` gives for a client at `now` (ms), field by field."""
        kept = self._of.get(state)
        if kept is None or not kept.is_of(state, minute_of(now)):
            kept = self._of[state] = _Kept(state, minute_of(now))
        return kept.fields(answer, client_id, now)


class _Kept:
    def __init__(self, state: PartitionState[LiveTables], minute: int) -> None:
        self._tables, self._marks, self._minute = state.tables, dict(state.marks), minute
        self._fields: dict[tuple[Answer, str], Fields] = {}

    def is_of(self, state: PartitionState[LiveTables], minute: int) -> bool:
        return self._tables is state.tables and self._marks == state.marks and self._minute == minute

    def fields(self, answer: Answer, client_id: str, now: int) -> Fields:
        asked = answer, client_id
        found = self._fields.get(asked)
        if found is None:
            given = answer(self._tables, client_id, now)
            found = {name: orjson.Fragment(orjson.dumps(value)) for name, value in given.items()}
            if len(self._fields) >= MOST:
                self._fields.clear()
            self._fields[asked] = found
        return found

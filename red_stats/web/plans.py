"""From where a statistic is read, so that it is soon there and always the same."""

import time
from collections.abc import Callable
from typing import Any, Final

from red_stats.domain.buckets import DAY
from red_stats.store import daily
from red_stats.store.asking import Asking
from red_stats.store.recorder import Recorder
from red_stats.store.statistics import (
    Range,
    Series,
    Source,
    Statistic,
    every_image,
    from_images,
    from_seals,
    not_sealed,
)

KNOWN_SECONDS: Final = 60.0  # for which it is remembered who has seals; who is not known to is read all


class Plans:
    """Answers statistics from images one by one, or for big clients from their seals and what is behind them.

    Safe in any thread. `recorder` is that of the measurements, where it alone writes to the store: it knows
    the mark.
    """

    def __init__(self, recorder: Recorder | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._recorder, self._monotonic = recorder, monotonic
        self._sealed: frozenset[str] = frozenset()
        self._known_until = -1.0

    def answer(self, asking: Asking, asked: Range, statistic: Statistic) -> tuple[int, Any]:
        """The last offset that the answer holds (-1: none), and what the statistic adds up to.

        Raises:
            StoreError: the store is away or refused a question.
        """
        if asked.days and _whole_days_are_in_one_bucket(statistic) and self._has_seals(asking, asked):
            [[(sealed, covered), *summed]] = asking.rows(from_seals(statistic, asked))
            if sealed == covered + asked.since:  # none is lost, and none holds what has been erased
                mark, rest = self._from_images(asking, asked, statistic, not_sealed(asked, sealed))
                if sealed <= mark + 1:
                    return mark, statistic.added([tuple(summed), rest])
        mark, found = self._from_images(asking, asked, statistic, every_image(asked))
        return mark, statistic.added([found])

    def _from_images(
        self, asking: Asking, asked: Range, statistic: Statistic, source: Source
    ) -> tuple[int, tuple[Any, ...]]:
        known = self._settled(asked.partition)
        [[mark, *found]] = asking.rows(from_images(statistic, source, asked.partition, known))
        if known is not None and self._settled(asked.partition) != known:  # recorded meanwhile: ask for both
            [[mark, *found]] = asking.rows(from_images(statistic, source, asked.partition, None))
        return int(mark), tuple(found)

    def _settled(self, partition: int) -> int | None:
        return None if self._recorder is None else self._recorder.settled(partition)

    def _has_seals(self, asking: Asking, asked: Range) -> bool:
        now = self._monotonic()
        if now >= self._known_until:
            self._known_until = now + KNOWN_SECONDS
            self._sealed = frozenset(row[0] for row in asking.rows(daily.clients()))
        return asked.client_id in self._sealed


def _whole_days_are_in_one_bucket(statistic: Statistic) -> bool:
    return not isinstance(statistic, Series) or not any(start % DAY for start in statistic.starts[1:])

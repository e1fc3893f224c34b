"""A piece of work of one client, with the questions to the store that it asks one after another."""

import logging
import threading
from typing import Any

from red_stats.store import queries
from red_stats.store.clickhouse import StoreError
from red_stats.store.queries import Queries, Question

log = logging.getLogger(__name__)


class Asking:
    """The store as one piece of work asks it: each question may take `seconds`, and all have one name.

    By that `end` ends what runs, from another thread; what would be asked later is not asked any more.
    """

    def __init__(self, store: Queries, name: str, seconds: int) -> None:
        self.name = name
        self._store, self._seconds = store, seconds
        self._ended = threading.Event()

    def rows(self, question: Question) -> list[tuple[Any, ...]]:
        """The rows of a question.

        Raises:
            StoreError: the store is away or refused it, it took too long, or nobody waits for it any more.
        """
        return self._store.query(*self._named(question))

    def packed(self, question: Question) -> bytes:
        """The rows of a question as the engine's RowBinary.

        Raises:
            StoreError: as of `rows`.
        """
        return self._store.packed(*self._named(question))

    def end(self) -> None:
        """End what is asked: nobody waits for it."""
        self._ended.set()
        try:
            self._store.query(*queries.killing(self.name))
        except StoreError as error:  # then it ends after its seconds
            log.warning("a question that nobody waits for could not be ended: %s", error)

    def _named(self, question: Question) -> Question:
        if self._ended.is_set():
            raise StoreError("nobody waits for the answer")
        return queries.named(question, self.name, self._seconds)

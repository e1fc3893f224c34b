"""How many of something each client may have at once in this process."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator

from red_common.problems import Problem


class Places:
    """At most `most` of each client; the next one is refused with what `refusal` says."""

    def __init__(self, most: int, refusal: Callable[[], Problem]) -> None:
        self._most, self._refusal = most, refusal
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def taken_by(self, client_id: str) -> Iterator[None]:
        """A client has one of its places meanwhile.

        Raises:
            Problem: it has as many as it may.
        """
        if self._taken[client_id] >= self._most:
            raise self._refusal()
        self._taken[client_id] += 1
        try:
            yield
        finally:
            self._taken[client_id] -= 1
            if not self._taken[client_id]:
                del self._taken[client_id]

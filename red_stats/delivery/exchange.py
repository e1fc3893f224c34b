"""One POST as it went over the wire: the head of its answer, and when each step of it ended."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple

from red_stats.delivery.answer_head import AnswerHead
from red_stats.domain.retries import Timing


class Connected(NamedTuple):
    """When a connection was made: TCP, and then TLS if `is_tls`, in seconds of the exchange's clock."""

    connected: float
    ready: float
    is_tls: bool


class Exchange:
    """Begins where a connection is asked for; steps that a used connection spares have no time.

    `clock` is in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.head = AnswerHead()
        self._clock = clock
        self._began = self._dialled = clock()
        self._resolved: float | None = None
        self._made: Connected | None = None
        self._sent: float | None = None
        self._answered: float | None = None

    def resolved(self) -> None:
        """Note that the name has an address."""
        self._resolved = self._dialled = self._clock()

    def begins(self, made: Connected | None) -> None:
        """Note that the request goes out, over a new connection if it was `made` for it."""
        self._made, self._sent, self._answered = made, self._clock(), None
        self.head = AnswerHead()

    def received(self, data: bytes) -> bool:
        """Take what came of the answer; False once too much has come without a status."""
        if self._answered is None:
            self._answered = self._clock()
        return self.head.feed(data)

    def timing(self) -> Timing:
        """What each step took until now."""
        made, sent, answered = self._made, self._sent, self._answered
        return Timing(
            dns=_ms(self._began, self._resolved),
            connect=_ms(self._dialled, made.connected) if made is not None else None,
            tls=_ms(made.connected, made.ready) if made is not None and made.is_tls else None,
            first_byte=_ms(sent, answered) if sent is not None else None,
            total=int(1000 * (self._clock() - self._began)),
        )


exchange_of_task: ContextVar[Exchange | None] = ContextVar("exchange_of_task", default=None)


def _ms(start: float, end: float | None) -> int | None:
    return None if end is None else max(0, int(1000 * (end - start)))

"""A transaction right behind another one, and how soon it asks again whether it may begin.

Kafka answers a commit before its markers are written, and CONCURRENT_TRANSACTIONS to what the same
producer begins before they are: for some milliseconds. aiokafka asks again after 20, which a busy
partition would wait for in every sixth transaction. This touches private API of aiokafka, which is
pinned; `tests/red_common/kafka/patches/test_transaction_backoff.py` holds it.
"""

from typing import Any, Final

from aiokafka.producer import sender

FIRST_SECONDS: Final = 0.002  # then twice as long each time, up to
LAST_SECONDS: Final = 0.02  # the driver's own: a Kafka in trouble is not asked more often


def shorten_transaction_backoff() -> None:
    """From now on and for the whole process; safe to call twice."""
    assert sender.BACKOFF_OVERRIDE == LAST_SECONDS, "aiokafka has changed"
    sender.AddPartitionsToTxnHandler = _Soon


class _Soon(sender.AddPartitionsToTxnHandler):  # type: ignore[misc]
    """The first request of a transaction, with growing pauses until Kafka is ready for it."""

    def handle_response(self, resp: Any) -> float | None:
        """The pause before it is sent again; None when it has done its work."""
        pause: float | None = super().handle_response(resp)
        if pause != LAST_SECONDS:
            self._sender.next_pause = FIRST_SECONDS
            return pause
        pause = getattr(self._sender, "next_pause", FIRST_SECONDS)
        self._sender.next_pause = min(2 * pause, LAST_SECONDS)
        return pause

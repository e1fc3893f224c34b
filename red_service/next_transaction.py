"""A transaction right behind another one, and how soon it asks again whether it may begin.

Kafka answers a commit before its markers are written, and CONCURRENT_TRANSACTIONS to what the same
producer begins before they are: for some milliseconds. aiokafka asks again after 20, which a busy
partition would wait for in every sixth transaction. This touches private API of aiokafka, which is
pinned; `tests/red_service/test_next_transaction.py` holds it.
"""

from typing import Final

from aiokafka.producer import sender

SECONDS: Final = 0.002


def ask_soon() -> None:
    """From now on and for the whole process; safe to call twice."""
    assert sender.BACKOFF_OVERRIDE in (0.02, SECONDS), "aiokafka has changed"
    sender.BACKOFF_OVERRIDE = SECONDS

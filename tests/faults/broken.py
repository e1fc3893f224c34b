"""`python -m tests.faults.broken worker ...`: the product with one rule broken (RED_TEST_BREAK).

Only the harness's negative controls run it: what they break must turn the oracle red.
"""

import os
import uuid

import msgspec

from red_stats.__main__ import main
from red_stats.domain import counting, digests
from red_stats.kafka import transactions
from red_stats.store import recorder, sink
from red_stats.tables import partition_state
from red_stats.tables.digests import Digests
from red_stats.tables.pending_deliveries import PendingRows


def fence():
    """Transactional ids of this process alone: nobody fences it, or waits until Kafka ends what it began."""
    own = uuid.uuid4().hex
    before = transactions.PartitionWriter.__init__

    def init(self, connection, app_id, partition):
        before(self, connection, f"{app_id}-{own}", partition)

    transactions.PartitionWriter.__init__ = init
    partition_state.ends_of_logs = _committed_ends


async def _committed_ends(connection, partitions):
    """None, for which the loader takes the ends of what is committed."""


def mark():
    """Marks are written and never read back."""
    partition_state.decode_mark = lambda value: partition_state.Mark()


def pending():
    """Rows of pending deliveries are written and never read back."""
    PendingRows.load = lambda self, key, value: None


def digest():
    """A digest leaves its first alert out, and nothing remembers it."""
    before = digests.digest_of

    def digest_of(name, interval, listed, due):
        if interval.count == 1:
            return before(name, interval, listed, due)
        less = {"count": interval.count - 1, "first_seq": interval.first_seq + 1}
        return before(name, msgspec.structs.replace(interval, **less), listed[1:], due)

    digests.digest_of = digest_of


def intervals():
    """Intervals, and the alerts that wait for their ends, are written and never read back."""
    before = partition_state.load_record
    partition_state.load_record = lambda rows, marks, key, value: (
        None if isinstance(rows, Digests) else before(rows, marks, key, value)
    )


def rearm():
    """A trigger is armed again by any image that is not over its threshold."""
    before = counting.raising
    counting.raising = lambda red, trigger, armed: before(
        red, trigger._replace(rearm_below=trigger.threshold), armed
    )


def insert_blindly():
    """The store is not asked where to go on, and tokens are never the same."""
    recorder.Recorder.take_over = _take_over
    sink.Sink._is_stale = lambda self, partition: False  # else it would ask whether its batch stands already
    sink.Sink._stands = lambda self, rows, refill: True
    before = sink.Sink._insert
    sink.Sink._insert = lambda self, rows, token: before(self, rows, f"{token}/{uuid.uuid4()}")


async def _take_over(self, state):
    self.next[state.partition] = 0
    await self._notify()


BREAK = {
    "digest": digest,
    "fence": fence,
    "intervals": intervals,
    "mark": mark,
    "pending": pending,
    "rearm": rearm,
    "sink": insert_blindly,
}

if __name__ == "__main__":
    BREAK[os.environ["RED_TEST_BREAK"]]()
    main()

"""The log of these tests, in Kafka's place: what is at an offset follows from the offset alone.

As a real one it has holes (control records) and records that cannot be read (dead letters).
"""

from dataclasses import dataclass

from red_stats import topics
from tests.builders import NOW, a_batch, a_client_of, a_record, measured

TOPIC = topics.MEASUREMENTS
PARTITIONS = 4


@dataclass(frozen=True)
class Log:
    """Partition `partition` up to `end`; Kafka's time advances by `step` ms per offset."""

    end: int = 60
    partition: int = 0
    step: int = 1

    @property
    def client(self):
        return a_client_of(self.partition)

    def record(self, offset):
        at = NOW + offset * self.step
        if offset % 13 == 7:
            return a_record(b"no measurement", offset, b"x", at)
        return measured(self.client, red_at(offset), offset, at)

    def records(self, first, end):
        """The records of `[first, end)`."""
        return [self.record(offset) for offset in range(first, min(end, self.end)) if offset % 17 != 16]

    def batch(self, first, end):
        """The same as a fetch brings them; None when there are none."""
        records = self.records(first, end)
        return a_batch(TOPIC, self.partition, records) if records else None

    async def read_range(self, bootstrap, tp, start, end):
        """In the place of `red_stats.kafka.range_reader.read_range`."""
        return self.records(start, end)

    def rows(self, end=None):
        """What the table must hold: offset -> (client, basis points)."""
        wanted = self.records(0, self.end if end is None else end)
        return {
            record.offset: (self.client, bp_at(record.offset)) for record in wanted if record.offset % 13 != 7
        }


def bp_at(offset):
    return offset * 7919 % 10001


def red_at(offset):
    return bp_at(offset) / 10000

"""The fold of commands without Kafka: what it counts."""

import orjson
import pytest

from red_stats import metrics, topics
from red_stats.agents.commands import handle_commands
from red_stats.tables.declarations import changelogs_of
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import PartitionState
from tests.builders import a_batch, a_client_of, a_record

PARTITION = 1


class RetriedTransaction:
    """Decides a batch `times` times, as after failed transactions, and applies what the last one decided."""

    changelogs = changelogs_of(LiveTables)

    def __init__(self, times):
        self.times = times

    async def transact(self, partition, build, *, generation):
        state = PartitionState(partition, LiveTables(), generation)
        for _ in range(self.times):
            effects = await build(state)
        effects.apply()
        return True


@pytest.fixture
def counted():
    """How often each outcome was counted since the test began."""
    before = _counts()
    return lambda: {name: count - before[name] for name, count in _counts().items()}


def _counts():
    read = metrics.REGISTRY.get_sample_value
    counts = {name: read("red_stats_commands_total", {"status": name}) for name in ("accepted", "rejected")}
    counts["unreadable"] = read("red_stats_dead_letters_total", {"topic": topics.SUBSCRIPTION_COMMANDS})
    return {name: count or 0 for name, count in counts.items()}


async def test_a_batch_whose_transaction_is_retried_is_counted_once(counted):
    client = a_client_of(PARTITION)
    subscribe = {
        "command": "subscribe", "command_id": "a", "client_id": client, "threshold": 0.5,
        "webhook_url": "https://example.com/h",
    }  # fmt: skip
    values = [
        orjson.dumps(subscribe),
        orjson.dumps({"command": "enable", "command_id": "b", "client_id": client}),
        b"no command",
    ]
    records = [a_record(value, offset, client.encode()) for offset, value in enumerate(values)]

    await handle_commands(
        a_batch(topics.SUBSCRIPTION_COMMANDS, PARTITION, records),
        states=RetriedTransaction(times=3), partitions=4, end_of=_end_of, seal=lambda c, s: "sealed",
        opens=lambda c, s, secret: True, url_refusal=lambda url: None,
    )  # fmt: skip

    assert counted() == {"accepted": 1, "rejected": 1, "unreadable": 1}


async def _end_of(topic, partition):
    return 0

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
        self.times, self.written = times, []
        self.state = PartitionState(PARTITION, LiveTables(), 0)
        self.held = {PARTITION: self.state}

    async def transact(self, partition, build, *, generation):
        for _ in range(self.times):
            effects = await build(self.state)
        if effects is not None:
            self.written += effects.records
            effects.apply()
            self.state.marks.update(effects.marks)
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

    await handled(RetriedTransaction(times=3), records)

    assert counted() == {"accepted": 1, "rejected": 1, "unreadable": 1}


async def none_ever(partition, client_ids):
    return {}


async def _end_of(topic, partition):
    return 0


async def handled(states, records, ever_subscribed=none_ever):
    await handle_commands(
        a_batch(topics.SUBSCRIPTION_COMMANDS, PARTITION, records),
        states=states, partitions=4, end_of=_end_of, seal=lambda c, s: "sealed",
        opens=lambda c, s, secret: True, url_refusal=lambda url: None, ever_subscribed=ever_subscribed,
    )  # fmt: skip


class Ever:
    """What the results say that clients ever had; `asked` is whom that was asked about."""

    def __init__(self, **names):
        self.names, self.asked = names, []

    async def __call__(self, partition, client_ids):
        self.asked.append((partition, set(client_ids)))
        return self.names


async def test_an_erase_ends_the_sequences_of_everything_the_client_ever_subscribed_to():
    client, states = a_client_of(PARTITION), RetriedTransaction(times=2)
    states.state.tables.alert_sequences.update({"deleted": 3, "of-another": 4})
    ever = Ever(**{client: {"deleted"}})

    await handled(states, [an_erase(client, 0)], ever)

    assert ever.asked == [(PARTITION, {client})]
    assert states.state.tables.alert_sequences == {"of-another": 4}
    changelog = states.changelogs["alert_sequences"]
    assert [one for one in states.written if one[0] == changelog] == [(changelog, b"deleted", None)]


async def test_what_clients_ever_had_is_read_for_erases_behind_the_mark_alone():
    first, second = a_client_of(PARTITION), a_client_of(PARTITION, prefix="second")
    records, states, ever = [an_erase(first, 0), an_erase(second, 1)], RetriedTransaction(times=1), Ever()
    await handled(states, records[:1], ever)

    await handled(states, records, ever)
    await handled(states, records, ever)

    assert ever.asked == [(PARTITION, {first}), (PARTITION, {second})]


def an_erase(client, offset):
    value = orjson.dumps({"command": "erase", "command_id": f"e-{offset}", "client_id": client})
    return a_record(value, offset, client.encode())

"""`headers` of a subscription: sent with every webhook, shown to nobody."""

import json

import pytest
from aiohttp import web

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.kafka.range_reader import read_range
from tests.conftest import PARTITIONS
from tests.receiver import Receiver
from tests.system.test_digests import alerted

SECRET = "Bearer of-mine"


@pytest.fixture
async def seen():
    """The headers of each request, and the URL of who notes them."""
    found = []

    async def answer(request):
        found.append(request.headers)
        return web.Response()

    async with Receiver(answer) as receiver:
        yield found, receiver


async def test_further_headers_go_out_with_every_webhook_and_their_values_stand_nowhere(
    api, stats, kafka, seen
):
    found, receiver = seen
    headers = {"Authorization": SECRET, "X-Team": "roses", "user-agent": "ours"}
    subscription = await api.subscribed(stats, receiver.url, 0.25, max_age=None, headers=headers)
    receiver.secrets.append(subscription["secret"])
    assert subscription["headers"] == dict.fromkeys(headers, "***")
    await alerted(api, stats, kafka, subscription, 1)
    await receiver.until(1)
    assert [found[0][name] for name in headers] == list(headers.values())
    assert found[0].getall("User-Agent") == ["ours"]
    assert found[0]["Content-Type"] == "application/json"
    assert receiver.got[0].verified

    one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
    status, changed = await api.call("PATCH", one, json={"headers": {"Authorization": "***", "X-New": "2"}})
    assert (status, changed["headers"]) == (200, {"Authorization": "***", "X-New": "***"})
    await alerted(api, stats, kafka, subscription, 1)
    await receiver.until(2)
    assert (found[1]["Authorization"], found[1]["X-New"], "X-Team" in found[1]) == (SECRET, "2", False)
    status, changed = await api.call("PATCH", one, json={"headers": None})
    assert (status, changed["headers"]) == (200, {})

    number = partition_of(api.client_id, PARTITIONS)
    for topic in (topics.SUBSCRIPTION_COMMANDS, topics.COMMAND_RESULTS, topics.SUBSCRIPTIONS):
        written = await read_range(KafkaConnection(kafka), TopicPartition(topic, number), 0, None)
        assert SECRET not in json.dumps([(record.value or b"").decode() for record in written])


async def test_no_headers_are_none(api, stats):
    subscription = await api.subscribed(stats, "https://example.com/never", headers={})
    assert subscription["headers"] == {}
    one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
    for headers in ({"X-Team": "roses"}, {}):
        status, changed = await api.call("PATCH", one, json={"headers": headers})
        assert (status, changed["headers"]) == (200, dict.fromkeys(headers, "***"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "a"}, {"webhook-id": "a"}, {"a b": "c"}, {"X": "a\r\nY: b"}, {"X": "***"}, {"X": 1},
        {"X": "a" * 4096}, {f"X-{n}": "" for n in range(11)}, ["X"],
    ],
)  # fmt: skip
async def test_headers_that_cannot_be_sent_are_refused(api, stats, headers):
    body = {"webhook_url": "https://example.com/h", "threshold": 0.5, "headers": headers}
    status, problem = await api.call("POST", f"{stats.url}/v1/subscriptions", json=body)
    assert (status, problem["code"]) == (400, "invalid_body")

"""What a fold may know of subscriptions before it decides by them."""

import asyncio

import pytest

from red_common.kafka.connection import KafkaConnection, KafkaError
from red_stats.domain import subscriptions
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.subscriptions import Client
from red_stats.kafka import subscription_cache
from red_stats.kafka.subscription_cache import SubscriptionCache
from tests.builders import a_subscription, a_subscription_id, an_alert

CLIENT, NAME = "client", a_subscription_id()


class Topic:
    """A follower that is as far as it is let, and counts who asks it to read on."""

    def __init__(self):
        self.asked, self.unread, self.failure = 0, [], None

    async def caught_up(self):
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        for read in self.unread:
            read()


@pytest.fixture
def cache():
    cache = SubscriptionCache(KafkaConnection("nowhere:1"), 1)
    cache.follower = Topic()
    return cache


def read(cache, version, *names):
    """The list of the client at a version."""
    made = tuple(a_subscription(id=name, version=version) for name in names)
    client = Client(client_id=CLIENT, offset=version - 1, subscriptions=made)
    cache._lists[0].load(CLIENT.encode(), subscriptions.encode(client))


def a_row(version=1, name=NAME):
    return of_alert(CLIENT.encode(), an_alert(subscription_id=name, version=version), 0)


async def test_what_is_known_is_not_asked_for(cache):
    read(cache, 2, NAME)
    await cache.until_known(row for row in [a_row(1), a_row(2)])
    await cache.until_known([])
    assert cache.follower.asked == 0


async def test_a_version_that_raised_an_alert_and_is_not_read_yet_is_waited_for(cache):
    read(cache, 1, NAME)
    cache.follower.unread.append(lambda: read(cache, 2, NAME))
    await cache.until_known(iter([a_row(1), a_row(2)]))
    assert cache.find(CLIENT, NAME).version == 2


async def test_a_subscription_that_is_not_read_yet_is_waited_for(cache):
    cache.follower.unread.append(lambda: read(cache, 1, NAME))
    await cache.until_known([a_row(1)])
    assert cache.find(CLIENT, NAME) is not None


async def test_a_deleted_subscription_is_waited_for_until_everything_is_read(cache):
    await cache.until_known([a_row(1), a_row(2)])
    assert (cache.follower.asked, cache.find(CLIENT, NAME)) == (1, None)


@pytest.mark.parametrize("failure", [KafkaError("away"), TimeoutError()])
async def test_kafka_that_is_away_holds_up_no_fold(cache, failure):
    cache.follower.failure = failure
    await cache.until_known([a_row(1)])
    assert cache.follower.asked == 1


async def test_a_topic_that_does_not_get_on_is_waited_for_only_so_long(cache, monkeypatch):
    monkeypatch.setattr(subscription_cache, "SECONDS", 0.01)
    cache.follower.caught_up = asyncio.Event().wait
    async with asyncio.timeout(5):
        await cache.until_known([a_row(1)])

"""The stream of alerts beside a fake log: its signs of life, its ends, and what it asks of Kafka."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError

from red_common.kafka.connection import KafkaError
from red_stats.domain.erasure import never
from red_stats.kafka.range_reader import RangeGone
from red_stats.web.alert_reader import AlertReader
from red_stats.web.alert_stream import AlertStreams
from red_stats.web.event_streams import COMMENT, COMMENT_SECONDS, KEY_SECONDS, STREAMS, stream_places
from tests.builders import an_alert
from tests.red_stats.web.test_alert_reader import Log
from tests.red_stats.web.test_live_stream import MADE_AT, Place, message


class Tail:
    """What streams need of Kafka, from a log in memory."""

    def __init__(self):
        self.is_fed = True
        self.log, self.followers, self.failure, self.lost = Log(), 0, None, None
        self.reading = asyncio.Event()
        self.reading.set()

    @asynccontextmanager
    async def followed(self):
        if self.failure is not None:
            raise self.failure
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1

    async def end(self, partition):
        return self.log.end

    @contextlib.contextmanager
    def reader(self, client_id, partition, start):
        reader = AlertReader(self.log.fanout, self.read_some, client_id, partition, start)
        try:
            yield reader
        finally:
            reader.close()

    async def read_some(self, *asked):
        await self.reading.wait()
        if self.lost is not None:
            raise self.lost
        return await self.log.read_some(*asked)

    def feeds(self, reader):
        return self.is_fed

    async def stop(self):
        return None

    def raised(self, **changes):
        self.log.append("a", **changes)
        self.log.tail(1)


class Streams(Place):
    def __init__(self):
        super().__init__()
        self.tail, self.places = Tail(), stream_places()
        self.view, self.failure = None, None
        self.subscriptions = self.follower = self

    def find(self, client_id, subscription):
        return subscription == "s" or None

    async def caught_up(self):
        raise self.failure

    def partition_of(self, client_id):
        return 1

    erased_of = staticmethod(never)

    @asynccontextmanager
    async def served(self, comment_seconds=COMMENT_SECONDS):
        self.view = AlertStreams(self, self.tail, self.places, comment_seconds=comment_seconds)
        async with self.over_http("/v1/alerts/stream", self.view.routes()) as ask:
            yield ask


@pytest.fixture
async def place():
    return Streams()


async def test_what_is_raised_is_told_at_once_and_a_comment_when_nothing_is(place):
    assert COMMENT_SECONDS == 15
    async with place.served(comment_seconds=0.05) as ask, await ask() as stream:
        assert [await message(stream), await message(stream)] == [COMMENT, COMMENT]
        place.tail.raised()
        while (told := await message(stream)) == COMMENT:
            pass
        assert told.startswith(b"event: alert\nid: 1:0\ndata: {")


async def test_a_comment_comes_also_while_the_past_cannot_be_read(place):
    place.tail.log = Log(room=1)  # whatever is raised has to be read
    async with place.served(comment_seconds=0.05) as ask, await ask() as stream:
        place.tail.reading.clear()
        place.tail.raised()
        assert await message(stream) == COMMENT
        place.tail.reading.set()
        while (told := await message(stream)) == COMMENT:
            pass
        assert told.startswith(b"event: alert\nid: 1:0\n")


async def test_a_comment_comes_also_while_other_subscriptions_have_alerts(place):
    async with place.served(comment_seconds=0.2) as ask, await ask(subscription="s") as stream:
        hearing = asyncio.create_task(message(stream))
        while not hearing.done():
            place.tail.raised()
            await asyncio.sleep(0.01)
        assert await hearing == COMMENT


async def test_a_subscription_that_cannot_be_looked_up_without_kafka_is_not_ready(place):
    place.failure = KafkaError()
    async with place.served() as ask, await ask(subscription="other") as refused:
        assert (refused.status, (await refused.json())["code"]) == (503, "not_ready")


async def test_the_streams_of_a_client_have_the_places_of_all_its_streams(place):
    with place.places.taken_by("a"):
        async with place.served() as ask:
            streams = [await ask() for _ in range(STREAMS - 1)]
            async with await ask() as refused:
                assert (refused.status, (await refused.json())["code"]) == (429, "too_many_streams")
            streams.pop().close()
            while (again := await ask()).status != 200:
                again.close()


@pytest.mark.parametrize("change", [{"revoked_at": MADE_AT}, {"scopes": ("statistics",)}])
async def test_a_stream_ends_properly_with_its_key(place, change):
    assert KEY_SECONDS <= 0.5
    async with place.served() as ask, await ask() as stream:
        place.publish(**change)
        assert await stream.content.read() == b""
    assert place.tail.followers == 0


async def test_a_stream_ends_properly_when_nobody_follows_the_topic_any_more(place):
    async with place.served() as ask, await ask() as stream:
        place.tail.is_fed = False
        assert await stream.content.read() == b""


async def test_a_stream_ends_properly_when_its_server_stops(place):
    async with place.served() as ask, await ask() as stream:
        await place.view.stop()
        assert await stream.content.read() == b""


@pytest.mark.parametrize("failure", [KafkaError(), TimeoutError()])
async def test_without_kafka_it_is_not_ready(place, failure):
    place.tail.failure = failure
    async with place.served() as ask, await ask() as refused:
        assert (refused.status, (await refused.json())["code"]) == (503, "not_ready")
        assert "Retry-After" in refused.headers


@pytest.mark.parametrize("failure", [KafkaError(), RangeGone()])
async def test_a_past_that_can_no_longer_be_read_cuts_the_stream_off(place, failure):
    place.tail.log = Log(room=1)  # whatever is raised has to be read
    async with place.served() as ask, await ask() as stream:
        place.tail.lost = failure
        place.tail.raised()
        with pytest.raises(ClientError):
            await stream.content.read()


async def test_the_answer_says_behind_which_position_it_begins(place):
    async with place.served() as ask:
        async with await ask() as stream:
            assert "Red-Position" not in stream.headers
        for _ in range(3):
            place.tail.raised()
        async with await ask() as stream:
            assert stream.headers["Red-Position"] == "1:2"
        async with await ask(after="1:0") as stream:
            assert stream.headers["Red-Position"] == "1:0"
        async with await ask(after="1:2") as stream:
            assert stream.status == 200
        async with await ask(after="1:3") as refused:
            assert refused.status == 400


async def test_a_question_for_headers_alone_keeps_no_stream(place):
    async with place.served() as ask:
        for _ in range(STREAMS + 1):
            async with await ask("HEAD") as answer:
                assert (answer.status, answer.content_type) == (200, "text/event-stream")


async def test_a_burst_that_no_buffer_holds_ends_no_reader_who_reads(place):
    count = 1000
    async with place.served() as ask, await ask() as stream:
        for _ in range(count):
            place.tail.log.append("a", value=an_alert(note="x" * 20_000))
        place.tail.log.tail(count)
        for _ in range(count):
            await asyncio.sleep(0)  # whoever does not wait for the reader has written everything
        told = [(await message(stream)).split(b"\n")[1] for _ in range(count)]
        assert told == [b"id: 1:%d" % offset for offset in range(count)]

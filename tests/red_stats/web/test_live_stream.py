"""The stream of live counts: what it says and when, how many there may be, and when it ends."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from red_common.api_keys import DEFAULT_SCOPES, Keyring, new_key
from red_common.secret_keys import SecretKeys
from red_common.web.auth import authentication
from red_common.web.errors import problems
from red_stats.web.event_streams import BEHIND, COMMENT, COMMENT_SECONDS, STREAMS, stream_places
from red_stats.web.live_stream import LOOK_SECONDS, LiveStreams
from tests.builders import a_record

SECRET_KEYS = SecretKeys([bytes(32)])
MADE_AT = "2026-01-01T00:00:00.000Z"


class Place:
    """A keyring with one key, what live says, and a clock that moves at each look."""

    def __init__(self):
        self.body, self.times, self.looks, self.time = b'{"n":0', 0, 0, 1000.0
        self.answers, self.transports = asyncio.Event(), []
        self.answers.set()
        self.keyring = Keyring(SECRET_KEYS)
        self.record, self.key = new_key("a", DEFAULT_SCOPES, MADE_AT, SECRET_KEYS)
        self.publish()

    def publish(self, **changes):
        self.record = msgspec.structs.replace(self.record, **changes)
        made = msgspec.structs.replace(
            self.record, mac=SECRET_KEYS.sign("red.api-keys", self.record.signed_bytes)
        )
        self.keyring.apply(a_record(msgspec.json.encode(made), key=made.key_id.encode()))

    async def live_now(self, client_id):
        assert client_id == "a"
        self.times += 1
        await self.answers.wait()
        return self.body and self.body + b',"as_of":{"offset":1,"time":"%d"}}' % self.times

    async def pause(self, seconds):
        self.looks, self.time = self.looks + 1, self.time + seconds
        await asyncio.sleep(0)

    async def looked(self, times):
        until = self.looks + times
        while self.looks < until:  # noqa: ASYNC110 each look is a turn of the loop
            await asyncio.sleep(0)

    @asynccontextmanager
    async def over_http(self, path, routes, *outermost):
        """A function that asks these routes with the key of the keyring."""
        known = authentication(
            self.keyring, is_known=lambda: True, is_public=lambda path: False, note=lambda act: None
        )
        application = web.Application(middlewares=[*outermost, problems(), known])
        application.add_routes(routes)
        async with (
            TestClient(TestServer(application, handler_cancellation=True)) as client,
            asyncio.timeout(30),
        ):
            headers = {"Authorization": f"Bearer {self.key}"}
            yield lambda method="GET", **given: client.request(method, path, headers=headers, params=given)

    @asynccontextmanager
    async def served(self, **clock):
        @web.middleware
        async def seen(request, handler):
            self.transports.append(request.transport)
            return await handler(request)

        clock = {"pause": self.pause, "now": lambda: self.time} | clock
        streams = LiveStreams(self.live_now, self.keyring, stream_places(), **clock)
        async with self.over_http("/v1/live/stream", streams.routes(), seen) as ask:
            yield ask

    async def asked_again(self):
        """Returns once live is asked once more."""
        before = self.times
        while self.times == before:  # noqa: ASYNC110 each is a turn of the loop
            await asyncio.sleep(0)


@pytest.fixture
def place():
    return Place()


async def message(stream):
    return await stream.content.readuntil(b"\n\n")


async def test_an_event_comes_at_once_and_then_only_when_the_counts_have_changed(place):
    async with place.served() as ask, await ask() as stream:
        assert stream.content_type == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-store"
        assert await message(stream) == b'event: live\ndata: {"n":0,"as_of":{"offset":1,"time":"1"}}\n\n'
        await place.looked(20)  # nothing changes but the time
        place.body = b'{"n":1'
        assert (await message(stream)).startswith(b'event: live\ndata: {"n":1,')
        assert LOOK_SECONDS >= 1 / 5


async def test_who_has_nothing_to_be_told_hears_a_comment_every_15_seconds(place):
    async with place.served() as ask, await ask() as stream:
        await message(stream)
        before = place.time
        assert [await message(stream), await message(stream)] == [COMMENT, COMMENT]
        assert COMMENT_SECONDS == 15
        assert place.time >= before + 2 * COMMENT_SECONDS - 1


async def test_the_twenty_first_stream_is_refused_and_a_closed_one_gives_its_place_free(place):
    async with place.served() as ask:
        streams = [await ask() for _ in range(STREAMS)]
        async with await ask() as refused:
            assert refused.status == 429
            assert (await refused.json())["code"] == "too_many_streams"
            assert "Retry-After" in refused.headers
        streams.pop().close()
        while (again := await ask()).status != 200:
            again.close()


@pytest.mark.parametrize("change", [{"revoked_at": MADE_AT}, {"scopes": ("measure",)}])
async def test_a_stream_ends_within_a_second_of_its_key(place, change):
    async with place.served() as ask, await ask() as stream:
        await message(stream)

        place.publish(**change)
        ended = place.time
        await stream.content.read()

    assert place.time <= ended + 1


async def test_a_stream_ends_when_nobody_holds_the_client_and_begins_once_somebody_does(place):
    async with place.served() as ask:
        async with await ask() as stream:
            await message(stream)
            place.body = None
            ended = place.time
            await stream.content.read()
            assert place.time < ended + 1
        async with await ask() as refused:
            assert (refused.status, (await refused.json())["code"]) == (503, "not_ready")
        waiting = asyncio.create_task(ask())
        await place.looked(2)
        place.body = b'{"n":2'
        async with await waiting as stream:
            assert b'"n":2' in await message(stream)


async def test_a_reader_that_is_a_mebibyte_behind_is_cut_off(place):
    async with place.served() as ask, await ask() as stream:
        await message(stream)
        place.body = b'{"n":"%s"' % (b"x" * (BEHIND + 1))
        with pytest.raises(ClientError):
            await stream.read()


async def test_a_parameter_that_does_not_exist_is_refused(place):
    async with place.served() as ask, await ask(at_least="0:1") as refused:
        assert (refused.status, (await refused.json())["code"]) == (400, "unknown_parameter")


async def test_the_streams_of_a_client_look_together(place):
    async with place.served(pause=asyncio.sleep, now=time.monotonic) as ask:
        streams = [await ask() for _ in range(STREAMS)]
        before, since = place.times, time.monotonic()
        for number in range(1, 4):
            place.body = b'{"n":%d' % number
            for stream in streams:
                while b'"n":%d' % number not in await message(stream):
                    pass
        assert place.times - before <= 1 + (time.monotonic() - since) / LOOK_SECONDS
        for stream in streams:
            stream.close()


async def test_a_stream_that_comes_later_is_told_what_is_so_then(place):
    async with place.served() as ask:
        async with await ask() as stream:
            await message(stream)
        place.body, place.time = b'{"n":1', place.time + LOOK_SECONDS
        async with await ask() as stream:
            assert b'"n":1' in await message(stream)


async def test_a_stream_whose_asker_leaves_while_all_wait_for_an_answer_ends_no_other(place):
    async with place.served() as ask:
        place.answers.clear()
        leaving, staying = asyncio.create_task(ask()), asyncio.create_task(ask())
        while len(place.transports) < 2:  # noqa: ASYNC110 each is a turn of the loop
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        place.answers.set()
        async with await staying as stream:
            assert b'"n":0' in await message(stream)


@pytest.mark.parametrize("change", [{"revoked_at": MADE_AT}, {"scopes": ("measure",)}])
async def test_a_stream_ends_with_its_key_also_while_who_holds_the_client_does_not_answer(place, change):
    async with place.served() as ask, await ask() as stream:
        await message(stream)
        place.answers.clear()
        await place.asked_again()

        place.publish(**change)

        async with asyncio.timeout(5):
            await stream.content.read()


async def test_a_comment_comes_also_while_who_holds_the_client_does_not_answer(place):
    async with place.served() as ask, await ask() as stream:
        await message(stream)
        place.answers.clear()
        await place.asked_again()
        place.time += COMMENT_SECONDS
        async with asyncio.timeout(5):
            assert await message(stream) == COMMENT


async def test_a_question_for_headers_alone_keeps_no_stream(place):
    async with place.served() as ask:
        for _ in range(STREAMS + 1):
            async with await ask("HEAD") as answer:
                assert (answer.status, answer.content_type) == (200, "text/event-stream")


async def test_a_reader_that_is_less_behind_holds_up_nothing(place):
    async with place.served() as ask, await ask() as stream:
        await message(stream)
        [transport], number = place.transports, 0
        while transport.get_write_buffer_size() < BEHIND // 4:
            number += 1
            place.body = b'{"n":"%d%s"' % (number, b"x" * (BEHIND // 8))
            await place.looked(2)
        await place.looked(20)
        assert not transport.is_closing()

"""A listener beside a fake stream: what it prints, forwards and repeats, and when it gives up."""

import asyncio
import json
import time
import uuid
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.signatures import new_secret
from red_stats.local.alert_listener import AlertListener, CannotGoOn, Forward
from tests.builders import an_alert
from tests.receiver import Receiver

SECRET = new_secret(bytes(range(32)))


def alerts(count):
    return [an_alert(id=str(uuid.uuid4()), seq=seq) for seq in range(1, count + 1)]


def event(offset, alert):
    return b"event: alert\nid: 1:%d\ndata: %b\n\n" % (offset, alert)


class Stream:
    """Answers in turn: a list of messages to stream, or (status, body, headers)."""

    def __init__(self, *answers, position=None):
        self.answers, self.asked, self.headers = list(answers), [], {}
        if position is not None:
            self.headers = {"Red-Position": position}

    async def get(self, request):
        self.asked.append((request.headers.get("Last-Event-ID"), dict(request.query)))
        assert request.headers["Authorization"] == "Bearer red_a_b"
        answer = (
            self.answers.pop(0) if self.answers else (403, {"code": "scope_missing", "detail": "End."}, {})
        )
        if isinstance(answer, tuple):
            status, body, headers = answer
            return web.json_response(body, status=status, headers=headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | self.headers)
        await response.prepare(request)
        for message in answer:
            await response.write(message)
        return response

    @asynccontextmanager
    async def heard(self, **given):
        """A listener, what it said, and what it waited for; the 403 behind the last answer ends it."""
        application = web.Application()
        application.router.add_get("/v1/alerts/stream", self.get)
        out, said, pauses = [], [], []

        async def pause(seconds):
            pauses.append(seconds)
            await asyncio.sleep(0)

        async with TestServer(application) as server, asyncio.timeout(30):
            options = {"subscription": None, "forward": None} | given
            listener = AlertListener(
                f"http://127.0.0.1:{server.port}", "red_a_b", True, out=out.append, say=said.append,
                pause=pause, jitter=lambda: 1.0, now=time.time, **options,
            )  # fmt: skip
            yield listener, out, said, pauses


async def test_each_alert_is_a_line_and_an_interruption_goes_on_behind_the_last_one():
    made = alerts(4)
    first = [event(3, made[0]), b": still here\n\n", event(5, made[1]), b"event: alert\nid: 1:6\ndata: {"]
    stream = Stream(first, [], [event(6, made[2]), event(9, made[3])], position="1:2")
    async with stream.heard(subscription="s") as (listener, out, said, pauses):
        with pytest.raises(CannotGoOn, match=r"scope_missing: End\."):
            await listener.run()
    assert [json.loads(line) for line in out] == [json.loads(alert) for alert in made]
    assert all("\n" not in line for line in out)
    assert [last for last, _ in stream.asked] == [None, "1:5", "1:5", "1:9"]
    assert all(query == {"subscription": "s"} for _, query in stream.asked)
    assert pauses == [0.5, 1.0, 0.5]
    assert len(said) == 6


async def test_an_interruption_before_the_first_alert_misses_nothing_either():
    stream = Stream([], [], position="1:7")
    async with stream.heard() as (listener, *_):
        with pytest.raises(CannotGoOn):
            await listener.run()
    assert [last for last, _ in stream.asked] == [None, "1:7", "1:7"]


async def test_it_waits_as_long_as_it_is_asked_to_and_longer_each_time():
    busy = {"code": "too_many_streams", "detail": "Too many."}
    stream = Stream((429, busy, {"Retry-After": "15"}), (503, {}, {}), (503, {}, {"Retry-After": "1"}))
    async with stream.heard() as (listener, _, _, pauses):
        with pytest.raises(CannotGoOn):
            await listener.run()
    assert pauses == [15.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "answer",
    [
        (401, {"code": "unauthenticated", "detail": "No."}, {}),
        (410, {"code": "position_gone", "detail": "Gone."}, {}),
        (404, {"code": "not_found", "detail": "No."}, {}),
        (302, {}, {"Location": "/elsewhere"}),
        (200, {}, {}),
        [event(1, b"{}")],
        [event(1, b"\xff")],
    ],
)
async def test_it_gives_up_where_trying_again_would_not_help(answer):
    stream = Stream(answer)
    async with stream.heard() as (listener, out, _, pauses):
        with pytest.raises(CannotGoOn):
            await listener.run()
    assert (out, pauses, len(stream.asked)) == ([], [], 1)


async def test_what_is_forwarded_is_what_the_dispatcher_would_send_and_a_failure_is_repeated_first():
    made = alerts(3)
    statuses = iter([500, 302, 200, 410, 204, 200])

    async def answer(request):
        return next(statuses)

    stream = Stream([event(n, alert) for n, alert in enumerate(made)])
    async with Receiver(answer) as receiver:
        receiver.secrets.append(SECRET)
        async with stream.heard(forward=Forward(receiver.url, SECRET)) as (listener, out, _, pauses):
            with pytest.raises(CannotGoOn):
                await listener.run()
    rows = [of_alert(b"c", alert, 0) for alert in made]
    assert [(got.id, got.raw) for got in receiver.got] == [
        (row.webhook_id, row.body) for row in [rows[0]] * 3 + [rows[1]] * 2 + [rows[2]]
    ]
    assert all(got.verified for got in receiver.got)
    assert (len(out), pauses[:3]) == (3, [0.5, 1.0, 0.5])


async def test_a_receiver_that_is_away_is_waited_for():
    receiver = Receiver()
    async with receiver:
        url, port = receiver.url, receiver.port
    stream = Stream([event(1, alert) for alert in alerts(1)])
    async with stream.heard(forward=Forward(url, SECRET)) as (listener, _, said, _):
        running = asyncio.create_task(listener.run())
        while len(said) < 3:  # noqa: ASYNC110 each is a turn of the loop
            await asyncio.sleep(0.01)
        async with Receiver(port=port) as receiver:
            await receiver.until(1)
            with suppress(CannotGoOn):
                await running
    assert len(receiver.got) == 1

"""The images of a client, in pages and as streams, from a real store."""

import asyncio
import csv
import io
import json
import random
import tracemalloc

import pytest
from aiohttp import ClientPayloadError

from red_common.events import rfc3339
from red_common.schemas import ROOT
from red_stats.domain.measurements import from_ms
from red_stats.store.clickhouse import StoreError
from red_stats.store.statistics import MEASUREMENT
from red_stats.web import measurements
from red_stats.web.measurements import STREAMS, TOGETHER, Measurements
from tests.red_stats.web.place import PARTITION, AtOnce, Images, Resources, asking, served

START = 1_774_500_000_000
LATER = START + 10_000_000
TIMES = 60  # distinct ones, so that many images share one


def text(at):
    return rfc3339(from_ms(at))


@pytest.fixture(scope="module")
def images(store):
    made, chance = Images(store), random.Random(1)
    for _ in range(3):
        made.add([START + chance.randrange(TIMES) for _ in range(100)])
    return made


@pytest.fixture
async def ask(store, images):
    async with asking(Measurements(Resources(store), AtOnce())) as ask:
        yield ask


def positions(found):
    return [f"{PARTITION}:{offset}" for _, _, offset in found]


def expected(images, order="newest", over=None, start=0, end=10**15):
    found = [one for one in images.within(start, end) if over is None or one[1] > over * 10000]
    return sorted(found, key=lambda one: (one[0], one[2]), reverse=order == "newest")


async def all_pages(ask, **given):
    cursor, found = None, []
    while True:
        status, page = await ask("/v1/measurements", cursor=cursor, **given)
        assert status == 200
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found
        assert len(page["items"]) == given["limit"]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("over", [None, 0.25, 1])
async def test_the_pages_hold_every_image_once_in_order(ask, images, limit, order, over):
    found = await all_pages(ask, limit=limit, order=order, over=over)
    assert [item["position"] for item in found] == positions(expected(images, order, over))
    _, part = await ask("/v1/measurements", limit=1000, **{"from": text(START + 9), "to": text(START + 20)})
    assert [item["position"] for item in part["items"]] == positions(
        expected(images, start=START + 9, end=START + 20)
    )


async def test_an_item_has_the_fields_of_the_event_and_its_position(ask, images):
    _, page = await ask("/v1/measurements", limit=1)
    [item] = page["items"]
    [(at, red, offset), *_] = expected(images)
    schema = json.loads((ROOT / "events" / "measurement.json").read_text())
    assert list(item) == [*MEASUREMENT] == [*schema["properties"], "position"]
    assert item == {
        "image_id": f'i"{offset},', "client_id": "a", "measured_at": text(at), "red": red / 10000,
        "red_pixels": 0, "pixels": 0, "red_excess": 0, "red_channel": 0, "width": 0, "height": 0,
        "format": "", "bytes": 0, "sha256": "", "rule": "", "decoder": "",
        "position": f"{PARTITION}:{offset}",
    }  # fmt: skip


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_images_recorded_between_two_pages_move_nothing(store, images, order):
    made = Images(store, seed=11 if order == "newest" else 12)
    later = LATER + made.seed * 1000
    made.add([later + n % 5 for n in range(60)])
    before = positions(expected(made, order))
    asked = {"order": order, "from": text(later - 100), "to": text(later + 200)}
    async with asking(Measurements(Resources(store), AtOnce())) as ask:
        _, first = await ask("/v1/measurements", limit=10, **asked)
        made.add([later + 100 if order == "newest" else later - 100] * 30)
        _, second = await ask("/v1/measurements", limit=1000, cursor=first["next"], **asked)
    assert [item["position"] for item in first["items"] + second["items"]] == before


async def test_a_cursor_belongs_to_its_question(ask):
    _, page = await ask("/v1/measurements", limit=5, order="oldest")
    for other in ({}, {"order": "oldest", "over": 0.5}, {"order": "oldest", "from": text(START)}):
        status, found = await ask("/v1/measurements", cursor=page["next"], **other)
        assert (status, found["parameter"]) == (400, "cursor")
    for bad in ("", "1-2-3", "x" * 30, f"{page['next']}0"):
        status, found = await ask("/v1/measurements", cursor=bad, order="oldest")
        assert (status, found["parameter"]) == (400, "cursor")


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("together", [7, 5000])
async def test_a_stream_holds_the_same_as_the_pages(ask, images, order, together, monkeypatch):
    monkeypatch.setattr(measurements, "TOGETHER", together)
    paged = await all_pages(ask, limit=1000, order=order, over=0.25)

    _, lines = await ask("/v1/measurements", raw=True, format="jsonl", order=order, over=0.25)
    _, table = await ask("/v1/measurements", raw=True, format="csv", order=order, over=0.25)

    assert [json.loads(line) for line in lines.splitlines()] == paged
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [{name: str(value) for name, value in item.items()} for item in paged] == [
        row | {"red": str(float(row["red"])) if float(row["red"]) not in (0, 1) else row["red"]}
        for row in rows
    ]


async def test_a_stream_without_images_is_a_header_or_nothing(ask):
    none = {"from": text(START - 9), "to": text(START - 8)}
    assert await ask("/v1/measurements", raw=True, format="csv", **none) == (
        200,
        ",".join(MEASUREMENT) + "\n",
    )
    assert await ask("/v1/measurements", raw=True, format="jsonl", **none) == (200, "")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"order": "biggest"}, "order"),
        ({"format": "xml"}, "format"),
        ({"format": "csv", "limit": 5}, "limit"),
        ({"over": "red"}, "over"),
        ({"from": text(5), "to": text(4)}, "from"),
    ],
)
async def test_what_cannot_be_asked_is_named(ask, given, name):
    status, found = await ask("/v1/measurements", **given)
    assert (status, found["code"], found["parameter"]) == (400, "invalid_parameter", name)


async def test_a_stream_that_cannot_be_ended_does_not_pass_for_whole(store, images, monkeypatch):
    monkeypatch.setattr(measurements, "TOGETHER", 50)

    class Failing(Resources):
        left = 2

        async def ask_patiently(self, client_id, question):
            self.left -= 1
            if self.left < 0:
                raise StoreError("away")
            return await self.ask_for(client_id, question)

    async with asking(Measurements(Failing(store), AtOnce())) as ask:
        with pytest.raises(ClientPayloadError):
            await ask("/v1/measurements", raw=True, format="jsonl")


async def test_a_client_has_so_many_streams_at_once_and_an_ended_one_makes_room(store, images):
    view = Measurements(Resources(store), AtOnce())
    async with asking(view) as ask:
        with view.streams.taken_by("a"), view.streams.taken_by("b"):
            for _ in range(STREAMS - 1):
                assert (await ask("/v1/measurements", raw=True, format="csv"))[0] == 200
            with view.streams.taken_by("a"), view.streams.taken_by("a"):
                status, found = await ask("/v1/measurements", format="csv")
                assert (status, found["code"]) == (429, "rate_limited")
        assert (await ask("/v1/measurements", raw=True, format="csv"))[0] == 200


async def test_a_stream_takes_no_more_memory_the_longer_it_is(store):
    many, peaks = Images(store, seed=20), []
    long_ago = {"from": text(0), "to": text(10**9)}
    for number in (6 * TOGETHER, 24 * TOGETHER):
        many.add(range(number))
        async with asking(Measurements(Resources(store), AtOnce())) as ask:
            tracemalloc.start()
            _, length = await ask("/v1/measurements", length=True, format="jsonl", **long_ago)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert length > 100 * number
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < length / 2


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_stream_goes_up_to_the_position_it_names_whatever_is_recorded_meanwhile(
    store, monkeypatch, order
):
    monkeypatch.setattr(measurements, "TOGETHER", 10)
    made = Images(store, seed=30 if order == "newest" else 31)
    first = LATER + made.seed * 1000
    made.add(range(first + 100, first + 160))
    before = positions(expected(made, order))
    given = {"from": text(first), "to": text(first + 300), "format": "jsonl", "order": order}

    class Recording(Resources):
        async def ask_patiently(self, client_id, question):
            found = await self.ask_for(client_id, question)
            made.add([first if order == "newest" else first + 200] * 5)  # behind what has been told
            return found

    upto = made.offset
    async with (
        served(Measurements(Recording(store), AtOnce())) as client,
        client.get("/v1/measurements", params=given) as stream,
    ):
        lines = (await stream.text()).splitlines()

    assert [json.loads(line)["position"] for line in lines] == before
    assert stream.headers[measurements.POSITION] == f"{PARTITION}:{upto}"


async def test_a_question_for_headers_alone_reads_no_images(store, images):
    class Reading(Resources):
        read = 0

        async def ask_patiently(self, client_id, question):
            self.read += 1
            return await self.ask_for(client_id, question)

    resources = Reading(store)
    given = {"format": "csv", "from": text(START), "to": text(START + TIMES)}
    async with served(Measurements(resources, AtOnce())) as client:
        for method, read in (("HEAD", 0), ("GET", 1)):
            async with client.request(method, "/v1/measurements", params=given) as answer:
                await answer.read()
                assert (answer.status, answer.content_type) == (200, "text/csv")
                assert measurements.POSITION in answer.headers
            assert resources.read == read


async def test_a_reader_that_takes_nothing_is_cut_off(store, images, monkeypatch):
    monkeypatch.setattr(measurements, "READER_SECONDS", 0.2)
    monkeypatch.setattr(measurements, "TOGETHER", 1000)

    class Endless(Resources):
        async def ask_patiently(self, client_id, question):
            return [(1, 1, "x" * 999 + "\n")] * 1000

    class Watched(Measurements):
        ended = asyncio.Event()

        async def get(self, request):
            try:
                return await super().get(request)
            finally:
                self.ended.set()

    view = Watched(Endless(store), AtOnce())
    async with (
        asyncio.timeout(30),
        served(view) as client,
        client.get("/v1/measurements", params={"format": "jsonl"}) as stream,
    ):
        await view.ended.wait()
        with pytest.raises(ClientPayloadError):
            await stream.read()

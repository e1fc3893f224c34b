"""Statistics, series and distributions of a real store, beside brute force."""

import random
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from red_common.events import rfc3339
from red_stats.domain.buckets import DAY, HOUR, MINUTE, starts
from red_stats.domain.measurements import from_ms
from red_stats.web.plans import Plans
from red_stats.web.statistics import MAX_BUCKETS, Statistics
from tests.red_stats.web.place import AtOnce, Images, Resources, asking

START = 1_774_500_000_000  # 2026-03-26, three days before clocks change in Europe
SPAN = 20 * DAY
MANY = [round(n / 50, 2) for n in range(51)]  # thresholds
FEW = [0, 0.25, 0.9999, 1]


def text(at):
    return rfc3339(from_ms(at))


def ms(moment):
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.fixture(scope="module")
def images(store):
    made, chance = Images(store), random.Random(1)
    times = [START + chance.randrange(SPAN) for _ in range(400)] + [START + HOUR] * 20
    made.add(times[:300])
    made.add(times[300:])
    return made


def a_view(store):
    return Statistics(Resources(store), AtOnce(), Plans(None), now=lambda: 1_790_000_000)


@pytest.fixture
async def ask(store, images):
    async with asking(a_view(store)) as ask:
        yield ask


def ranges():
    chance = random.Random(3)
    yield START, START + SPAN
    yield START - DAY, START + 2 * SPAN
    yield START + HOUR, START + HOUR + 1
    yield START, START
    for _ in range(6):
        start = START + chance.randrange(SPAN)
        yield start, start + chance.randrange(SPAN)


def told(found, thresholds):
    """What a bucket with these images says."""
    reds = [red for _, red, _ in found]
    return {
        "images": len(reds),
        "red_mean": round(sum(reds) / len(reds) / 10000, 4) if reds else None,
        "red_max": max(reds) / 10000 if reds else None,
        "over": [sum(red > round(t * 10000) for red in reds) for t in thresholds],
    }


@pytest.mark.parametrize("thresholds", [[], [0.25], FEW, MANY], ids=len)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize("bucket", ["minute", "hour", "day", "week", "month"])
async def test_every_bucket_equals_brute_force_and_buckets_tile_the_range(
    ask, images, bucket, zone, thresholds
):
    for start, end in ranges():
        if bucket == "minute":
            end = min(end, start + 5 * HOUR)
        given = {"from": text(start), "to": text(end), "bucket": bucket, "tz": zone, "threshold": thresholds}
        status, series = await ask("/v1/statistics/series", **given)
        assert status == 200
        assert (series["bucket"], series["tz"], series["thresholds"]) == (bucket, zone, thresholds)
        edges = [*starts(start, end, bucket, ZoneInfo(zone), MAX_BUCKETS), end]
        expected = [
            {"start": text(a), "end": text(b)} | told(images.within(a, b), thresholds)
            for a, b in pairwise(edges)
        ]
        assert series["items"] == expected


@pytest.mark.parametrize("bucket", ["hour", "day", "month"])
async def test_a_series_sums_to_the_statistic_of_its_range_at_every_threshold(ask, bucket):
    for start, end in ranges():
        for thresholds in (FEW, MANY):
            given = {"from": text(start), "to": text(end), "threshold": thresholds}
            _, whole = await ask("/v1/statistics", **given)
            _, series = await ask("/v1/statistics/series", bucket=bucket, tz="America/Havana", **given)
            items = series["items"]
            assert sum(item["images"] for item in items) == whole["images"]
            sums = [sum(item["over"][n] for item in items) for n in range(len(thresholds))]
            assert sums == [one["over"] for one in whole["thresholds"]]
            assert series["as_of"] == whole["as_of"]


@pytest.mark.parametrize("bins", [None, 1, 4, 100, 10000])
async def test_a_distribution_equals_brute_force(ask, images, bins):
    quantiles = ["0", "0.5", "0.9999", "1", "1e-3", ".25"]
    for start, end in ranges():
        _, found = await ask(
            "/v1/statistics/distribution",
            bins=bins,
            quantile=quantiles,
            **{"from": text(start), "to": text(end)},
        )
        reds = sorted(red for _, red, _ in images.within(start, end))
        number = bins or 100
        counts = [0] * number
        for red in reds:
            counts[min(red * number // 10000, number - 1)] += 1
        assert found["images"] == len(reds)
        assert found["bins"] == counts
        assert found["red_min"] == (reds[0] / 10000 if reds else None)
        assert found["red_max"] == (reds[-1] / 10000 if reds else None)
        assert found["red_mean"] == (round(sum(reds) / len(reds) / 10000, 4) if reds else None)
        for one in found["quantiles"]:
            least = [r for r in reds if sum(x <= r for x in reds) >= one["quantile"] * len(reds) - 1e-9]
            assert one["red"] == (least[0] / 10000 if reds else None)


async def test_without_quantiles_there_are_the_usual_ones(ask):
    _, found = await ask("/v1/statistics/distribution", **{"from": text(START), "to": text(START + DAY)})
    assert [one["quantile"] for one in found["quantiles"]] == [0.5, 0.9, 0.95, 0.99]
    assert len(found["bins"]) == 100


async def test_each_answer_names_its_client_its_range_and_how_much_was_recorded(ask, images):
    given = {"from": text(START), "to": text(START + DAY)}
    for path in ("/v1/statistics", "/v1/statistics/series?bucket=day", "/v1/statistics/distribution"):
        _, found = await ask(path, **given)
        assert (found["client_id"], found["from"], found["to"]) == ("a", given["from"], given["to"])
        assert found["as_of"] == {"partition": 2, "offset": images.offset, "time": "2026-09-21T14:13:20.000Z"}


async def test_an_empty_range_has_no_buckets_and_many_buckets_are_the_most_there_are(ask):
    _, none = await ask("/v1/statistics/series", bucket="day", **{"from": text(START), "to": text(START)})
    assert none["items"] == []
    _, most = await ask(
        "/v1/statistics/series", bucket="minute", **{"from": text(0), "to": text(MAX_BUCKETS * MINUTE)}
    )
    assert len(most["items"]) == MAX_BUCKETS
    status, more = await ask(
        "/v1/statistics/series", bucket="minute", **{"from": text(0), "to": text(MAX_BUCKETS * MINUTE + 1)}
    )
    assert (status, more["code"]) == (400, "too_many_buckets")


async def test_buckets_far_beyond_what_the_store_can_hold_are_empty(ask):
    given = {"from": "9999-12-01T00:00:00Z", "to": "9999-12-31T23:59:59.999Z"}
    _, found = await ask("/v1/statistics/series", bucket="day", tz="Pacific/Kiritimati", **given)
    assert len(found["items"]) == 32
    assert not any(item["images"] for item in found["items"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("series?bucket=year", "bucket"),
        ("series", "bucket"),
        ("series?bucket=day&tz=Mars/Olympus", "tz"),
        ("series?bucket=day&tz=../../etc/passwd", "tz"),
        ("series?bucket=day&tz=Europe", "tz"),
        ("series?bucket=day&tz=", "tz"),
        ("series?bucket=day&tz=%00", "tz"),
        ("distribution?bins=0", "bins"),
        ("distribution?bins=3", "bins"),
        ("distribution?bins=10001", "bins"),
        ("distribution?bins=x", "bins"),
        ("distribution?quantile=1.1", "quantile"),
        ("distribution?quantile=-0.1", "quantile"),
        ("distribution?quantile=nan", "quantile"),
        ("distribution?quantile=1e999", "quantile"),
        ("distribution?" + "&".join(["quantile=0.5"] * 101), "quantile"),
    ],
)
async def test_what_cannot_be_asked_is_named(ask, path, name):
    status, found = await ask(f"/v1/statistics/{path}", **{"from": text(START), "to": text(START + DAY)})
    assert (status, found["code"], found["parameter"]) == (400, "invalid_parameter", name)


async def test_the_range_is_required_and_runs_forward(ask):
    for path in ("series?bucket=day", "distribution?bins=4"):
        status, _ = await ask(f"/v1/statistics/{path}", **{"from": text(START)})
        assert status == 400
        status, found = await ask(f"/v1/statistics/{path}", **{"from": text(START), "to": text(START - 1)})
        assert (status, found["parameter"]) == (400, "from")


def test_the_span_has_a_day_of_23_hours():
    change = ms("2026-03-29T01:00:00+00:00")
    assert START < change < START + SPAN
    assert datetime.fromtimestamp(change / 1000, UTC).astimezone(ZoneInfo("Europe/Berlin")).hour == 3


@pytest.mark.parametrize("path", ["/v1/statistics", "/v1/statistics/distribution"])
async def test_an_answer_is_admitted_once_so_that_it_is_not_refused_when_it_is_half_made(store, images, path):
    resources = Resources(store)
    async with asking(Statistics(resources, AtOnce(), Plans(None))) as ask:
        assert (await ask(path, **{"from": text(START), "to": text(START + SPAN)}))[0] == 200
    assert resources.admitted == 1

"""Previews from a real store: exact up to their offset, bounded, and clear about what cannot be asked."""

import itertools
import random
from contextlib import asynccontextmanager

import pytest

from red_common.events import rfc3339
from red_stats.domain.erasure import Erased
from red_stats.domain.measurements import from_ms
from red_stats.web import preview
from tests.red_stats.web.place import PARTITION, AtOnce, Resources, served

CLIENT = "a"
DAY_MS = 86_400_000
FIRST = 20_000 * DAY_MS
COUNT = 500
RANGE = {"from": rfc3339(from_ms(FIRST)), "to": rfc3339(from_ms(FIRST + 2 * DAY_MS))}
PATH = "/v1/subscriptions/preview"


@pytest.fixture(scope="module")
def reds(store):
    """Amounts (bp) in the order of their offsets, a measurement every 300 s, not in the order of time."""
    chance = random.Random(7)
    reds = [chance.randrange(10_001) for _ in range(COUNT)]
    rows = [
        f"('{CLIENT}', {(FIRST + at_of(n)) / 1000:.3f}, {red}, 'image-{n}', {PARTITION}, {n * 2}, 0)"
        for n, red in enumerate(reds)
    ]
    others = [
        f"('other', {FIRST / 1000:.3f}, 10000, 'other', {PARTITION}, 7, 0)",
        f"('{CLIENT}', {FIRST / 1000 - 0.001:.3f}, 10000, 'before', {PARTITION}, 9, 0)",
        f"('{CLIENT}', {FIRST / 1000 + 172800:.3f}, 10000, 'behind', {PARTITION}, 11, 0)",
        f"('', 0, 0, '', {PARTITION}, {COUNT * 2}, 0)",
        f"('{CLIENT}', {FIRST / 1000:.3f}, 10000, 'not recorded whole', {PARTITION}, {COUNT * 2 + 1}, 0)",
    ]
    store.command(
        "INSERT INTO red.measurements (client_id, measured_at, red_bp, image_id, kafka_partition,"
        f" kafka_offset, batch_at) VALUES {', '.join(rows + others)}"
    )
    return reds


def at_of(number):
    """Ms since FIRST: pairs are logged the wrong way round."""
    return (number ^ 1) * 300_000


@asynccontextmanager
async def asking(resources, scope="subscriptions"):
    """A function that asks for a preview: (status, body)."""
    async with served(preview.Previews(resources, AtOnce(), lambda: 1_790_000_000.0), scope) as client:

        async def ask(query="", raw=None, **fields):
            given = {"json": RANGE | fields} if raw is None else {"data": raw}
            async with client.post(PATH + query, **given) as found:
                return found.status, await found.json()

        yield ask


@pytest.fixture
async def ask(store, reds):
    async with asking(Resources(store)) as ask:
        yield ask


async def test_a_preview_is_of_the_clients_images_in_the_range_up_to_the_recorded_offset(ask, reds):
    status, found = await ask(threshold=0.25)

    over = [n for n, red in enumerate(reds) if red > 2500]
    assert status == 200
    assert (found["images"], found["alerts"], found["webhooks"]) == (COUNT, len(over), len(over))
    assert found["samples"] == [f"image-{over[round(n * (len(over) - 1) / 9)]}" for n in range(10)]
    assert found["as_of"] == {
        "partition": PARTITION,
        "offset": 1000,
        "time": rfc3339(from_ms(1_790_000_000_000)),
    }
    assert [day["start"] for day in found["days"]] == [RANGE["from"], rfc3339(from_ms(FIRST + DAY_MS))]
    assert [day["images"] for day in found["days"]] == [288, COUNT - 288]
    assert "threshold" not in found


async def test_a_crossing_follows_the_order_of_offsets(ask, reds):
    def crossings(threshold, back):
        armed, alerts = True, []
        for number, red in enumerate(reds):
            if armed and red > threshold:
                alerts.append(number)
            armed = red <= back or (armed and red <= threshold)
        return len(alerts)

    for threshold, back in itertools.product((0.9, 0.5), (None, 0.5, 0.1)):
        _, found = await ask(threshold=threshold, trigger="crossing", rearm_below=back)

        assert found["alerts"] == crossings(
            threshold * 10_000, (back or threshold) * 10_000 if back else threshold * 10_000
        )


async def test_a_target_finds_the_smallest_threshold_and_previews_it(ask):
    for target in (0, 3, 1.5, 1000):
        status, found = await ask(target_per_day=target, min_interval=60)
        _, same = await ask(threshold=found["threshold"], min_interval=60)
        _, lower = await ask(threshold=max(0, round(found["threshold"] - 0.0001, 4)))

        assert status == 200
        assert found == {"threshold": found["threshold"], **same}
        assert found["alerts"] <= 2 * target
        assert lower["alerts"] > 2 * target or found["threshold"] == 0


async def test_a_range_without_images_has_days_and_nothing_else(ask):
    span = {"from": "9998-12-31T23:00:00Z", "to": "9999-01-01T01:00:00+01:00"}

    status, found = await ask(threshold=0, **span)

    assert (status, found["images"], found["samples"], found["busiest_hours"]) == (200, 0, [], [])
    assert found["days"] == [{"start": "9998-12-31T23:00:00.000Z", "images": 0, "alerts": 0, "webhooks": 0}]
    status, found = await ask(target_per_day=1, trigger="crossing", rearm_below=0.5, **span)
    assert (status, found["threshold"]) == (200, 0.5)
    status, found = await ask(threshold=0, to=RANGE["from"])
    assert (status, found["images"], found["days"]) == (200, 0, [])


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "invalid_body"),
        ({"threshold": 0.5, "target_per_day": 3}, 400, "invalid_body"),
        ({"threshold": None}, 400, "invalid_body"),
        ({"threshold": "0.5"}, 400, "invalid_body"),
        ({"threshold": 1.01}, 422, "threshold_out_of_range"),
        ({"threshold": 0.12345}, 422, "threshold_out_of_range"),
        ({"target_per_day": True}, 400, "invalid_body"),
        ({"target_per_day": -1}, 422, "value_out_of_range"),
        ({"target_per_day": 1_000_001}, 422, "value_out_of_range"),
        ({"target_per_day": 0.00001}, 422, "value_out_of_range"),
        ({"threshold": 0.5, "trigger": "often"}, 400, "invalid_body"),
        ({"threshold": 0.5, "rearm_below": 0.4}, 400, "invalid_body"),
        ({"threshold": 0.5, "trigger": "crossing", "rearm_below": 0.5001}, 422, "threshold_out_of_range"),
        ({"threshold": 0.5, "trigger": "crossing", "rearm_below": -0.1}, 422, "threshold_out_of_range"),
        ({"threshold": 0.5, "trigger": "crossing", "rearm_below": "0"}, 400, "invalid_body"),
        ({"threshold": 0.5, "min_interval": -1}, 422, "value_out_of_range"),
        ({"threshold": 0.5, "min_interval": 86_401}, 422, "value_out_of_range"),
        ({"threshold": 0.5, "min_interval": 10**30}, 422, "value_out_of_range"),
        ({"threshold": 0.5, "min_interval": 1.5}, 400, "invalid_body"),
        ({"threshold": 0.5, "max_age": 10}, 400, "invalid_body"),
        ({"threshold": 0.5, "from": "2026-01-01T00:00:00"}, 400, "invalid_body"),
        ({"threshold": 0.5, "from": 17}, 400, "invalid_body"),
        ({"threshold": 0.5, "from": "9999-01-01T00:00:00Z"}, 400, "invalid_body"),
        ({"threshold": 0.5, "from": "1970-01-01T00:00:00Z"}, 400, "too_many_buckets"),
    ],
)
async def test_what_cannot_be_previewed_is_told_why(ask, fields, status, code):
    given, problem = await ask(**fields)

    assert (given, problem["code"]) == (status, code)
    assert problem["detail"].endswith(".")


async def test_a_number_without_end_costs_nothing(ask):
    for number in ("0e999999999999999999", "1e-999999999999", "0." + "0" * 50_000, "1e400", "-0"):
        for name in ("threshold", "target_per_day"):
            raw = f'{{"from": "{RANGE["from"]}", "to": "{RANGE["to"]}", "{name}": {number}}}'
            status, _ = await ask(raw=raw.encode())
            assert status in (200, 422), (name, number[:30])


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"\xff", b"[" * 50_000, b'{"from": "\\ud800"}'])
async def test_a_body_that_is_none_is_refused(ask, raw):
    status, problem = await ask(raw=raw)

    assert (status, problem["code"]) == (400, "invalid_body")


async def test_parameters_and_scopes_are_checked_as_everywhere(ask, store):
    assert (await ask("?colour=red", threshold=0))[1]["code"] == "unknown_parameter"
    assert (await ask("?at_least=9:1", threshold=0))[1]["code"] == "invalid_parameter"
    assert (await ask("?client=other", threshold=0))[1]["code"] == "admin_only"
    async with asking(Resources(store), "statistics") as ask_without_scope:
        assert (await ask_without_scope(threshold=0))[1]["code"] == "scope_missing"


async def test_more_images_than_one_answer_may_hold_are_refused(ask, monkeypatch):
    monkeypatch.setattr(preview, "MOST_IMAGES", COUNT)  # and one that is not recorded whole
    status, problem = await ask(threshold=0)
    assert (status, problem["code"]) == (422, "too_many")

    monkeypatch.setattr(preview, "MOST_IMAGES", COUNT + 1)
    assert (await ask(threshold=0))[0] == 200


@pytest.mark.parametrize("kept", [0, 1, 123])
async def test_what_is_erased_is_in_no_preview(store, reds, kept):
    class Erasing(Resources):
        def erased_of(self, client_id):
            assert client_id == CLIENT
            return Erased(2 * (COUNT - kept), 0)

    over = sum(red > 2500 for red in reds[COUNT - kept :])
    async with asking(Erasing(store)) as ask:
        _, found = await ask(threshold=0.25)
        _, aimed = await ask(target_per_day=0)

    assert (found["images"], found["alerts"], len(found["samples"])) == (kept, over, min(10, over))
    assert sum(day["images"] for day in found["days"]) == kept
    assert aimed["threshold"] == max(reds[COUNT - kept :], default=0) / 10_000

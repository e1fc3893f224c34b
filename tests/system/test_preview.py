"""A preview beside what live really raised."""

import time
import uuid
from collections import Counter

from aiokafka import AIOKafkaProducer

from red_common.events import rfc3339
from red_stats import topics
from red_stats.domain.measurements import from_ms
from tests.builders import a_measurement
from tests.services import an_api, running, worker

FIRST = 1_700_000_000_000
STEP_MS = 317_000


async def measured(kafka, client_id, reds, start):
    """Images a step of time apart, in this order on the topic; the position of the last."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        sent = [
            await producer.send(
                topics.MEASUREMENTS,
                a_measurement(client_id, red, start + n * STEP_MS, image_id=str(uuid.uuid4())),
                client_id.encode(),
            )
            for n, red in enumerate(reds)
        ]
        last = [await future for future in sent][-1]
    return f"{last.partition}:{last.offset}"


async def alerts_of(api, stats, subscription, position):
    """Every alert of a subscription, in its order."""
    found, after = [], "0"
    while after is not None:
        url = f"{stats.url}/v1/alerts?subscription={subscription['id']}&limit=1000&after={after}"
        status, page = await api.call("GET", f"{url}&at_least={position}")
        assert status == 200
        found += page["items"]
        after = page["next"]
    return found


async def previewed(api, stats, position="", **fields):
    query = f"?at_least={position}" if position else ""
    return await api.call("POST", f"{stats.url}/v1/subscriptions/preview{query}", json=fields)


async def test_a_preview_equals_what_live_raised_over_changes_of_versions(api, stats, kafka):
    thresholds, each = [0.3, 0.75, 0, 1, 0.5], 700
    subscription = await api.subscribed(stats, "https://example.com/never", thresholds[0], max_age=None)
    one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
    ranges = []
    for version, threshold in enumerate(thresholds, 1):
        if version > 1:
            status, changed = await api.call("PATCH", one, json={"threshold": threshold})
            assert (status, changed["version"]) == (200, version)
        start = FIRST + version * each * STEP_MS
        reds = [round((n * 0.0137 * version) % 1, 4) for n in range(each)]
        position = await measured(kafka, api.client_id, reds, start)
        ranges.append((rfc3339(from_ms(start)), rfc3339(from_ms(start + each * STEP_MS))))

    raised = await alerts_of(api, stats, subscription, position)

    for version, (threshold, (start, end)) in enumerate(zip(thresholds, ranges, strict=True), 1):
        status, found = await previewed(
            api, stats, position, **{"from": start, "to": end, "threshold": threshold}
        )
        mine = [alert for alert in raised if alert["version"] == version]
        assert (status, found["images"], found["alerts"]) == (200, each, len(mine))
        by_day = Counter(alert["measured_at"][:10] for alert in mine)
        assert {day["start"][:10]: day["alerts"] for day in found["days"] if day["alerts"]} == by_day
        by_hour = Counter(alert["measured_at"][:13] for alert in mine)
        busiest = sorted(by_hour, key=lambda hour: (-by_hour[hour], hour))[:10]
        assert [(hour["start"][:13], hour["alerts"]) for hour in found["busiest_hours"]] == [
            (hour, by_hour[hour]) for hour in busiest
        ]
        ids = [alert["image_id"] for alert in mine]
        assert set(found["samples"]) <= set(ids)
        assert found["samples"][:1] + found["samples"][-1:] == ids[:1] + ids[-1:]
        if 0 < threshold < 1:  # the inverse: with as many a day as there were, no higher threshold is needed
            days = each * STEP_MS / 86_400_000
            target = {"from": start, "to": end, "target_per_day": round(len(mine) / days + 0.0001, 4)}
            status, inverse = await previewed(api, stats, **target)
            assert (status, inverse["threshold"] <= threshold, inverse["alerts"]) == (200, True, len(mine))
    assert len(raised) > each


async def test_a_preview_of_a_crossing_equals_what_live_raised_over_changes_of_versions(api, stats, kafka):
    triggers = [
        {"threshold": 0.5, "trigger": "crossing"},
        {"threshold": 0.6, "trigger": "crossing", "rearm_below": 0.2},
        {"threshold": 0.6, "trigger": "each"},
        {"threshold": 0.9, "trigger": "crossing", "rearm_below": 0.0},
    ]
    subscription = await api.subscribed(stats, "https://example.com/never", max_age=None, **triggers[0])
    one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
    ranges, images = [], 500
    for version, trigger in enumerate(triggers, 1):
        if version > 1:
            status, changed = await api.call("PATCH", one, json={"rearm_below": None} | trigger)
            assert (status, changed["version"]) == (200, version)
        start = FIRST + version * images * STEP_MS
        reds = [round((n * 0.137 * version) % 1, 2) for n in range(images)]
        position = await measured(kafka, api.client_id, reds, start)
        ranges.append({"from": rfc3339(from_ms(start)), "to": rfc3339(from_ms(start + images * STEP_MS))})

    raised = await alerts_of(api, stats, subscription, position)

    for version, (trigger, span) in enumerate(zip(triggers, ranges, strict=True), 1):
        status, found = await previewed(api, stats, position, **span, **trigger)
        mine = [alert for alert in raised if alert["version"] == version]
        assert (status, found["images"], found["alerts"]) == (200, images, len(mine))
        by_day = Counter(alert["measured_at"][:10] for alert in mine)
        assert {day["start"][:10]: day["alerts"] for day in found["days"] if day["alerts"]} == by_day
    assert len(raised) > images / 2


async def test_an_image_of_a_moment_ago_is_previewed_with_at_least(api, stats, kafka):
    now = int(time.time() * 1000)
    position = await measured(kafka, api.client_id, [0.9], now)
    span = {"from": rfc3339(from_ms(now)), "to": rfc3339(from_ms(now + 1))}

    status, found = await previewed(api, stats, position, **span, threshold=0.5)

    assert (status, found["images"], found["alerts"], len(found["samples"])) == (200, 1, 1, 1)
    assert found["as_of"]["offset"] >= int(position.partition(":")[2])


async def test_a_foreign_key_previews_nothing_of_another_client_and_an_admin_does(api, service, stats, kafka):
    position = await measured(kafka, api.client_id, [0.9] * 3, FIRST)
    asked = {"from": "2023-01-01T00:00:00Z", "to": "2024-01-01T00:00:00Z", "threshold": 0.5}
    path = f"{stats.url}/v1/subscriptions/preview?client={api.client_id}"
    async with an_api(kafka, service, stats) as stranger:
        assert (await previewed(stranger, stats, position, **asked))[1]["images"] == 0
        assert (await stranger.call("POST", path, json=asked))[0] == 403
    async with an_api(kafka, service, stats, scopes=("admin",)) as admin:
        status, found = await admin.call("POST", path, json=asked)
        assert (status, found["images"], found["alerts"]) == (200, 3, 3)


async def test_there_is_no_subscription_called_preview(api, stats):
    url = f"{stats.url}/v1/subscriptions/preview"
    for method, status in (("GET", 404), ("DELETE", 404), ("PUT", 405)):
        assert (await api.call(method, url))[0] == status


async def test_a_worker_without_the_store_previews_through_its_owner(api, service, stats, kafka):
    position = await measured(kafka, api.client_id, [0.9, 0.1] * 50, FIRST)
    asked = {"from": "2023-01-01T00:00:00Z", "to": "2024-01-01T00:00:00Z", "threshold": 0.5}
    _, expected = await previewed(api, stats, position, **asked)
    other = worker(kafka, stats.folder, "live")
    with running(other):
        status, found = await previewed(api, other, **asked)

    assert status == 200
    del found["as_of"]["time"], expected["as_of"]["time"]
    assert found == expected
    assert found["alerts"] == 50

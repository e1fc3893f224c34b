"""Statistics of running services: what they say at one position agrees."""

import json
import random
import time

from red_common.events import rfc3339
from red_stats.domain.measurements import from_ms
from tests.services import ALL
from tests.system.records import measured


async def test_distribution_series_statistic_live_and_images_agree_at_one_position(api, stats, kafka):
    chance = random.Random(4)
    reds = [chance.randrange(10001) / 10000 for _ in range(300)]
    *_, last = await measured(kafka, api.client_id, reds)
    at = f"at_least={last}"
    now = int(time.time() * 1000)
    day = f"from={rfc3339(from_ms(now - 86_400_000))}&to={rfc3339(from_ms(now + 86_400_000))}"

    _, live = await api.call("GET", f"{stats.url}/v1/live?{at}")
    _, whole = await api.call("GET", f"{stats.url}/v1/statistics?{ALL}&threshold=0.4&{at}")
    _, spread = await api.call("GET", f"{stats.url}/v1/statistics/distribution?{ALL}&{at}")
    _, months = await api.call(
        "GET", f"{stats.url}/v1/statistics/series?{day}&bucket=hour&tz=Asia/Kathmandu&threshold=0.4&{at}"
    )
    _, page = await api.call("GET", f"{stats.url}/v1/measurements?over=0.4&limit=1000&{at}")

    assert whole["images"] == spread["images"] == live["totals"]["24h"]["images"] == 300
    assert spread["bins"] == live["histogram"]
    assert sum(item["images"] for item in months["items"]) == 300
    over = sum(red > 0.4 for red in reds)
    assert over == whole["over"] == sum(item["over"][0] for item in months["items"]) == len(page["items"])
    assert sorted(item["red"] for item in page["items"]) == sorted(red for red in reds if red > 0.4)


async def test_a_stream_holds_what_was_recorded_when_it_began(api, stats, kafka):
    positions = await measured(kafka, api.client_id, [0.1, 0.2, 0.3])
    url = f"{stats.url}/v1/measurements"
    async with api.session.get(
        f"{url}?format=jsonl&order=oldest&at_least={positions[-1]}",
        headers={"Authorization": f"Bearer {api.key}"},
    ) as answer:
        lines = [json.loads(line) async for line in answer.content]
    assert [line["position"] for line in lines] == positions
    assert int(answer.headers["Red-Position"].split(":")[1]) >= int(positions[-1].split(":")[1])


async def test_images_of_others_are_not_there_and_the_scope_is_needed(api, stats, kafka):
    await measured(kafka, "somebody-else", [0.9])
    _, page = await api.call("GET", f"{stats.url}/v1/measurements")
    assert page == {"items": [], "next": None}
    for path in ("measurements", "statistics/series?bucket=day", "statistics/distribution"):
        status, _ = await api.call("GET", f"{stats.url}/v1/{path}", params={"client": "somebody-else"})
        assert status == 403

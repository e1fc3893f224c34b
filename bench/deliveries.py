"""A page of `/v1/deliveries` of a client with a million deliveries, beside the smallest question there is."""

import time
from statistics import median
from typing import Any

from bench.runs import a_store, told
from red_stats.store import alert_queries, queries
from red_stats.store.alert_queries import Made
from red_stats.store.clickhouse import Store
from red_stats.store.queries import Question

DELIVERIES = 1_000_000
PARTS = 10
FIRST = 1_790_000_000_000
ROUNDS = 25
LIMIT = 101
GOAL_MS = 50.0


def main() -> None:
    with a_store() as store:
        for part in range(PARTS):
            store.command(_insert(part))
        middle = Made(FIRST + DELIVERIES // 2 * 100, "x")
        questions: dict[str, Question] = {
            "SELECT 1": queries.alive(),
            "newest page": _page(),
            "a page in the middle": _page(before=middle),
            "of one subscription of 50": _page(subscription_id="s7"),
            "one of a thousand is exhausted": _page(state="exhausted"),
            "one delivery": alert_queries.delivery("big", delivery_id=str(store.query(*_page())[0][0])),
            "all rows of the client": _page(among=None),
        }
        took = {name: _ms(store, question) for name, question in questions.items()}
    for name, ms in took.items():
        print(f"{name:<32} {ms:8.1f} ms  {ms / took['SELECT 1']:7.1f} times SELECT 1")
    told("newest page / goal of 50 ms", took["newest page"] / GOAL_MS, 1, at_least=False)


def _page(**filters: Any) -> Question:
    return alert_queries.deliveries("big", **{"limit": LIMIT, "among": 4 * LIMIT} | filters)


def _ms(store: Store, question: Question) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        store.query(*question)
        times.append(1000 * (time.perf_counter() - began))
    return median(times)


def _insert(part: int) -> str:
    """Deliveries of one client, each made 100 ms after the one before, with two rows."""
    each = DELIVERIES // PARTS
    made = f"fromUnixTimestamp64Milli({FIRST} + d * 100)"
    return f"""
        INSERT INTO red.deliveries (client_id, id, webhook_id, alert_id, subscription_id, version, state,
            attempt, at, status, ms, enqueued_at, kafka_offset, batch_at)
        SELECT
            'big', lower(hex(MD5(toString(d)))) AS name, 'msg_' || name, 'a' || name,
            's' || toString(d % 50), 1,
            if(number % 2 = 0, 'pending', if(d % 1000 = 7, 'exhausted', 'delivered')), number % 2,
            {made}, number % 2 * 200, number % 2 * 12, {made}, number + {part * each * 2}, {made}
        FROM (SELECT number, intDiv(number, 2) + {part * each} AS d FROM numbers({each * 2}))"""

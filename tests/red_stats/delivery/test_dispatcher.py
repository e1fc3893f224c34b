"""The dispatcher between its queues, its table and its endpoints: nothing that may go out is left waiting."""

import asyncio
import time

import msgspec
import pytest

from red_stats import topics
from red_stats.agents.deliveries import enqueue_deliveries
from red_stats.domain import deliveries
from red_stats.domain.deliveries import url_mark
from red_stats.domain.retries import BREAKER_OPENS_AFTER
from tests.builders import a_batch, a_record, an_alert
from tests.red_stats.delivery.place import AMPLE, ASKS, FAILS, HUNG, NEW, OLD, Place

HOUR = 3_600_000


@pytest.fixture
async def place():
    place = Place()
    yield place
    await place.dispatcher.stop()


async def test_what_failed_in_another_process_is_probed_soon_after_it_was_assigned(place):
    place.put("a", attempt=2, due=int(time.time() * 1000) + HOUR, wait=HOUR, tried=url_mark(OLD))
    await place.dispatcher.on_assigned(place.state)
    await place.until(lambda: place.attempts.posts == [("a", OLD)])


async def test_how_an_endpoint_failed_is_known_also_of_a_delivery_whose_row_is_being_committed(place):
    place.attempts.answers[OLD] = FAILS
    row = place.put("a")
    place.state.tables.pending.put("a", None)
    place.states.is_committing = True
    place.dispatcher.begin(0, [row])
    await place.until(
        lambda: place.states.waits
    )  # the POST has ended, its outcome waits for the row's commit
    place.state.tables.pending.put("a", row)
    place.states.is_committing = False
    await place.until_settled()
    [queue] = place.dispatcher._queues.values()
    assert queue.has_failed
    assert queue.next_at() - place.dispatcher._queue_time() < 5_000


async def test_what_one_url_asked_for_holds_for_no_other(place):
    place.attempts.answers[OLD] = ASKS
    place.push("t", type="red.test")
    await place.until_settled()
    place.move(NEW)
    place.push("a")
    await place.until(lambda: ("a", NEW) in place.attempts.posts)


async def test_a_url_that_changes_while_a_post_is_under_way_gets_that_delivery_at_once(place):
    place.attempts.answers[OLD] = ASKS
    place.attempts.hold.clear()
    place.push("a")
    await place.until(lambda: place.attempts.posts)
    place.move(NEW)
    place.attempts.hold.set()
    await place.until(lambda: place.attempts.posts == [("a", OLD), ("a", NEW)])
    await place.until_settled()
    assert not place.state.tables.pending


async def test_retry_after_holds_after_a_rebalance_for_new_alerts_too(place):
    place.attempts.answers[OLD] = ASKS
    place.push("a")
    await place.until_settled()
    await place.assigned_again()
    place.push("b")
    await place.until_settled()
    await asyncio.sleep(0.1)  # long enough for a POST that should not be
    assert place.attempts.posts == [("a", OLD)]
    place.move(NEW)
    await place.until(lambda: sorted(place.attempts.posts[1:]) == [("a", NEW), ("b", NEW)])


async def test_retry_after_holds_though_a_post_that_was_under_way_succeeds_and_for_test_events_too(place):
    place.attempts.hold.clear()
    place.push("asks")
    place.push("taken")
    await place.until(lambda: len(place.attempts.posts) == 2)
    place.attempts.outcomes |= {"asks": ASKS}
    place.attempts.hold.set()
    await place.until_settled()
    assert list(place.state.tables.pending) == ["asks"]
    place.push("new")
    place.push("t", type="red.test")
    await place.until_settled()
    await asyncio.sleep(0.1)  # long enough for a POST that should not be
    assert place.attempts.posts == [("asks", OLD), ("taken", OLD)]


async def test_test_events_go_out_while_the_breaker_is_open_and_what_waits_for_it_does_not(place):
    place.attempts.answers[OLD] = FAILS
    for number in range(BREAKER_OPENS_AFTER):
        place.push(f"failed{number}")
    await place.until(lambda: len(place.attempts.posts) == BREAKER_OPENS_AFTER)
    await place.until_settled()
    place.push("waits")
    [queue] = place.dispatcher._queues.values()
    at = queue.next_at()
    for name in ("first", "second"):
        place.push(name, type="red.test")
    await place.until(lambda: len(place.attempts.posts) >= BREAKER_OPENS_AFTER + 2)
    await place.until_settled()
    assert place.attempts.posts[BREAKER_OPENS_AFTER:] == [("first", OLD), ("second", OLD)]
    assert queue.next_at() == at  # that they failed moves nothing
    del place.attempts.answers[OLD]
    place.push("third", type="red.test")
    await place.until(lambda: not place.state.tables.pending)
    assert len(place.attempts.posts) == 2 * BREAKER_OPENS_AFTER + 4  # each alert goes out after that


async def test_an_endpoint_that_refuses_test_events_gets_its_alerts_at_once(place):
    place.push("later", due=int(time.time() * 1000) + HOUR, wait=HOUR)
    place.attempts.outcomes = {f"t{number}": FAILS for number in range(BREAKER_OPENS_AFTER)}
    for name in place.attempts.outcomes:
        place.push(name, type="red.test")
    await place.until_settled()
    [queue] = place.dispatcher._queues.values()
    assert not queue.has_failed
    place.push("a")
    await place.until(lambda: "a" not in place.state.tables.pending)
    assert place.attempts.posts[BREAKER_OPENS_AFTER:] == [("a", OLD)]


async def test_nothing_is_kept_of_an_endpoint_that_has_no_delivery_or_no_subscription(place):
    place.push("a")
    await place.until_settled()
    assert place.dispatcher._queues == {}
    place.attempts.answers[OLD] = FAILS
    place.push("t", type="red.test")
    await place.until_settled()
    assert place.dispatcher._queues == {}
    place.push("b")
    await place.until(lambda: len(place.attempts.posts) == 3)
    await place.until_settled()
    assert list(place.dispatcher._queues) == [(0, "c", "s")]  # how it failed is still needed
    place.move()
    await place.until_settled()
    assert (place.dispatcher._queues, place.state.tables.pending) == ({}, {})


SHARED = [f"https://shared.example/{number}" for number in range(8)]


async def test_a_client_whose_receivers_hang_delays_no_webhook_of_another(place):
    rows = place.hang("h", *HUNG)
    place.dispatcher.begin(0, rows[:100])
    place.dispatcher.push(0, rows)
    await place.until(lambda: place.posted_to(*HUNG) >= 32)

    place.push("a")

    await place.until(lambda: ("a", OLD) in place.attempts.posts)
    assert place.posted_to(*HUNG) == 32


async def test_what_waits_for_room_goes_out_as_posts_end_each_once(place):
    rows = place.hang("h", *HUNG)
    place.dispatcher.push(0, rows)
    for hanging in place.attempts.hanging.values():
        hanging.set()
    await place.until(lambda: not place.state.tables.pending)
    assert sorted(name for name, _ in place.attempts.posts) == sorted(row.id for row in rows)


async def test_a_delivery_that_waits_for_a_full_host_goes_out_at_once_when_its_url_moves(place):
    place.dispatcher.push(0, place.hang("h", *SHARED))
    place.move("https://SHARED.example/mine")
    place.push("a")
    await place.until(lambda: place.posted_to(*SHARED) == 32)
    assert len(place.attempts.posts) == 32

    place.move(NEW)

    await place.until(lambda: ("a", NEW) in place.attempts.posts)


async def test_a_delivery_whose_url_was_not_known_yet_has_no_more_than_the_share_of_its_host(place):
    place.dispatcher.push(0, place.hang("h", *SHARED))
    rows = place.hang("late", SHARED[0])
    place.subscriptions.unread["late"] = place.subscriptions.clients.pop("late")
    await place.until(lambda: place.posted_to(*SHARED) == 32)
    place.dispatcher.push(0, rows)
    await place.until(lambda: place.subscriptions.get("late"))
    await asyncio.sleep(0.05)  # long enough for a POST that should not be
    assert len(place.attempts.posts) == 32

    for hanging in place.attempts.hanging.values():
        hanging.set()

    await place.until(lambda: not place.state.tables.pending)


async def test_what_waits_for_room_goes_out_after_a_rebalance_too(place):
    place.dispatcher.push(0, place.hang("h", *HUNG))
    await place.until(lambda: place.posted_to(*HUNG) == 32)
    await place.assigned_again()
    place.push("a")
    await place.until(lambda: ("a", OLD) in place.attempts.posts)
    assert place.posted_to(*HUNG) == 32

    for hanging in place.attempts.hanging.values():
        hanging.set()

    await place.until(lambda: not place.state.tables.pending)


async def test_a_client_deleted_while_it_waits_for_room_leaves_nothing_behind(place):
    place.dispatcher.push(0, place.hang("h", *HUNG))
    await place.until(lambda: place.posted_to(*HUNG) == 32)
    del place.subscriptions.clients["h"]
    place.dispatcher.on_subscription_changed("h")
    for hanging in place.attempts.hanging.values():
        hanging.set()
    await place.until(lambda: not place.state.tables.pending)
    await place.until_settled()
    assert place.posted_to(*HUNG) == 32
    assert (place.dispatcher._queues, place.dispatcher._shares._waiting) == ({}, {})


async def test_an_alert_whose_commit_was_unknown_and_stands_is_sent(place):
    place.attempts.hold.clear()
    place.push("a")  # the next ones wait behind it, and are not begun with their transaction
    for n in range(4):
        place.push(f"more-{n}")
    place.states.unknown = 1
    dispatcher = place.dispatcher
    alert = an_alert(subscription_id="s")
    batch = a_batch(topics.ALERTS, 0, [a_record(alert, 0, b"c")])

    await enqueue_deliveries(
        batch, states=place.states, begin=dispatcher.begin, push=dispatcher.push, limits=AMPLE,
        find=place.subscriptions.find, until_known=place.subscriptions.until_known,
    )  # fmt: skip

    place.attempts.hold.set()
    await place.until(lambda: not place.state.tables.pending)
    assert len(place.attempts.posts) == 6


async def test_a_delivery_whose_failure_was_recorded_by_an_unknown_transaction_is_tried_again(place):
    place.attempts.answers[OLD] = FAILS
    place.states.unknown = 1
    place.push("a")
    await place.until_settled()
    assert place.state.tables.pending.get("a").attempt == 1
    [queue] = place.dispatcher._queues.values()
    assert queue.next_at() - place.dispatcher._queue_time() < 5_000


async def test_what_an_unknown_transaction_resumed_is_sent(place):
    now = int(time.time() * 1000)
    place.put("a", held=True, due=now + HOUR, wait=HOUR)
    place.states.unknown = 1
    await place.dispatcher.on_assigned(place.state)
    await place.until(lambda: place.attempts.posts == [("a", OLD)])


async def test_a_change_of_a_subscription_looks_at_no_rows_of_others_of_its_client(place, monkeypatch):
    looked_at = set()

    def look(row, subscription, at):
        looked_at.add(row.subscription_id)

    monkeypatch.setattr(deliveries, "on_subscription_changed", look)
    place.dispatcher.push(0, place.hang("h", *HUNG))
    present = place.subscriptions.clients["h"]
    *others, last = present.subscriptions  # whose rows wait for room
    place.dispatcher.on_subscription_changed("h")
    await place.until(lambda: last.id in looked_at)
    assert len(looked_at) > 1
    looked_at.clear()
    changed = (*others, msgspec.structs.replace(last, version=2, enabled=False))
    place.subscriptions.clients["h"] = msgspec.structs.replace(present, offset=1, subscriptions=changed)

    place.dispatcher.on_subscription_changed("h")
    await place.until(lambda: last.id in looked_at)

    assert looked_at == {last.id}


async def test_a_subscription_is_told_again_of_the_rows_of_a_partition_that_came_back(place):
    row = place.put("a")
    await place.dispatcher.on_assigned(place.state)
    await place.until(lambda: place.attempts.posts)
    place.state.tables.pending.put("a", None)
    place.change(enabled=False)
    await place.until_settled()
    place.state.tables.pending.put("a", row)

    await place.assigned_again()

    await place.until(lambda: place.state.tables.pending["a"].held)

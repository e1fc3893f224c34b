"""Alerts that wait in the log until their endpoint has room: each goes out once, whatever comes between."""

import pytest

from red_stats.delivery import backlog_reader
from red_stats.domain.backlogs import Limits
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.subscriptions import Client
from tests.builders import a_subscription
from tests.red_stats.delivery.place import FAILS, HUNG, NEW, OLD, Place

SMALL = Limits(endpoint=20, own=2, shared=50)


@pytest.fixture
async def small(monkeypatch):
    """A place whose endpoints have 20 rows each, and whose clients have 50 and two for each endpoint."""
    monkeypatch.setattr(backlog_reader, "RETRY_SECONDS", 0.01)
    place = Place(SMALL)
    yield place
    await place.dispatcher.stop()


async def test_alerts_beyond_the_rows_of_an_endpoint_wait_in_the_log_and_go_out_each_once(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 300)
    assert len(small.state.tables.pending) == 20
    assert small.state.tables.backlogs["s"].alerts == 280

    small.attempts.hold.set()

    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    posted = [name for name, _ in small.attempts.posts]
    assert sorted(posted) == sorted(of_alert(r.key, r.value, r.timestamp).id for r in small.log)


async def test_a_pass_that_has_read_much_commits_what_it_has_found(small, monkeypatch):
    """Else an endpoint whose alerts stand at the end of the log would hold up all the others."""
    monkeypatch.setattr(backlog_reader, "PASS_RECORDS", 20)
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 25, *[("other", "x")] * 400, *[("c", "s")] * 5)
    small.attempts.hold.set()
    await small.until(
        lambda: "s" not in small.state.tables.backlogs and not small.state.tables.pending.of.get("s")
    )
    assert small.posted_to(OLD) == 30
    assert small.passes > 3 * 10


async def test_endpoints_that_fail_take_no_rows_from_another_endpoint_of_their_client(small):
    for row in small.hang("h", *HUNG[:30]):
        small.state.tables.pending.put(row.id, None)
    small.attempts.hanging.clear()
    small.attempts.answers = dict.fromkeys(HUNG, FAILS)
    fine = a_subscription(id="fine", version=1, webhook_url=NEW)
    client = small.subscriptions.clients["h"]
    small.subscriptions.clients["h"] = Client(
        client_id="h", offset=0, subscriptions=(*client.subscriptions, fine)
    )
    await small.raise_alerts(*[("h", f"h{n % 30}") for n in range(900)])
    assert len(small.state.tables.pending) <= SMALL.shared + 30 * SMALL.own

    for _ in range(10):
        await small.raise_alerts(*[("h", "fine")] * 30, *[("h", f"h{n}") for n in range(30)])
        assert len(small.state.tables.pending) <= SMALL.shared + 31 * SMALL.own

    await small.until(lambda: small.posted_to(NEW) == 300)
    assert "fine" not in small.state.tables.backlogs


async def test_what_waits_in_the_log_is_read_after_a_rebalance_too(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 100)
    for name in list(small.state.tables.pending):  # as after a crash behind the outcomes of all of them
        small.state.tables.pending.put(name, None)

    small.attempts.hold.set()
    await small.assigned_again()

    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    waited = {of_alert(r.key, r.value, r.timestamp).id for r in small.log[20:]}
    assert waited <= {name for name, _ in small.attempts.posts}


async def test_what_waits_in_the_log_for_a_deleted_subscription_is_cancelled(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 100)
    small.move()
    small.attempts.hold.set()
    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    assert len(small.attempts.posts) <= 4


async def test_rows_of_an_unknown_outcome_that_waited_in_the_log_go_out(small):
    small.attempts.hold.clear()
    await small.raise_alerts(*[("c", "s")] * 60)
    small.states.unknown = 40
    small.attempts.hold.set()
    await small.until(lambda: not small.state.tables.pending and not small.state.tables.backlogs)
    assert {of_alert(r.key, r.value, r.timestamp).id for r in small.log} <= {
        name for name, _ in small.attempts.posts
    }

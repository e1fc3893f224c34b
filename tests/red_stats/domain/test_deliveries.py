import time
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from red_stats.domain import deliveries
from red_stats.domain.delivery_kinds import of_alert
from red_stats.domain.retries import Outcome, delay, parse_schedule, retry_after_seconds, verdict
from red_stats.domain.signatures import InvalidSecret, headers, key_of, new_secret
from tests.builders import a_subscription, an_alert

SECRET = new_secret(bytes(range(32)))
NOW = 1_790_000_000
HOUR = 3_600_000  # ms


@given(st.binary(max_size=500).map(lambda b: b.hex()))
def test_the_official_library_accepts_our_signatures(text):
    now = int(datetime.now(UTC).timestamp())
    body = f'{{"text":"{text}"}}'

    signed = headers([SECRET], "msg_1", now, body.encode())

    assert Webhook(SECRET).verify(body, signed) == {"text": text}


def test_during_a_rotation_both_secrets_verify():
    old = new_secret(b"o" * 32)
    now = int(datetime.now(UTC).timestamp())

    signed = headers([SECRET, old], "msg_1", now, b"{}")

    assert Webhook(SECRET).verify("{}", signed) == Webhook(old).verify("{}", signed) == {}


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!", "whsec_AAAA", "AAAA" * 10])
def test_what_is_no_secret_is_refused(text):
    with pytest.raises(InvalidSecret):
        key_of(text)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, "delivered"), (204, "delivered"), (301, "retry"), (404, "retry"), (410, "gone"),
     (429, "retry"), (500, "retry"), (None, "retry")],
)  # fmt: skip
def test_a_status_means_one_thing(status, expected):
    assert verdict(Outcome(status, None, 1)) == expected


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [(429, "120", 120), (503, "7", 7), (500, "7", 0), (429, "-1", 0), (429, "abc", 0),
     (429, "99999999", 36000), (429, "Mon, 21 Sep 2026 14:14:20 GMT", 60),
     (429, "Mon, 21 Sep 2020 14:14:20 GMT", 0), (429, None, 0)],
)  # fmt: skip
def test_retry_after_is_heard_within_reason(status, text, seconds):
    outcome = Outcome(status, None, 1, text)

    assert retry_after_seconds(outcome, NOW) == seconds


@given(st.integers(1, 12), st.floats(0, 1), st.floats(0, 1000))
def test_a_delay_is_near_the_list_and_never_below_the_hint(attempt, jitter, hint):
    schedule = (5.0, 30.0, 300.0)

    waited = delay(attempt, schedule, jitter, hint)

    if attempt > 3:
        assert waited is None
    else:
        listed = schedule[attempt - 1]
        assert waited >= hint
        assert waited == hint or 0.8 * listed <= waited <= 1.2 * listed


def test_a_schedule_is_a_list_of_seconds():
    assert parse_schedule("0.2, 5") == (0.2, 5.0)
    with pytest.raises(ValueError, match="0 or more"):
        parse_schedule("-1")


def test_a_date_without_a_zone_is_utc_whatever_the_zone_of_this_machine(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        outcome = Outcome(429, None, 1, "Mon Sep 21 14:14:20 2026")
        assert retry_after_seconds(outcome, NOW) == 60
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_failed_probe_uses_up_nothing_of_the_schedule():
    row, schedule = a_row(0), (5.0, 300.0)
    row = deliveries.attempted(row, Outcome(500, None, 0), 0, schedule, 0.5).row
    due = row.due
    for at in range(1000, 5000, 1000):
        row = deliveries.attempted(row, Outcome(500, None, 0), at, schedule, 0.5, is_probe=True).row
        assert row.due == due
    row = deliveries.attempted(row, Outcome(500, None, 0), due, schedule, 0.5).row
    assert (row.attempt, row.due) == (6, due + 300_000)
    assert deliveries.attempted(row, Outcome(500, None, 0), row.due, schedule, 0.5).row is None


def test_a_blocked_address_is_probed_without_moving_its_schedule():
    row, schedule = a_row(0), (5.0, 300.0)
    blocked = Outcome(None, "blocked", 0, blocked=True)
    row = deliveries.attempted(row, Outcome(500, None, 0), 0, schedule, 0.5).row
    due = row.due
    row = deliveries.attempted(row, blocked, 1000, schedule, 0.5, is_probe=True).row
    assert row.due == due
    row = deliveries.attempted(row, blocked, due, schedule, 0.5).row
    assert deliveries.attempted(row, blocked, row.due, schedule, 0.5).row is None


@pytest.mark.parametrize(
    ("outcome", "because"),
    [
        (Outcome(500, "answered 500", 1), "schedule"),
        (Outcome(503, "answered 503", 1, "3600"), "retry_after"),
        (Outcome(503, "answered 503", 1, "1"), "schedule"),  # the schedule is later
        (Outcome(None, "refused", 1, blocked=True), "blocked"),
        (Outcome(200, None, 1), None),
        (Outcome(410, "answered 410", 1), None),
    ],
)
def test_every_attempt_tells_why_the_next_one_is_when_it_is(outcome, because):
    event = msgspec.json.decode(deliveries.attempted(a_row(0), outcome, 0, (60, 7200), 0.5).event)
    assert event["because"] == because


def test_the_last_attempt_has_no_next_one():
    event = msgspec.json.decode(
        deliveries.attempted(a_row(0), Outcome(500, "answered 500", 1), 0, (), 0.5).event
    )
    assert (event["state"], event["because"], event["due_at"]) == ("exhausted", None, None)


def test_a_row_keeps_until_when_its_endpoint_wants_to_be_left_alone():
    row = deliveries.attempted(a_row(0), Outcome(503, None, 7, "60"), 1000, (5.0,), 0.5).row
    assert row.asked == 61_007
    assert deliveries.decode(deliveries.encode(row)) == row


def test_a_new_url_makes_due_at_once_what_the_old_one_failed_to_take_and_nothing_else_does():
    row = deliveries.attempted(a_row(0), Outcome(500, None, 0), 0, (5.0,), 0.5, url="https://a.example/").row
    same = a_subscription(webhook_url="https://a.example/", version=9)
    other = a_subscription(webhook_url="https://b.example/", version=9)
    assert deliveries.on_subscription_changed(row, same, 1000) is None
    moved = deliveries.on_subscription_changed(row, other, 1000)
    assert (moved.row.due, moved.row.left(1000)) == (1000, 0)
    assert deliveries.on_subscription_changed(a_row(0), other, 1000) is None


def a_row(at):
    return of_alert(b"acme", an_alert(id=str(UUID(int=7))), at)


@given(ahead=st.integers(-2 * HOUR, 2 * HOUR), status=st.sampled_from([500, 410]), jitter=st.floats(0, 1))
def test_no_delivery_waits_longer_than_was_planned_however_the_clock_is_set_meanwhile(ahead, status, jitter):
    planned = 100 * HOUR
    turn = deliveries.attempted(a_row(planned), Outcome(status, None, 12), planned, (5.0, 300.0), jitter)
    wait = turn.row.left(planned)
    assert turn.row.due == planned + wait
    assert turn.row.left(planned - ahead) == min(wait, wait + ahead)
    assert a_row(planned).left(planned - ahead) <= 0


def test_a_row_that_was_never_tried_is_held_for_72_h_from_its_beginning():
    """Alerts that waited in the log behind others get no 72 h of their own once they have a row."""
    hold = 72 * 3600 * 1000
    off = a_subscription(enabled=False)
    for at in (0, 1000, hold - 1, hold, 5 * hold):
        kept = deliveries.on_subscription_changed(a_row(0), off, at).row
        assert (kept.held, kept.due) == (True, max(at, hold))
    tried = deliveries.attempted(a_row(0), Outcome(500, None, 0), 1000, (5.0,), 0.5).row
    assert deliveries.on_subscription_changed(tried, off, 2000).row.due == 2000 + hold
    ended = deliveries.on_subscription_changed(
        deliveries.on_subscription_changed(a_row(0), off, hold).row, off, hold
    )
    assert ended.row is None

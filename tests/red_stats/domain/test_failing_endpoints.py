"""Laws of endpoints that fail: from the first failure to the next success, and what is told of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain import failing_endpoints as f
from red_stats.domain.deliveries import DeliveryEvent, url_mark
from red_stats.domain.delivery_kinds import NOTICE, PROBE, kind_of, may_go
from tests.builders import NOW, a_subscription

URL, OTHER = "https://one.example/", "https://other.example/"
HOUR, DAY = 3_600_000, 86_400_000
PROBES = (3600.0, 21600.0, 86400.0)


def failing(since=NOW, **fields):
    return f.Endpoint(**{"client_id": "c", "url": url_mark(URL), "since": since, "last": since, **fields})


def disabled(reason="failing", url=URL, **fields):
    return a_subscription(
        id="s", webhook_url=url, enabled=False, holds=True, disabled_reason=reason, **fields
    )


ENABLED = a_subscription(id="s", webhook_url=URL)


def changed(endpoint, subscription, at=NOW, schedule=PROBES):
    return f.changed(endpoint, "c", subscription, at, schedule)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * HOUR)), max_size=50))
def test_it_fails_since_its_first_failure_after_the_last_success_and_each_change_is_told_once(attempts):
    endpoint, at, since, told = None, NOW, None, []
    for is_success, pause in attempts:
        at += pause
        step = f.succeeded(endpoint, at) if is_success else f.failed(endpoint, "c", URL, at, 0)
        since = None if is_success else since or at
        endpoint = step.endpoint
        told += [step.state] if step.state else []
        assert (endpoint.since if endpoint else None) == since
        assert not endpoint or endpoint.told == (told[-1:] == ["failing"])
    assert told == ["failing", "ok"] * (len(told) // 2) + ["failing"] * (len(told) % 2)


def test_failures_that_are_over_within_a_minute_are_not_told():
    step = f.failed(failing(), "c", URL, NOW + f.TOLD_AFTER_MS - 1, DAY)
    assert step.state is None
    assert f.succeeded(step.endpoint, NOW) == (None, None)
    assert f.failed(failing(), "c", URL, NOW + f.TOLD_AFTER_MS, DAY).state == "failing"


def test_what_another_url_did_counts_for_nothing():
    endpoint = f.failed(failing(NOW - DAY, told=True), "c", OTHER, NOW, 0).endpoint
    assert (endpoint.since, endpoint.url, endpoint.told) == (NOW, url_mark(OTHER), True)


@pytest.mark.parametrize(
    ("endpoint", "limit", "lost"),
    [
        (failing(NOW - DAY), DAY, True),
        (failing(NOW - DAY + 1), DAY, False),
        (failing(NOW - DAY), 0, False),
        (failing(NOW - DAY, disabled="failing"), DAY, False),
    ],
)
def test_it_is_lost_once_it_has_failed_for_long_enough(endpoint, limit, lost):
    assert f.is_lost(endpoint, NOW, limit) is lost


def test_one_that_is_disabled_is_told_once_and_probed_by_the_schedule_for_30_days():
    endpoint, state = changed(failing(NOW - DAY), disabled())
    assert state == "disabled"
    assert changed(endpoint, disabled()) == (endpoint, None)
    times = []
    while endpoint.due:
        times.append(endpoint.due - NOW)
        endpoint = f.probed(endpoint, endpoint.due, PROBES)
    assert times == [HOUR, 7 * HOUR, *range(31 * HOUR, 30 * DAY + 1, DAY)]


def test_one_that_is_gone_is_told_and_not_probed():
    endpoint, state = changed(None, disabled("gone"))
    assert (state, endpoint.disabled, endpoint.due) == ("disabled", "gone", 0)


def test_without_a_schedule_nothing_is_probed():
    assert changed(failing(), disabled(), schedule=()).endpoint.due == 0


@pytest.mark.parametrize("reason", ["failing", "gone"])
def test_one_that_is_enabled_again_is_told_and_forgotten(reason):
    assert changed(failing(disabled=reason), ENABLED) == (None, "enabled")


def test_one_that_its_client_disables_or_deletes_is_forgotten_without_a_word():
    by_client = a_subscription(id="s", enabled=False)
    for endpoint in (None, failing(told=True), failing(disabled="failing", due=NOW)):
        assert changed(endpoint, by_client) == (None, None)
        assert changed(endpoint, None) == (None, None)


def test_a_change_of_anything_else_changes_nothing():
    assert changed(failing(), ENABLED) == (failing(), None)
    assert changed(None, ENABLED) == (None, None)


def test_a_new_url_of_a_disabled_one_is_probed_at_once():
    endpoint = changed(failing(), disabled()).endpoint
    moved, state = changed(endpoint, disabled(url=OTHER), NOW + DAY)
    assert (moved.due, moved.since, state) == (NOW + DAY, NOW + DAY, None)
    assert changed(moved, disabled(url=OTHER), NOW + DAY) == (moved, None)


def test_a_probe_that_succeeds_is_repeated_soon_in_case_the_subscription_stays_disabled():
    endpoint = changed(failing(), disabled()).endpoint
    assert f.succeeded(endpoint, NOW).endpoint.due == NOW + f.AGAIN_MS
    last_one = failing(disabled="failing", probes=31)
    assert f.succeeded(last_one, NOW).endpoint.due == NOW + f.AGAIN_MS
    gone = failing(disabled="gone")
    assert f.succeeded(gone, NOW) == (gone, None)


def test_a_silence_of_more_than_the_limit_counts_for_nothing_and_one_of_less_does():
    endpoint = f.failed(failing(NOW - 9 * DAY), "c", URL, NOW, 5 * DAY).endpoint
    assert endpoint.since == NOW
    endpoint, at = failing(NOW), NOW
    for _ in range(9):
        at += DAY
        endpoint = f.failed(endpoint, "c", URL, at, 5 * DAY).endpoint
        assert endpoint.since == NOW
        assert f.is_lost(endpoint, at, 5 * DAY) == (at - NOW >= 5 * DAY)


def test_most_attempts_of_one_that_is_told_to_fail_change_nothing():
    endpoint = failing(NOW, told=True)
    assert f.failed(endpoint, "c", URL, NOW + HOUR, 5 * DAY) == (endpoint, None)


def test_a_version_from_before_the_one_that_is_known_changes_nothing():
    endpoint = changed(failing(), disabled(version=3)).endpoint
    assert changed(endpoint, a_subscription(id="s", webhook_url=URL, version=2)) == (endpoint, None)
    assert changed(endpoint, a_subscription(id="s", webhook_url=URL, version=4)) == (None, "enabled")


def test_one_that_asks_to_be_left_alone_is_probed_later_and_not_earlier():
    endpoint = failing(disabled="failing", due=NOW + HOUR)
    assert f.refused(endpoint, NOW, 7200).due == NOW + 2 * HOUR
    assert f.refused(endpoint, NOW, 0) == endpoint
    assert f.refused(failing(disabled="failing"), NOW, 7200).due == 0


def test_probes_end_where_the_schedule_is_taken_away():
    assert f.probed(failing(disabled="failing", due=NOW, until=NOW + DAY), NOW, ()).due == 0


@pytest.mark.parametrize("text", ["0", "3600,0.5", "x", "1e99"])
def test_a_schedule_of_probes_has_at_least_a_second_between_them(text):
    with pytest.raises(ValueError, match="seconds"):
        f.parse_probes(text)
    assert f.parse_probes("") == ()
    assert f.parse_probes("1,2.5") == (1.0, 2.5)


@given(at=st.integers(0, 10**13), since=st.integers(0, 10**13), number=st.integers(0, 99))
def test_probes_and_notices_are_deliveries_of_their_kinds_with_ids_of_their_own(at, since, number):
    endpoint = failing(since, disabled="failing", probes=number)
    change = f.Change("c", "s", "disabled", at, since, "failing")
    rows = [f.probe_of(endpoint, disabled(), at), f.notice_of(change, ENABLED)]
    rows += [
        f.notice_of(change, a_subscription(id="t")),
        f.probe_of(f.probed(endpoint, at, PROBES), disabled(), at),
    ]
    assert [kind_of(row) for row in rows] == [PROBE, NOTICE, NOTICE, PROBE]
    assert len({row.id for row in rows}) == len({row.webhook_id for row in rows}) == 4
    for row in rows:
        body = msgspec.json.decode(row.body)
        assert set(body) == {"type", "timestamp", "data"}
        assert body["data"]["failing_since"].endswith("Z")


def test_only_a_probe_goes_to_an_endpoint_that_the_system_disabled_and_nothing_to_one_of_the_client():
    probe = f.probe_of(failing(), disabled(), NOW)
    notice = f.notice_of(f.Change("c", "t", "ok", NOW, NOW), disabled())
    assert [may_go(row, disabled()) for row in (probe, notice)] == [True, False]
    assert not may_go(probe, a_subscription(id="s", enabled=False))
    assert may_go(notice, ENABLED)


def test_a_change_is_an_event_of_the_kind_health():
    change = f.Change("c", "s", "disabled", NOW, NOW - DAY, "gone")
    event = msgspec.json.decode(f.event_of(change), type=DeliveryEvent)
    assert (event.kind, event.state, event.error, event.attempt, event.alert_id) == (
        "health", "disabled", "gone", 0, None,
    )  # fmt: skip
    assert event.id == change.id != f.Change("c", "s", "enabled", NOW, NOW).id

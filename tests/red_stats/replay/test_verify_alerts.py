"""What `verify` says of alerts: those that are none, and those that are in no webhook, in one, or in two."""

from types import SimpleNamespace

import pytest

from red_stats.domain.digests import Interval
from red_stats.replay.verify_alerts import SentAlerts, counted, differences_of
from red_stats.tables.digests import alert_key, encode
from tests.builders import a_record, a_subscription_id, an_alert


def a_foreign_record(key=b"c", value=b"{}", offset=5):
    return SimpleNamespace(partition=1, offset=offset, key=key, value=value)


def told(sent):
    return [one for one in differences_of({}, sent, {}, None) if one is not None]


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[" * 100_000])
def test_a_foreign_record_is_a_difference_until_its_dead_letter_is_there(value):
    sent = SentAlerts()
    sent.add(a_foreign_record(value=value))
    [found] = told(sent)
    assert (found["kind"], found["examples"]) == ("dead letters", ["1:5"])
    sent.lettered = {"1:5"}
    assert told(sent) == []


def test_a_dead_letter_of_another_record_excuses_nothing():
    sent = SentAlerts()
    sent.add(a_foreign_record())
    sent.lettered = {"1:4", "0:5"}
    assert len(told(sent)) == 1


NAME, OTHER = a_subscription_id(1), a_subscription_id(2)


class Store:
    """Answers which deliveries there are: (alert or "", state, subscription, first and last `seq`)."""

    def __init__(self, rows):
        self._rows = rows

    def query(self, sql, parameters):
        return self._rows


def sent(count, name=NAME):
    """Alerts 1 to `count` of a subscription, as they stand on red.alerts."""
    alerts = SentAlerts()
    for seq in range(1, count + 1):
        value = an_alert(id=alert(seq), subscription_id=name, seq=seq, prev_seq=seq - 1, position=f"1:{seq}")
        alerts.add(SimpleNamespace(partition=1, offset=seq, key=b"c", value=value))
    return alerts


def alert(seq):
    return a_subscription_id(1000 + seq)


def waits(alerts, first, last, name=NAME):
    row = Interval(client_id="c", end=1, count=last - first + 1, first_seq=first, last_seq=last)
    alerts.add_digest(a_record(encode(row), key=name.encode()))
    alerts.add_digest(a_record(an_alert(seq=first), key=alert_key(name, first)))


async def judged(alerts, *rows):
    """(states of the version, ids without a delivery, ids with two) of these deliveries."""
    implied, became = dict(alerts.versions), await alerts.became(Store(rows))
    [version] = counted(implied, alerts, became)
    states = {
        name: n for name, n in version.items() if n and name not in ("id", "version", "implied", "sent")
    }
    found = [one for one in differences_of(implied, alerts, became, None) if one is not None]
    assert {one["kind"] for one in found} <= {"deliveries"}
    return states, found


ALONE = (alert(1), "delivered", NAME, 1, 1)


async def test_each_alert_in_one_webhook_its_own_or_a_digest_is_no_difference():
    rows = [ALONE, ("", "delivered", NAME, 2, 3), (alert(4), "pending", NAME, 4, 4)]
    assert await judged(sent(4), *rows) == ({"delivered": 3, "pending": 1}, [])


async def test_alerts_that_wait_for_a_digest_are_counted_as_waiting():
    alerts = sent(4)
    waits(alerts, 2, 4)
    assert await judged(alerts, ALONE) == ({"delivered": 1, "waiting": 3}, [])


async def test_a_digest_made_while_verify_reads_leaves_no_alert_waiting_or_in_two():
    alerts = sent(4)
    waits(alerts, 2, 3)
    rows = [ALONE, ("", "pending", NAME, 2, 4)]
    assert await judged(alerts, *rows) == ({"delivered": 1, "pending": 3}, [])


async def test_an_alert_that_waits_no_more_and_is_in_no_webhook_is_a_difference():
    alerts = sent(4)
    waits(alerts, 2, 4)
    alerts.add_digest(a_record(None, key=NAME.encode()))
    states, [found] = await judged(alerts, ALONE, ("", "delivered", NAME, 3, 4))
    assert (states, found["missing"], found["extra"]) == ({"delivered": 3}, 1, 0)
    assert found["examples"] == [alert(2)]


@pytest.mark.parametrize("second", [("", "delivered", NAME, 3, 3), (alert(3), "delivered", NAME, 3, 3),
                                    ("", "cancelled", NAME, 3, 4)])  # fmt: skip
async def test_an_alert_in_two_webhooks_is_a_difference(second):
    _, [found] = await judged(sent(3), ALONE, ("", "delivered", NAME, 2, 3), second)
    assert (found["missing"], found["extra"], found["examples"]) == (0, 1, [alert(3)])


async def test_a_long_digest_with_one_in_it_that_begins_later_is_a_difference():
    rows = [ALONE, ("", "delivered", NAME, 2, 9), *[("", "delivered", NAME, n, n) for n in (4, 5, 6)]]
    _, [found] = await judged(sent(9), *rows)
    assert found["examples"]


async def test_digests_and_intervals_of_another_subscription_hold_nothing_of_this_one():
    alerts = sent(2)
    waits(alerts, 1, 2, OTHER)
    _, [found] = await judged(alerts, ALONE, ("", "delivered", OTHER, 2, 2))
    assert found["examples"] == [alert(2)]


@pytest.mark.parametrize("value", [b"", b"{}", b"x", b"\xff"])
async def test_what_is_no_row_of_ours_on_the_changelog_of_digests_tells_nothing(value):
    alerts = sent(1)
    for key in (NAME.encode(), f"{NAME}/x".encode(), f"{NAME}/1".encode(), b"\xff", b"", None):
        alerts.add_digest(a_record(value, key=key))
    assert await judged(alerts, ALONE) == ({"delivered": 1}, [])

"""What `verify` says about records on red.alerts that are no alerts."""

from types import SimpleNamespace

import pytest

from red_stats.replay.verify_alerts import SentAlerts, differences_of


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

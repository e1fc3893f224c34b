"""A library's repeated message is logged once in a while, with how often it was left out."""

import logging

from red_common.log_throttle import Throttle


def logged(times, name="aiokafka.client"):
    clock = iter(times)
    throttle = Throttle(10, lambda: next(clock))
    records = [
        logging.LogRecord(name, logging.ERROR, "a.py", 7, "node %s", (n,), None) for n in range(len(times))
    ]
    return [record.getMessage() for record in records if throttle.filter(record)]


def test_a_library_is_logged_once_in_10_s():
    assert logged([0, 1, 9.9, 10, 11, 25]) == [
        "node 0",
        "node 3 (and 2 more like it)",
        "node 5 (and 1 more like it)",
    ]


def test_our_own_records_are_always_logged():
    assert len(logged([0, 0, 0], "red_stats.faust.app")) == 3


def test_two_kinds_do_not_hide_each_other():
    throttle = Throttle(10, lambda: 0.0)
    records = [logging.LogRecord("mode", logging.ERROR, "a.py", line, "x", None, None) for line in (1, 2, 1)]
    assert [throttle.filter(record) for record in records] == [True, True, False]

"""What a library says again and again is written once in a while, with how often it was said."""

import logging

from red_common.log_throttle import Throttle


def heard(times, name="aiokafka.client"):
    clock = iter(times)
    seldom = Throttle(10, lambda: next(clock))
    records = [
        logging.LogRecord(name, logging.ERROR, "a.py", 7, "node %s", (n,), None) for n in range(len(times))
    ]
    return [record.getMessage() for record in records if seldom.filter(record)]


def test_a_library_is_heard_once_in_10_s():
    assert heard([0, 1, 9.9, 10, 11, 25]) == [
        "node 0",
        "node 3 (and 2 more like it)",
        "node 5 (and 1 more like it)",
    ]


def test_what_we_say_ourselves_is_always_heard():
    assert len(heard([0, 0, 0], "red_stats.faust.app")) == 3


def test_two_kinds_do_not_hide_each_other():
    seldom = Throttle(10, lambda: 0.0)
    records = [logging.LogRecord("mode", logging.ERROR, "a.py", line, "x", None, None) for line in (1, 2, 1)]
    assert [seldom.filter(record) for record in records] == [True, True, False]

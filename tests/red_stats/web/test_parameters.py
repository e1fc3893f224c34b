"""What clients may write in a query, and what is refused in clear words."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import MultiDict
from yarl import URL

from red_common.problems import Problem
from red_stats.web.parameters import (
    Position,
    choice_of,
    count_of,
    positions_of,
    thresholds_of,
    time_of,
    zone_of,
)

LAST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, ms


def asked(given=None, /, **query):
    query = given or query
    return make_mocked_request("GET", str(URL("/v1/x").with_query(query)))


def refused(work, *arguments):
    with pytest.raises(Problem) as caught:
        work(*arguments)
    return caught.value.status, caught.value.code


def test_of_many_positions_the_last_of_each_partition_is_waited_for():
    given = MultiDict([("at_least", text) for text in ("1:5", "0:3", "1:9", "1:7")])
    assert positions_of(asked(given), 4) == [Position(1, 9), Position(0, 3)]


def test_the_last_millisecond_of_9999_is_a_time():
    assert time_of({"to": "9999-12-31T23:59:59.999Z"}, "to") == LAST
    assert time_of({"to": "9999-12-31T22:59:59.999-01:00"}, "to") == LAST


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59.999-23:59", "9999-12-31T23:59:59.999-00:01", "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00+00:01",
    ],
)  # fmt: skip
def test_a_time_that_leaves_1970_to_9999_by_its_zone_is_refused(text):
    assert refused(time_of, {"to": text}, "to") == (400, "invalid_parameter")


@pytest.mark.parametrize("digits", ["２０２６", "٢٠٢٦", "२०२६"])
def test_digits_of_other_scripts_are_no_digits(digits):
    assert refused(time_of, {"to": f"{digits}-01-01T00:00:00Z"}, "to")[0] == 400
    assert refused(time_of, {"to": f"2026-01-01T00:00:00.{digits[:3]}Z"}, "to")[0] == 400
    assert refused(count_of, {"limit": digits}, "limit", 1, 1, 10_000)[0] == 400
    assert refused(thresholds_of, asked(threshold=f"0.{digits}"))[0] == 400
    assert refused(thresholds_of, asked(threshold=digits))[0] == 400
    assert refused(positions_of, asked(at_least=f"1:{digits}"), 4)[0] == 400
    assert refused(positions_of, asked(at_least=f"{digits[1]}:1"), 4)[0] == 400


@pytest.mark.parametrize(
    ("text", "threshold"),
    [("0.25", 0.25), ("0.2500", 0.25), ("0.25000", 0.25), ("25e-2", 0.25), (".5", 0.5), ("1", 1), ("1.", 1)],
)
def test_a_threshold_may_be_written_in_any_way(text, threshold):
    assert thresholds_of(asked(threshold=text)) == [threshold]


@pytest.mark.parametrize(
    "text",
    [
        "0.25000001", "0.2500000001", "0.25000000000000000000000000000000001", "0.30000000000000004",
        "0.00001", "1e-5", "1e-999", "25001e-5", "1.0001", "-0.1", "1e999",
    ],
)  # fmt: skip
def test_a_threshold_has_four_decimals_and_not_nearly_so(text):
    assert refused(thresholds_of, asked(threshold=text)) == (422, "threshold_out_of_range")


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "Asia/Katmandu", "Etc/GMT+12", "America/Port-au-Prince"]
)
def test_a_zone_is_known_by_its_names_of_all_times(name):
    assert (zone_of({"tz": name})[0], zone_of({"tz": name})[1].key) == (name, name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "Mars/Base", "europe/berlin", "Europe", "../UTC", "/etc/localtime", "UTC\0", " UTC", "\udcff"),
        "x" * 5000,
        "localtime",  # the machine's
        *("right/UTC", "posix/UTC", "posixrules"),  # with leap seconds, or files that are no zones
    ],
)
def test_what_is_no_zone_or_one_of_the_machine_alone_is_refused(name):
    assert refused(zone_of, {"tz": name}) == (400, "invalid_parameter")


def test_a_choice_that_is_required_has_no_first_one():
    assert choice_of({}, "order", ["newest", "oldest"]) == "newest"
    for given in ({}, {"order": ""}, {"order": "Newest"}):
        asked = {"given": given, "name": "order", "choices": ["newest", "oldest"], "required": True}
        assert refused(lambda asked=asked: choice_of(**asked)) == (400, "invalid_parameter")

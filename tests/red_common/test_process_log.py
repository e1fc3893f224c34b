"""What a process logs, for people and for programs."""

import io
import json
import logging
import re

import pytest

from red_common.process_log import set_up


@pytest.fixture
def logged():
    """Everything that `log(logger)` writes in a format, as text."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]

    def write(form, log):
        stream = io.StringIO()
        set_up("INFO", form, stream)
        log(logging.getLogger("red_stats.test"))
        return stream.getvalue()

    yield write
    root.handlers[:] = before[1]
    root.setLevel(before[0])


def fail(log):
    try:
        raise ValueError("of an image")
    except ValueError:
        log.exception("cannot be read")


def test_json_is_an_object_a_line_with_the_error_inside(logged):
    lines = logged("json", lambda log: (log.warning("disk %d %%", 93), fail(log))).splitlines()
    warning, error = map(json.loads, lines)

    assert (warning["level"], warning["logger"], warning["event"]) == (
        "warning",
        "red_stats.test",
        "disk 93 %",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", warning["timestamp"])
    assert (error["level"], error["event"]) == ("error", "cannot be read")
    assert "ValueError: of an image" in error["exception"]


def test_text_is_a_line_for_people(logged):
    assert re.fullmatch(
        r"[-\d]+ [:,\d]+ WARNING disk low\n", logged("text", lambda log: log.warning("disk low"))
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_below_the_level_is_not_logged(logged, form):
    assert logged(form, lambda log: log.debug("noise")) == ""

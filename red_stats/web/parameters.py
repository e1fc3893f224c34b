"""Query parameters: every one is known, single unless said, and readable, or the answer is 400."""

import re
from datetime import datetime
from typing import Final, NamedTuple

from aiohttp import web

from red_common.problems import Problem
from red_stats.domain.commands import check_threshold
from red_stats.domain.measurements import to_ms

MAX_REPEATED: Final = 100
LARGEST: Final = 10**18 - 1
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,3})?([Zz]|[+-]\d\d:\d\d)")
_POSITION: Final = re.compile(r"(\d{1,5}):(\d{1,18})")
_NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d{1,3})?|\.\d+")


class Position(NamedTuple):
    """A record of red.measurements: `partition:offset`."""

    partition: int
    offset: int


def known(request: web.Request, *single: str, repeated: tuple[str, ...] = ()) -> dict[str, str]:
    """The single parameters given.

    Raises:
        Problem: 400 for an unknown parameter, or a single one given twice.
    """
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in repeated:
            continue
        if name not in (*single, "client"):
            raise Problem("unknown_parameter", f"There is no parameter {name[:100]!r} here.")
        if name in found:
            raise Problem("repeated_parameter", f"{name} is given more than once.")
        found[name] = value
    return found


def invalid(name: str, what: str) -> Problem:
    """400 about one parameter."""
    return Problem("invalid_parameter", f"{name}: {what}.", parameter=name)


def time_of(given: dict[str, str], name: str) -> int:
    """A required RFC 3339 time as ms since 1970.

    Raises:
        Problem: 400 when missing, without a zone, with more than three decimals, or before 1970.
    """
    text = given.get(name)
    if text is None:
        raise invalid(name, "is required")
    text = text.replace(" ", "+") if re.search(r" \d\d:\d\d$", text) else text  # an unescaped +
    if not _TIME.fullmatch(text):
        raise invalid(name, "an RFC 3339 time with a zone and at most three decimals is needed")
    try:
        milliseconds = to_ms(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError) as error:
        raise invalid(name, "there is no such time") from error
    if milliseconds < 0:
        raise invalid(name, "is before 1970")
    return milliseconds


def thresholds_of(request: web.Request) -> list[float]:
    """Every `threshold`, in the order given.

    Raises:
        Problem: 400 for no number or more than 100, 422 when out of range.
    """
    texts = request.query.getall("threshold", [])
    if len(texts) > MAX_REPEATED:
        raise invalid("threshold", f"at most {MAX_REPEATED} may be named")
    found = []
    for text in texts:
        if not _NUMBER.fullmatch(text.removeprefix("-")):
            raise invalid("threshold", "a number is needed")
        found.append(check_threshold(float(text)))
    return found


def positions_of(request: web.Request, partitions: int) -> list[Position]:
    """Every `at_least`.

    Raises:
        Problem: 400 for an unreadable one, an unknown partition, or more than 100.
    """
    texts = request.query.getall("at_least", [])
    if len(texts) > MAX_REPEATED:
        raise invalid("at_least", f"at most {MAX_REPEATED} may be named")
    found = []
    for text in texts:
        matched = _POSITION.fullmatch(text)
        if matched is None:
            raise invalid("at_least", "partition:offset is needed, as in an answer's position")
        position = Position(int(matched[1]), int(matched[2]))
        if position.partition >= partitions:
            raise invalid("at_least", f"there is no partition {position.partition}")
        found.append(position)
    return found


def count_of(given: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        Problem: 400 otherwise.
    """
    text = given.get(name, str(default))
    if not re.fullmatch(r"\d{1,18}", text) or not least <= int(text) <= most:
        raise invalid(name, f"a whole number from {least} to {most} is needed")
    return int(text)

"""Query parameters; one that is unknown, repeated without leave or unreadable makes the answer 400."""

import re
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from aiohttp import web

from red_common.problems import Problem
from red_stats.domain.measurements import LAST_MS, to_ms
from red_stats.domain.thresholds import exactly, threshold_of
from red_stats.domain.triggers import HIGHEST

MAX_REPEATED: Final = 100
LARGEST: Final = 10**18 - 1
_DATE: Final = r"\d{4}-\d\d-\d\d"
_TIME: Final = re.compile(_DATE + r"[Tt ]\d\d:\d\d:\d\d(\.\d{1,3})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_UNESCAPED_PLUS: Final = re.compile(r" (\d\d:\d\d)\Z", re.ASCII)
POSITION: Final = re.compile(r"(\d{1,5}):(\d{1,18})", re.ASCII)
_NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d{1,3})?|\.\d+", re.ASCII)
_COUNT: Final = re.compile(r"\d{1,18}", re.ASCII)
QUANTILES: Final = ["0.5", "0.9", "0.95", "0.99"]


class NoSuchTime(ValueError):
    """Raised when a text is no time that is served; the text says why, without a full stop."""


class Position(NamedTuple):
    """A record of red.measurements: `partition:offset`."""

    partition: int
    offset: int


def known(request: web.Request, *single: str, repeated: tuple[str, ...] = ()) -> dict[str, str]:
    """The values of the parameters given that may occur once; `repeated` names those that may be repeated.

    Raises:
        Problem: 400 for an unknown parameter, or one that is given twice and may not be.
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
    """The problem (400) of one parameter; `what` says what is wrong, without a full stop."""
    return Problem("invalid_parameter", f"{name}: {what}.", parameter=name)


def time_of(given: dict[str, str], name: str) -> int:
    """A required RFC 3339 time as ms since 1970.

    Raises:
        Problem: 400 if it is missing, has no zone or more than three decimals, or is outside 1970 to 9999.
    """
    text = given.get(name)
    if text is None:
        raise invalid(name, "it is required")
    try:
        return moment_of(_UNESCAPED_PLUS.sub(r"+\1", text))
    except NoSuchTime as error:
        raise invalid(name, str(error)) from error


def moment_of(text: str) -> int:
    """An RFC 3339 time as ms since 1970.

    Raises:
        NoSuchTime: it has no zone or more than three decimals, or is outside 1970 to 9999.
    """
    if not _TIME.fullmatch(text):
        raise NoSuchTime("it must be an RFC 3339 time with a zone and at most three decimals")
    try:
        milliseconds = to_ms(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError) as error:
        raise NoSuchTime("there is no such time") from error
    if milliseconds < 0:
        raise NoSuchTime("it is before 1970")
    if milliseconds > LAST_MS:
        raise NoSuchTime("it is after the year 9999")
    return milliseconds


def range_of(given: dict[str, str]) -> tuple[int, int]:
    """The times `from` and `to` as ms since 1970.

    Raises:
        Problem: 400 if one is missing or unreadable, or `from` is later than `to`.
    """
    start, end = time_of(given, "from"), time_of(given, "to")
    if start > end:
        raise Problem("invalid_parameter", "The parameter from is later than to.", parameter="from")
    return start, end


def zone_of(given: dict[str, str]) -> tuple[str, ZoneInfo]:
    """The name in `tz` (UTC if it is not given) and the IANA zone of that name.

    Raises:
        Problem: 400 if there is no such zone.
    """
    name = given.get("tz", "UTC")
    if name not in _zones():
        raise invalid("tz", "it must be the name of an IANA time zone, such as Europe/Berlin")
    return name, ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    """Names of zones, without that of this machine."""
    return frozenset(available_timezones() - {"localtime"})


def bins_of(given: dict[str, str]) -> int:
    """The number of `bins`, a divisor of 10,000; 100 if it is not given.

    Raises:
        Problem: 400 if it is anything else.
    """
    bins = count_of(given, "bins", 100, 1, HIGHEST)
    if HIGHEST % bins:
        raise invalid("bins", f"it must divide {HIGHEST}, since amounts have four decimals")
    return bins


def quantiles_of(request: web.Request) -> list[Fraction]:
    """All values of `quantile`, exactly as written, in the order given; QUANTILES if there is none.

    Raises:
        Problem: 400 if one is not a number from 0 to 1, or there are more than 100.
    """
    texts = request.query.getall("quantile", QUANTILES)
    if len(texts) > MAX_REPEATED:
        raise invalid("quantile", f"it may be given at most {MAX_REPEATED} times")
    if not all(_NUMBER.fullmatch(text) and exactly(text) <= 1 for text in texts):
        raise invalid("quantile", "it must be a number from 0 to 1")
    return [Fraction(exactly(text)) for text in texts]


def thresholds_of(request: web.Request) -> list[float]:
    """All values of `threshold`, as shares in 0..1, in the order given.

    Raises:
        Problem: 400 if one is not a number or there are more than 100, 422 if one is out of range.
    """
    texts = request.query.getall("threshold", [])
    if len(texts) > MAX_REPEATED:
        raise invalid("threshold", f"it may be given at most {MAX_REPEATED} times")
    return [_threshold("threshold", text) for text in texts]


def one_threshold_of(given: dict[str, str], name: str) -> float | None:
    """A share in 0..1; None if it is not given.

    Raises:
        Problem: 400 if it is not a number, 422 if it is out of range.
    """
    return _threshold(name, given[name]) if name in given else None


def _threshold(name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text.removeprefix("-")):
        raise invalid(name, "it must be a number")
    return threshold_of(exactly(text))


def choice_of(given: dict[str, str], name: str, choices: Sequence[str], *, required: bool = False) -> str:
    """One of the choices; the first if it is not given and not required.

    Raises:
        Problem: 400 if it is anything else.
    """
    found = given.get(name, "" if required else choices[0])
    if found not in choices:
        raise invalid(name, f"it must be one of {', '.join(choices)}")
    return found


def positions_of(request: web.Request, partitions: int) -> list[Position]:
    """What `at_least` names: of each partition the last position, which is passed after the others.

    Raises:
        Problem: 400 if one cannot be read or names an unknown partition, or there are more than 100.
    """
    texts = request.query.getall("at_least", [])
    if len(texts) > MAX_REPEATED:
        raise invalid("at_least", f"it may be given at most {MAX_REPEATED} times")
    found: dict[int, int] = {}
    for text in texts:
        matched = POSITION.fullmatch(text)
        if matched is None:
            raise invalid("at_least", "it must be partition:offset, as in the position of an answer")
        number, offset = int(matched[1]), int(matched[2])
        if number >= partitions:
            raise invalid("at_least", f"there is no partition {number}")
        found[number] = max(offset, found.get(number, 0))
    return [Position(number, offset) for number, offset in found.items()]


def count_of(given: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number from `least` to `most`; `default` if it is not given.

    Raises:
        Problem: 400 if it is anything else, or the default is out of bounds and nothing is given.
    """
    text = given.get(name, str(default))
    if not _COUNT.fullmatch(text) or not least <= int(text) <= most:
        raise invalid(name, f"it must be a whole number from {least} to {most}")
    return int(text)

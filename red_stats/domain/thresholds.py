"""A threshold as it was written: a share in 0..1 with at most four decimals, and not nearly so. Pure.

A float does not tell: 0.25000000000000001 and 0.25 are the same one.
"""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from red_common.problems import Problem

DECIMALS: Final = 4
MOST_PER_DAY: Final = 1_000_000
MOST_INTERVAL: Final = 86_400  # seconds
NOT_A_NUMBER: Final = Decimal("NaN")


class NotAsExpected(ValueError):
    """Raised when a value cannot stand where it does; the text says why."""


class NotANumber(NotAsExpected):
    """Raised when a threshold is no number at all; the text says what it is."""


def exactly(text: str) -> Decimal:
    """The number of a text such as "0.25" or "1e-2", without rounding; NaN if it is beyond any range."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return NOT_A_NUMBER


def threshold_of(value: Any, name: str = "threshold") -> float:
    """The threshold of a JSON value, whose floats were read by `exactly`; `name` is what it is called there.

    Raises:
        NotANumber: it is a text, null, a truth value or a container.
        Problem: 422 `threshold_out_of_range` for any other number.
    """
    return _number(value, name, 1, "threshold_out_of_range")


def per_day_of(value: Any, name: str) -> Fraction:
    """So many a day, of a JSON value whose floats were read by `exactly`.

    Raises:
        NotANumber: it is a text, null, a truth value or a container.
        Problem: 422 `value_out_of_range` for any other number.
    """
    tenth = 10**DECIMALS
    return Fraction(round(_number(value, name, MOST_PER_DAY, "value_out_of_range") * tenth), tenth)


def rearm_below_of(value: Any, *, crossing: bool, threshold: float) -> float | None:
    """What arms a trigger again, of a JSON value as `threshold_of` reads it; None: the threshold does.

    Raises:
        NotAsExpected: it is no number, or the trigger is not `crossing`.
        Problem: 422 `threshold_out_of_range`, also if it is over the threshold.
    """
    if value is None:
        return None
    share = threshold_of(value, "rearm_below")
    if not crossing:
        raise NotAsExpected("rearm_below needs the trigger crossing")
    if share > threshold:
        raise Problem("threshold_out_of_range", "rearm_below must not be over the threshold.")
    return share


def min_interval_of(seconds: int) -> int:
    """The least time between two webhooks of a subscription, in seconds.

    Raises:
        Problem: 422 `value_out_of_range`.
    """
    if not 0 <= seconds <= MOST_INTERVAL:
        raise Problem("value_out_of_range", f"min_interval must be from 0 to {MOST_INTERVAL} seconds.")
    return seconds


def _number(value: Any, name: str, most: int, code: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise NotANumber(f"Expected a number, got `{type(value).__name__}` - at `$.{name}`")
    written = Decimal(value)
    if written.is_nan() or not 0 <= written <= most or _decimals(written) > DECIMALS:
        raise Problem(code, f"{name} must be a number from 0 to {most} with at most {DECIMALS} decimals.")
    return abs(float(written))  # -0 is 0


def _decimals(written: Decimal) -> int:
    """How many decimals it has; zeros at its end are none."""
    _, digits, exponent = written.as_tuple()
    zeros = len(digits) - len(bytes(digits).rstrip(b"\0"))
    return 0 if zeros == len(digits) else -int(exponent) - zeros

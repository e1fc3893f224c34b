"""A threshold as it was written: a share in 0..1 with at most four decimals, and not nearly so. Pure.

A float does not tell: 0.25000000000000001 and 0.25 are the same one.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from red_common.problems import Problem

DECIMALS: Final = 4
NOT_A_NUMBER: Final = Decimal("NaN")


class NotANumber(ValueError):
    """Raised when a threshold is no number at all; the text says what it is."""


def exactly(text: str) -> Decimal:
    """The number of a text such as "0.25" or "1e-2", without rounding; NaN if it is beyond any range."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return NOT_A_NUMBER


def threshold_of(value: Any) -> float:
    """The threshold of a JSON value, whose floats were read by `exactly`.

    Raises:
        NotANumber: it is a text, null, a truth value or a container.
        Problem: 422 `threshold_out_of_range` for any other number.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise NotANumber(f"Expected a number, got `{type(value).__name__}` - at `$.threshold`")
    written = Decimal(value)
    if written.is_nan() or not 0 <= written <= 1 or _decimals(written) > DECIMALS:
        detail = f"A threshold is a number from 0 to 1 with at most {DECIMALS} decimals."
        raise Problem("threshold_out_of_range", detail)
    return abs(float(written))  # -0 is 0


def _decimals(written: Decimal) -> int:
    """How many decimals it has; zeros at its end are none."""
    _, digits, exponent = written.as_tuple()
    zeros = len(digits) - len(bytes(digits).rstrip(b"\0"))
    return 0 if zeros == len(digits) else -int(exponent) - zeros

"""W3C Trace Context: a request's trace continues in the Kafka record it produces.

Source: W3C Recommendation "Trace Context", section 3.2, version 00.
"""

import re
import secrets
from collections.abc import Callable
from typing import Final

TRACEPARENT: Final = "traceparent"

_GIVEN: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = "01"


def continued(given: str | None, entropy: Callable[[int], str] = secrets.token_hex) -> str:
    """A new traceparent: in the trace of the given one, or in a new trace if that is missing or malformed.

    `entropy(n)` gives n random bytes as hex.
    """
    found = _GIVEN.fullmatch((given or "").strip())
    trace, flags = (found[1], found[2]) if found else (entropy(16), _SAMPLED)
    return f"00-{trace}-{entropy(8)}-{flags}"

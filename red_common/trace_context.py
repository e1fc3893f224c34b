"""W3C Trace Context: the trace of a request goes on in the record that it leads to.

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
    """A traceparent of our own: in the given one's trace, or in a new one when it cannot be read."""
    found = _GIVEN.fullmatch((given or "").strip())
    trace, flags = (found[1], found[2]) if found else (entropy(16), _SAMPLED)
    return f"00-{trace}-{entropy(8)}-{flags}"

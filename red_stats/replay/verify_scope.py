"""The scope of a run of `verify`, the entries of its report, and why it may not be possible."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class CouldNotRun(Exception):
    """Raised when a role does not come to the end of the log, or something cannot be read."""


class Scope(NamedTuple):
    """All, or one client, or a span of event time (ms, half-open)."""

    client_id: str | None = None
    start: int | None = None
    end: int | None = None

    def holds(self, client_id: str, at: int) -> bool:
        """Whether a measurement belongs to it."""
        if self.client_id is not None and client_id != self.client_id:
            return False
        return (self.start is None or at >= self.start) and (self.end is None or at < self.end)


def difference(
    kind: str, missing: Iterable[Any], extra: Iterable[Any], **where: Any
) -> dict[str, Any] | None:
    """One entry of `differences`: what one side lacks and has too much; None when equal."""
    missing, extra = list(missing), list(extra)
    if not missing and not extra:
        return None
    return {
        "kind": kind,
        **where,
        "missing": len(missing),
        "extra": len(extra),
        "examples": [*missing[:5], *extra[:5]],
    }

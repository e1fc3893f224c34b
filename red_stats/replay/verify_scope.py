"""What a run of `verify` is about, and why it may be impossible."""

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

    def where(self) -> tuple[str, dict[str, Any]]:
        """The same as a condition of SQL and its parameters."""
        parts, values = [], {}
        if self.client_id is not None:
            parts.append(" AND client_id = {c:String}")
            values["c"] = self.client_id
        for name, sign, at in (("f", ">=", self.start), ("t", "<", self.end)):
            if at is not None:
                parts.append(f" AND measured_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}})")
                values[name] = at  # type: ignore[assignment]
        return "".join(parts), values

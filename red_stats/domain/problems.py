"""RFC 9457 problems: one shape for every error over HTTP and for every rejected command."""

from http import HTTPStatus
from typing import Any


def problem(status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """A problem object; `code` is stable for programs, `detail` says what to do."""
    return {
        "type": f"urn:red:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **extra,
    }


class Refused(Exception):
    """Raised when a request or command cannot be done; carries its problem."""

    def __init__(self, status: int, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.problem = problem(status, code, detail, **extra)

    @classmethod
    def from_problem(cls, given: dict[str, Any]) -> "Refused":
        """The same refusal again, from its problem object."""
        refused = cls(given["status"], given["code"], given["detail"])
        refused.problem = given
        return refused

    @property
    def status(self) -> int:
        """The HTTP status of the problem."""
        return int(self.problem["status"])

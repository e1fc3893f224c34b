"""The problems RED can have with an image, besides those that both services share.

Problem
├── Rejected     the image cannot be measured; in a multipart request only its own item fails
└── NotRecorded  the image was measured, but its event is not known to exist
    ├── NotStored       there is certainly no event
    │   └── FromFuture      it was withdrawn, because Kafka's clock is too far behind
    └── UnknownOutcome  Kafka was given the event but did not confirm it
"""

from typing import Any, ClassVar

from red_common.problems import Problem


class Rejected(Problem):
    """Raised when an image cannot be measured."""


class NotRecorded(Problem):
    """Raised when an image was measured but its event is not known to exist; becomes a 503."""

    name: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(self.name, detail, retry_after=2)


class NotStored(NotRecorded):
    """Raised when the image certainly has no event; trying again is safe."""

    name = "not_stored"


class FromFuture(NotStored):
    """Raised when an event was withdrawn because Kafka's clock is so far behind that it would not count."""


class UnknownOutcome(NotRecorded):
    """Raised when the event may or may not exist; without an Idempotency-Key a retry may count it twice."""

    name = "unknown_outcome"


def none_measured(items: list[dict[str, Any]]) -> Problem:
    """The problem if no image of a multipart request was measured: 503 if a retry may help, else 422.

    403 if the client's quota alone is in the way.
    """
    problems = [item["problem"] for item in items]
    codes = [problem["code"] for problem in problems if problem["status"] == 503]
    if codes:
        code = "unknown_outcome" if "unknown_outcome" in codes else codes[0]
        return Problem(code, "No image is known to be stored; see items.", retry_after=2, items=items)
    if {problem["code"] for problem in problems} == {"image_quota_exceeded"}:
        return Problem("image_quota_exceeded", problems[0]["detail"], items=items)
    return Problem(
        "no_image_measured", "None of the images could be measured; see items for the reasons.", items=items
    )


def rejected_item(problem: Problem, index: int, name: str | None) -> dict[str, Any]:
    """The response item of an image that was not measured; `index` counts from 0."""
    return {"index": index, "name": name, "status": "rejected", "problem": problem.as_dict()}

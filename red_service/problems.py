"""What RED cannot do with an image, on top of the problems both services share.

Problem
├── Rejected     this image cannot be measured; in multipart it concerns its own item only
└── NotRecorded  measured, but no event is known to exist
    ├── NotStored       certainly no event
    └── UnknownOutcome  Kafka was handed the event and has not answered
"""

from typing import Any, ClassVar

from red_common.problems import Problem


class Rejected(Problem):
    """Raised when an image cannot be measured."""


class NotRecorded(Problem):
    """Raised when an image was measured but its event is not known to be stored."""

    name: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(self.name, detail, retry_after=2)


class NotStored(NotRecorded):
    """Raised when there is certainly no event; trying again is safe."""

    name = "not_stored"


class FromFuture(NotStored):
    """Raised when Kafka's clock is so far behind that the event would not have counted, and was withdrawn."""


class UnknownOutcome(NotRecorded):
    """Raised when the event may or may not exist; trying again may count the image twice."""

    name = "unknown_outcome"


def none_measured(items: list[dict[str, Any]]) -> Problem:
    """About a multipart request without any success: 503 if an image might count later, else 422."""
    problems = [item["problem"] for item in items]
    codes = [problem["code"] for problem in problems if problem["status"] == 503]
    if codes:
        code = "unknown_outcome" if "unknown_outcome" in codes else codes[0]
        return Problem(code, "No image was stored for certain; see items.", retry_after=2, items=items)
    return Problem("no_image_measured", "None of the images could be measured; see items.", items=items)


def rejected_item(problem: Problem, index: int, name: str | None) -> dict[str, Any]:
    """The item of a part that was not measured."""
    return {"index": index, "name": name, "status": "rejected", "problem": problem.as_dict()}

"""Every problem RED can answer with, as RFC 9457 `application/problem+json`.

Problem
├── Rejected     this image cannot be measured; in multipart it concerns its own item only
└── NotRecorded  measured, but no event is known to exist
    ├── NotStored       certainly no event
    └── UnknownOutcome  Kafka was handed the event and has not answered
"""

from typing import Any, ClassVar, Final

CONTENT_TYPE: Final = "application/problem+json"

CATALOGUE: Final[dict[str, tuple[int, str]]] = {
    "bad_request": (400, "The request cannot be read"),
    "idempotency_key_invalid": (400, "The Idempotency-Key cannot be used"),
    "invalid_parameter": (400, "A query parameter has no usable value"),
    "multipart_malformed": (400, "The multipart body cannot be read"),
    "repeated_parameter": (400, "A query parameter is repeated"),
    "unknown_parameter": (400, "A query parameter is unknown"),
    "url_input_not_supported": (400, "Images are uploaded, not fetched"),
    "unauthenticated": (401, "A valid API key is required"),
    "admin_only": (403, "Only an admin key may do this"),
    "metrics_private": (403, "Metrics are for this machine only"),
    "scope_missing": (403, "The API key lacks a scope"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This address does not know the method"),
    "idempotency_in_progress": (409, "The first request with this Idempotency-Key has not ended"),
    "request_timeout": (408, "The request body took too long"),
    "body_too_large": (413, "The request body is too large"),
    "image_too_large": (413, "An image is too large"),
    "too_many_images": (413, "Too many images in one request"),
    "content_encoding": (415, "Content-Encoding is not supported"),
    "unsupported_format": (415, "Not an image of a supported format"),
    "unsupported_media_type": (415, "The Content-Type is not supported"),
    "idempotency_key_reused": (422, "The Idempotency-Key was used with another body"),
    "image_corrupt": (422, "The image is corrupt"),
    "image_dimension": (422, "The image is too wide or too high"),
    "image_empty": (422, "The image has no bytes"),
    "image_too_complex": (422, "The image has too many scans"),
    "image_too_expensive": (422, "The image takes too much time or memory to decode"),
    "image_too_many_pixels": (422, "The image has too many pixels"),
    "image_truncated": (422, "The image ends too early"),
    "no_image_measured": (422, "None of the images could be measured"),
    "rate_limited": (429, "The client sends more images than it may"),
    "internal_error": (500, "Something went wrong inside RED"),
    "not_ready": (503, "RED is not ready"),
    "decoder_lost": (503, "The decoder was killed"),
    "image_lost": (503, "The stored image is missing or damaged"),
    "not_stored": (503, "The measurement was not stored"),
    "overloaded": (503, "RED has more to measure than it can"),
    "storage_unavailable": (503, "The image store does not answer"),
    "unknown_outcome": (503, "It is unknown whether the measurement was stored"),
}


class Problem(Exception):
    """Raised when a request, or one image of it, cannot be answered with success.

    Args:
        code: a key of CATALOGUE; stable, clients compare it.
        detail: one sentence for the person who reads it.
        close: the connection cannot be used again, its body was not read to the end.
        retry_after: seconds after which trying again makes sense.
        extra: further members of the problem object.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        close: bool = False,
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(code, detail)
        self.code, self.detail, self.extra = code, detail, extra
        self.close, self.retry_after = close, retry_after
        self.status, self.title = CATALOGUE[code]

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def as_dict(self) -> dict[str, Any]:
        """The problem object."""
        return {
            "type": f"urn:red:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }

    def as_item(self, index: int, name: str | None) -> dict[str, Any]:
        """The item of a part that was not measured."""
        return {"index": index, "name": name, "status": "rejected", "problem": self.as_dict()}


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

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
    "idempotency_not_supported": (400, "Idempotency-Key is not supported"),
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
    "request_timeout": (408, "The request body took too long"),
    "body_too_large": (413, "The request body is too large"),
    "image_too_large": (413, "An image is too large"),
    "too_many_images": (413, "Too many images in one request"),
    "content_encoding": (415, "Content-Encoding is not supported"),
    "unsupported_format": (415, "Not an image of a supported format"),
    "unsupported_media_type": (415, "The Content-Type is not supported"),
    "image_corrupt": (422, "The image is corrupt"),
    "image_dimension": (422, "The image is too wide or too high"),
    "image_empty": (422, "The image has no bytes"),
    "image_too_complex": (422, "The image has too many scans"),
    "image_too_expensive": (422, "The image takes too much time or memory to decode"),
    "image_too_many_pixels": (422, "The image has too many pixels"),
    "image_truncated": (422, "The image ends too early"),
    "no_image_measured": (422, "None of the images could be measured"),
    "internal_error": (500, "Something went wrong inside RED"),
    "not_ready": (503, "RED is not ready"),
    "not_stored": (503, "The measurement was not stored"),
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


class UnknownOutcome(NotRecorded):
    """Raised when the event may or may not exist; trying again may count the image twice."""

    name = "unknown_outcome"

"""Every problem either service can report: one code, one status, one title (RFC 9457).

The same objects are sent over HTTP as `application/problem+json`, in the items of a multipart response
and in rejected commands on `red.command-results`.
"""

from collections.abc import Mapping
from typing import Any, Final

CONTENT_TYPE: Final = "application/problem+json"

MAX_DETAIL: Final = 500  # characters

#: code -> HTTP status and title; a code never changes, because clients compare it.
CATALOGUE: Final[dict[str, tuple[int, str]]] = {
    "bad_request": (400, "The request cannot be read"),
    "idempotency_key_invalid": (400, "The Idempotency-Key cannot be used"),
    "invalid_body": (400, "The request body is not as expected"),
    "invalid_command": (400, "The command is not as expected"),
    "invalid_parameter": (400, "A query parameter has an unusable value"),
    "key_mismatch": (400, "The record's key is not its client_id"),
    "multipart_malformed": (400, "The multipart body cannot be read"),
    "partition_mismatch": (400, "The record is on the wrong partition"),
    "repeated_parameter": (400, "A query parameter is repeated"),
    "sql_refused": (400, "The SQL is not allowed"),
    "too_many_buckets": (400, "The range has too many buckets"),
    "unknown_command": (400, "The command is unknown"),
    "unknown_parameter": (400, "A query parameter is unknown"),
    "url_input_not_supported": (400, "Images are uploaded, not fetched"),
    "unauthenticated": (401, "A valid API key is required"),
    "admin_only": (403, "Only an admin key may do this"),
    "image_quota_exceeded": (403, "The client's images take up all the room it has"),
    "metrics_private": (403, "Metrics are for this machine only"),
    "scope_missing": (403, "The API key lacks a scope"),
    "not_found": (404, "There is no such resource"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "request_timeout": (408, "The request took too long"),
    "delivery_not_repeatable": (409, "The delivery is of a kind that is not sent again"),
    "delivery_pending": (409, "The delivery has not ended"),
    "idempotency_in_progress": (409, "The first request with this Idempotency-Key has not finished"),
    "subscription_disabled": (409, "The subscription is disabled"),
    "subscription_exists": (409, "The subscription id is in use"),
    "too_many_secrets": (409, "Too many secrets overlap"),
    "too_many_subscriptions": (409, "The client has too many subscriptions"),
    "version_conflict": (409, "The subscription has changed in the meantime"),
    "position_gone": (410, "The position is older than what is kept"),
    "body_too_large": (413, "The request body is too large"),
    "image_too_large": (413, "An image is too large"),
    "too_many_images": (413, "Too many images in one request"),
    "content_encoding": (415, "Content-Encoding is not supported"),
    "unsupported_format": (415, "Not an image in a supported format"),
    "unsupported_media_type": (415, "The Content-Type is not supported"),
    "description_too_long": (422, "The description is too long"),
    "idempotency_key_reused": (422, "The Idempotency-Key was used with another body"),
    "image_corrupt": (422, "The image is corrupt"),
    "image_dimension": (422, "The image is too wide or too high"),
    "image_empty": (422, "The image has no bytes"),
    "image_too_complex": (422, "The image is too complex to decode"),
    "image_too_expensive": (422, "The image takes too much time or memory to decode"),
    "image_too_many_pixels": (422, "The image has too many pixels"),
    "image_truncated": (422, "The image ends too early"),
    "no_image_measured": (422, "None of the images could be measured"),
    "secret_unreadable": (422, "The secret is not sealed for this subscription"),
    "sql_failed": (422, "The SQL could not be answered"),
    "too_many": (422, "There are too many for one request"),
    "threshold_out_of_range": (422, "The threshold is out of range"),
    "value_out_of_range": (422, "A value is out of range"),
    "webhook_url_refused": (422, "The webhook URL is refused"),
    "rate_limited": (429, "The client has exceeded its rate limit"),
    "too_many_streams": (429, "The client has too many streams"),
    "internal_error": (500, "Something went wrong inside the service"),
    "command_pending": (503, "The command has no answer yet"),
    "decoder_lost": (503, "The decoder was killed"),
    "image_lost": (503, "The stored image is missing or damaged"),
    "not_ready": (503, "The service is not ready"),
    "not_stored": (503, "Nothing was stored"),
    "not_yet": (503, "The measurement has not been counted yet"),
    "overloaded": (503, "The service has more work than it can handle"),
    "storage_full": (503, "There is no room for images"),
    "storage_unavailable": (503, "The image store is unavailable"),
    "store_unavailable": (503, "The statistics store is unavailable"),
    "unknown_outcome": (503, "It is unknown whether the measurement was stored"),
}


class Problem(Exception):
    """Raised when a request, one image of it, or a command cannot be answered with success.

    Args:
        code: a key of CATALOGUE.
        detail: a sentence for the person reading it, with a full stop; it says what to do about it. It may
            quote the input: what is longer than MAX_DETAIL is cut.
        close: close the connection, because the request's body has not been read to its end.
        retry_after: seconds after which it makes sense to try again.
        described: status and title, where they differ from the catalogue's (see `from_dict`).
        extra: additional members of the problem object.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        close: bool = False,
        retry_after: int | None = None,
        described: tuple[int, str] | None = None,
        **extra: Any,
    ) -> None:
        detail = detail if len(detail) <= MAX_DETAIL else f"{detail[:MAX_DETAIL]}..."
        super().__init__(code, detail)
        self.code, self.detail, self.extra = code, detail, extra
        self.close, self.retry_after = close, retry_after
        self.status, self.title = described or CATALOGUE[code]

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"

    def as_dict(self) -> dict[str, Any]:
        """The problem object of RFC 9457, with `code` and any additional members."""
        return {
            "type": f"urn:red:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Problem":
        """The problem that another process serialized with `as_dict`.

        Status and title come from the object, so it may have a code this process does not know.
        """
        own = ("type", "title", "status", "detail", "code")
        extra = {name: value for name, value in fields.items() if name not in own}
        described = int(fields["status"]), str(fields["title"])
        return cls(fields["code"], fields["detail"], described=described, **extra)

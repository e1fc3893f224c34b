"""Standard Webhooks 1.0.0 signatures: `v1,` + base64 HMAC-SHA256 over `id.timestamp.body`. Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"


class InvalidSecret(ValueError):
    """Raised when a text is not a `whsec_` secret of 24 to 64 bytes."""


def new_secret(entropy: bytes) -> str:
    """A secret as clients see it, from 24 to 64 random bytes."""
    return PREFIX + base64.b64encode(entropy).decode()


def key_of(secret: str) -> bytes:
    """The bytes to sign with.

    Raises:
        InvalidSecret: the text is not such a secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise InvalidSecret("a secret is not valid base64") from error
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise InvalidSecret("a secret must be whsec_ followed by 24 to 64 bytes in base64")
    return key


def sign(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """One signature; `timestamp` is the time of the attempt, in whole seconds since 1970.

    Raises:
        InvalidSecret: `secret` is not a `whsec_` secret.
    """
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(secrets: Sequence[str], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a request, signed with every secret in force, the current one first."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(s, webhook_id, timestamp, body) for s in secrets),
    }

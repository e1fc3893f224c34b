"""Webhook secrets at rest: AES-256-GCM, the key's id in the value, bound to client and subscription.

The key comes from `RED_SECRET_KEY` (64 hex digits) or `secret.key` in the data folder.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from red_stats.domain.signatures import new_secret

KEY_FILE = "secret.key"
_NONCE_BYTES = 12


class SecretKeyError(Exception):
    """Raised when the key is missing or wrong; the text says what to do."""


class SecretBox:
    """Seals and opens secrets with one key of 32 bytes; `key_id` names it."""

    def __init__(self, key: bytes, entropy: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.key_id = hashlib.sha256(key).hexdigest()[:8]
        self._key = key
        self._aead = AESGCM(key)
        self._entropy = entropy

    def seal(self, client_id: str, subscription_id: str, secret: str) -> str:
        """The secret as it may stand on a topic: `<key id>.<base64 of nonce and ciphertext>`."""
        nonce = self._entropy(_NONCE_BYTES)
        bound = _bound(client_id, subscription_id)
        sealed = nonce + self._aead.encrypt(nonce, secret.encode(), bound)
        return f"{self.key_id}.{base64.b64encode(sealed).decode()}"

    def open(self, client_id: str, subscription_id: str, sealed: str) -> str:
        """The secret in clear.

        Raises:
            SecretKeyError: it was sealed with another key or for another subscription.
        """
        key_id, _, text = sealed.partition(".")
        try:
            raw = base64.b64decode(text, validate=True)
            bound = _bound(client_id, subscription_id)
            clear = self._aead.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound)
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise SecretKeyError(
                f"a secret sealed with key {key_id} cannot be opened with key {self.key_id}"
            ) from error
        return clear.decode()

    def opens(self, client_id: str, subscription_id: str, sealed: str) -> bool:
        """Whether `open` would succeed."""
        try:
            self.open(client_id, subscription_id, sealed)
        except SecretKeyError:
            return False
        return True

    def fresh(self, client_id: str, subscription_id: str) -> tuple[str, str]:
        """A new secret: in clear, and sealed."""
        clear = new_secret(self._entropy(32))
        return clear, self.seal(client_id, subscription_id, clear)

    def repeatable(self, client_id: str, subscription_id: str, request_id: str) -> tuple[str, str]:
        """The secret that belongs to a request, the same however often it comes: in clear, and sealed."""
        about = b"webhook secret/" + _bound(client_id, subscription_id) + b"/" + request_id.encode()
        clear = new_secret(hmac.digest(self._key, about, "sha256"))
        return clear, self.seal(client_id, subscription_id, clear)


def _bound(client_id: str, subscription_id: str) -> bytes:
    return f"{client_id}/{subscription_id}".encode()


def load_key(data: Path, configured: str | None, *, create: bool = False) -> bytes:
    """The key of this installation, 32 bytes; with `create` it is made if there is none.

    Raises:
        SecretKeyError: no key is configured and there is no file, or it is not 64 hex digits.
    """
    if configured:
        return _parse(configured, "RED_SECRET_KEY")
    path = data / KEY_FILE
    if not path.exists():
        if not create:
            raise SecretKeyError(f"{path} is missing: restore it or set RED_SECRET_KEY")
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    return _parse(path.read_text().strip(), str(path))


def _parse(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise SecretKeyError(f"{source} must be 64 hex digits") from error
    if len(key) != 32:
        raise SecretKeyError(f"{source} must be 64 hex digits")
    return key

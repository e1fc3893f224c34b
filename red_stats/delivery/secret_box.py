"""Webhook secrets at rest: AES-256-GCM, the key's id in the value, bound to client and subscription."""

import base64
import binascii
import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from red_common.secret_keys import SecretKeyError, SecretKeys
from red_stats.domain.signatures import new_secret

_NONCE_BYTES = 12


class SecretBox:
    """Seals secrets with the key in use, and opens what any of the keys has sealed."""

    def __init__(self, keys: SecretKeys, entropy: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._keys = keys
        self._entropy = entropy

    def seal(self, client_id: str, subscription_id: str, secret: str) -> str:
        """The secret as it may stand on a topic: `<key id>.<base64 of nonce and ciphertext>`."""
        nonce = self._entropy(_NONCE_BYTES)
        bound = _bound(client_id, subscription_id)
        sealed = nonce + AESGCM(self._keys.current).encrypt(nonce, secret.encode(), bound)
        return f"{self._keys.current_id}.{base64.b64encode(sealed).decode()}"

    def open(self, client_id: str, subscription_id: str, sealed: str) -> str:
        """The secret in clear.

        Raises:
            SecretKeyError: it was sealed with a key unknown here or for another subscription.
        """
        name, _, text = sealed.partition(".")
        key = self._keys.find(name)
        if key is None:
            raise SecretKeyError(f"a secret is sealed with key {name}, which is not among ours")
        try:
            raw = base64.b64decode(text, validate=True)
            bound = _bound(client_id, subscription_id)
            clear = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound)
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise SecretKeyError(
                f"a secret cannot be opened with key {name}: it is not for this subscription"
            ) from error
        return clear.decode()

    def opens(self, client_id: str, subscription_id: str, sealed: str) -> bool:
        """Whether `open` would succeed."""
        try:
            self.open(client_id, subscription_id, sealed)
        except SecretKeyError:
            return False
        return True

    def fresh(self, client_id: str, subscription_id: str) -> str:
        """A new secret, sealed."""
        return self.seal(client_id, subscription_id, new_secret(self._entropy(32)))


def _bound(client_id: str, subscription_id: str) -> bytes:
    return f"{client_id}/{subscription_id}".encode()

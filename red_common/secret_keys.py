"""The secret keys of an installation: they seal webhook secrets and sign the records of API keys.

They come from `RED_SECRET_KEY`, or from `secret.key` in the data folder: 64 hex digits each, the one in use
first, then those it has replaced.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from red_common import private_files

KEY_FILE: Final = "secret.key"
KEY_BYTES: Final = 32


class SecretKeyError(Exception):
    """Raised when a key is missing or wrong; the text says what to do."""


class SecretKeys:
    """Keys of 32 bytes, each named by an id of 8 hex digits; the first is in use, the others only verify."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {key_id(key): key for key in keys}
        self.current_id = key_id(keys[0])

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset(self._keys)

    @property
    def all(self) -> tuple[bytes, ...]:
        """Every key, the one in use first."""
        return tuple(self._keys.values())

    @property
    def current(self) -> bytes:
        """The key in use."""
        return self._keys[self.current_id]

    def find(self, name: str) -> bytes | None:
        """The key with this id, or None."""
        return self._keys.get(name)

    def sign(self, purpose: str, message: bytes) -> str:
        """A signature under the key in use: its id and an HMAC-SHA256 in hex, joined by a full stop."""
        return f"{self.current_id}.{_mac(self.current, purpose, message)}"

    def has_signed(self, purpose: str, message: bytes, signature: str) -> bool:
        """Whether `sign` of one of the keys made this signature."""
        name, _, mac = signature.partition(".")
        key = self.find(name)
        return key is not None and hmac.compare_digest(
            _mac(key, purpose, message).encode(), mac.encode(errors="replace")
        )


def key_id(key: bytes) -> str:
    """The name of a key, which tells nothing about it."""
    return hashlib.sha256(key).hexdigest()[:8]


def load_keys(data: Path, configured: str | None, *, create: bool = False) -> SecretKeys:
    """The keys of this installation; with `create` one is made if there is none.

    Raises:
        SecretKeyError: no key is configured and there is no file, or one is not 64 hex digits.
    """
    if configured:
        return _parse(configured, "RED_SECRET_KEY")
    path = data / KEY_FILE
    if create and not path.exists():
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, [secrets.token_bytes(KEY_BYTES)])
    try:
        return _parse(path.read_text(), str(path))
    except FileNotFoundError:
        raise SecretKeyError(f"{path} is missing: restore it or set RED_SECRET_KEY") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SecretKeyError(f"{path} cannot be read ({error}): restore it") from error


def rotate(data: Path) -> SecretKeys:
    """Puts a new key in front of those in the file; processes use it from their next start.

    Raises:
        SecretKeyError: there is no file, or it cannot be read or written.
    """
    keys = [secrets.token_bytes(KEY_BYTES), *load_keys(data, None).all]
    try:
        _write(data / KEY_FILE, keys)
    except OSError as error:
        raise SecretKeyError(f"{data / KEY_FILE} cannot be written: {error}") from error
    return SecretKeys(keys)


def _write(path: Path, keys: Sequence[bytes]) -> None:
    private_files.write(path, "".join(f"{key.hex()}\n" for key in keys))


def _parse(text: str, source: str) -> SecretKeys:
    try:
        keys = [bytes.fromhex(word) for word in text.replace(",", " ").split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise SecretKeyError(f"{source} must be 64 hex digits, or several keys of so many")
    return SecretKeys(keys)


def _mac(key: bytes, purpose: str, message: bytes) -> str:
    own = hmac.digest(key, purpose.encode(), "sha256")  # a key for each purpose
    return hmac.digest(own, message, "sha256").hex()

"""The certificate with which both services speak HTTPS, read again whenever its files change."""

import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)


class ServerCertificate:
    """A certificate with its chain, and its key, in PEM files.

    Raises:
        ValueError: they cannot be read or do not fit together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._seen = self._versions()
        self._context = server_context(certificate, key)

    def context(self) -> ssl.SSLContext:
        """The context for a new connection: that of the last files that fit together."""
        versions = self._versions()
        if versions != self._seen:
            self._seen = versions
            try:
                self._context = server_context(self._certificate, self._key)
                log.info("RED_TLS_CERT: %s is in use from now on, as it has changed", self._certificate)
            except ValueError as error:  # as between the writes of the two files
                log.warning("%s; new connections get the certificate from before", error)
        return self._context

    def _versions(self) -> tuple[tuple[int, ...] | None, ...]:
        return version_of(self._certificate), version_of(self._key)


def version_of(path: Path) -> tuple[int, ...] | None:
    """What differs once a file has been changed or replaced; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server needs to show the certificate in a file; TLS 1.2 or newer.

    Raises:
        ValueError: a file cannot be read, or is not what it should be; the text is one line.
    """
    for name, path in (("RED_TLS_CERT", certificate), ("RED_TLS_KEY", key)):
        content = _content(name, path)
        if b"-----BEGIN ENCRYPTED" in content or b"Proc-Type: 4,ENCRYPTED" in content:
            raise ValueError(f"{name}: {path} is encrypted: nobody could type its password, decrypt it")
        if name == "RED_TLS_CERT" and b"-----BEGIN CERTIFICATE-----" not in content:
            raise ValueError(f"{name}: {path} has no certificate in PEM")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake costs more than a request
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise ValueError(
                f"RED_TLS_KEY: {key} is not the key of the certificate in {certificate}"
            ) from error
        raise ValueError(
            f"RED_TLS_CERT: {certificate} with the key in {key} cannot be used: is each PEM? ({error})"
        ) from error
    return context


def client_context(authorities: Path) -> ssl.SSLContext:
    """What a client needs to trust the authorities in a file.

    Raises:
        ValueError: the file cannot be used; the text is one line.
    """
    _content("RED_TLS_CA", authorities)
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise ValueError(f"RED_TLS_CA: {authorities} cannot be used: is it PEM? ({error})") from error


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from error

"""Why a webhook could not be sent, in words for its client, without any address of ours."""

import ssl
from typing import Final

import aiohttp

_CERTIFICATE: Final = {  # OpenSSL's X509_V_ERR_*
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate's issuer is not trusted: its root is self-signed",
    20: "the certificate's chain is incomplete: send the intermediate certificates too",
    21: "the certificate's chain is incomplete: send the intermediate certificates too",
    62: "the certificate is for another name",
    64: "the certificate is for another address",
}
_TLS: Final = (  # parts of OpenSSL's reasons
    ("PROTOCOL_VERSION", "the server's TLS is too old: 1.2 is needed"),
    ("UNSUPPORTED_PROTOCOL", "the server's TLS is too old: 1.2 is needed"),
    ("WRONG_VERSION_NUMBER", "the server does not speak TLS on this port"),
    ("HTTP_REQUEST", "the server does not speak TLS on this port"),
    ("HANDSHAKE_FAILURE", "the server refused the TLS handshake"),
)
_CLOSED: Final = "closed the connection without an answer"


def described(failure: BaseException) -> str:
    """The kind of a failed attempt in words."""
    cause = _tls_error(failure)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(cause.verify_code, "the certificate is not valid")
    if isinstance(cause, ssl.SSLError):
        reason = cause.reason or ""
        return next((words for part, words in _TLS if part in reason), "TLS failed")
    if isinstance(failure, TimeoutError):
        return "timed out"
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return "the name could not be resolved"
    if isinstance(failure, aiohttp.ClientConnectorError):
        refused = isinstance(failure.os_error, ConnectionRefusedError)
        return "refused the connection" if refused else "could not connect"
    if isinstance(failure, aiohttp.ServerDisconnectedError):
        return _CLOSED
    if isinstance(failure, ConnectionResetError | BrokenPipeError | aiohttp.ClientOSError):
        return "reset the connection"
    if isinstance(failure, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return "answered with something that is not HTTP"
    return "the request failed"


def _tls_error(failure: BaseException | None) -> ssl.SSLError | None:
    """The error of TLS behind a failure, however it is wrapped."""
    while failure is not None:
        if isinstance(failure, ssl.SSLError) and not isinstance(failure, aiohttp.ClientError):
            return failure
        inner = getattr(failure, "os_error", None) or getattr(failure, "certificate_error", None)
        failure = inner or failure.__cause__ or failure.__context__
    return None

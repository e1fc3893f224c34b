"""Whom our own clients believe when they ask one of our services over HTTPS."""

import hashlib
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp

from red_common.tls import client_context, version_of

Trust = aiohttp.Fingerprint | ssl.SSLContext | bool
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def trust(certificate: Path | None, authorities: Path | None = None) -> Trust:
    """The argument `ssl` of a request of aiohttp.

    With `authorities` it must be they who signed, and the name must be right. Else it must be exactly
    `certificate`: whoever has its key is one of us, at whatever address. Else it is whom the system trusts.

    Raises:
        OSError, ValueError: a file cannot be read.
    """
    file = authorities or certificate
    return True if file is None else _trust(certificate, authorities, version_of(file))


@lru_cache(maxsize=4)  # the same object lets aiohttp use a connection again
def _trust(certificate: Path | None, authorities: Path | None, version: Any) -> Trust:
    if authorities is not None:
        return client_context(authorities)
    assert certificate is not None
    pem = certificate.read_text()
    first = pem[pem.index(BEGIN) : pem.index(END) + len(END)]
    return aiohttp.Fingerprint(hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest())

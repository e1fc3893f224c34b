"""How clients of Kafka prove who they are and make sure of the cluster: TLS and SASL."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

OF_SASL: Final = ("mechanism", "username", "password")
OF_TLS: Final = ("ca_file", "cert_file", "key_file")


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """The settings `RED_KAFKA_*` of the same names; without `ca_file` whom the system trusts is trusted."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def has_sasl(self) -> bool:
        """Whether clients give a username and a password."""
        return self.protocol.startswith("SASL_")

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted, and the broker's certificate and name are checked."""
        return self.protocol.endswith("SSL")

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The one context of this process for these files, read once; None without TLS.

        Raises:
            ValueError: a file cannot be used.
        """
        return _context(self.ca_file, self.cert_file, self.key_file) if self.has_tls else None

    def check(self) -> None:
        """Check what belongs together, and the files.

        Raises:
            ValueError: something is missing, or given for nothing, or a file cannot be used.
        """
        for name in OF_SASL:
            if self.has_sasl and not getattr(self, name):
                raise ValueError(f"RED_KAFKA_SECURITY={self.protocol} needs {_setting(name)}")
        if not self.has_sasl:
            self._refuse(OF_SASL, "SASL_SSL or SASL_PLAINTEXT")
        if not self.has_tls:
            self._refuse(OF_TLS, "SSL or SASL_SSL")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("RED_KAFKA_CERT_FILE and RED_KAFKA_KEY_FILE belong together: one is missing")
        _ = self.ssl_context

    def options(self) -> dict[str, Any]:
        """The arguments of every client of aiokafka."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context}
        if self.has_sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def _refuse(self, names: tuple[str, ...], protocols: str) -> None:
        """Refuse what would be ignored: whoever gives a password means it to be asked for."""
        for name in names:
            if getattr(self, name):
                raise ValueError(
                    f"{_setting(name)} is for RED_KAFKA_SECURITY={protocols}, which is {self.protocol}"
                )


def _setting(name: str) -> str:
    return f"RED_KAFKA_{name.upper()}"


@lru_cache
def _context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"RED_KAFKA_CA_FILE: {ca_file} cannot be used: {error}") from error
    if cert_file is not None:
        try:
            # a key that is encrypted fails, instead of asking whoever sits at the terminal
            context.load_cert_chain(cert_file, key_file, password="")
        except OSError as error:
            raise ValueError(
                f"RED_KAFKA_CERT_FILE: {cert_file} with the key in {key_file} cannot be used: {error}"
            ) from error
    return context

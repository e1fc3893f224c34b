"""The settings both services share, and how each reads its own from `RED_*` environment variables."""

import os
import re
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from red_common import failpoints, open_files, tls
from red_common.kafka.connection import KafkaConnection
from red_common.kafka.security import KafkaSecurity, Mechanism, Protocol
from red_common.networks import Network, parse_networks
from red_common.process_log import LogFormat

SECRET: Final[dict[str, Any]] = {"secret": True}  # marks a setting that may be given as a file
ORIGIN: Final = re.compile(r"(https?)://(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::([1-9][0-9]{0,4}))?")
PORTS: Final = {"http": 80, "https": 443}  # which browsers leave out
Port = Annotated[int, Field(ge=1, le=65535)]
Kind = TypeVar("Kind", bound="CommonSettings")


def checked(parse: Any) -> AfterValidator:
    """A validator that keeps a text if there is none or `parse` accepts it, else reports the ValueError."""

    def check(text: str | None) -> str | None:
        if text:
            parse(text)
        return text

    return AfterValidator(check)


def parse_origin(text: str) -> str:
    """An origin as browsers write it: scheme, host, and a port that is not the scheme's own.

    Raises:
        ValueError: it is anything else.
    """
    found = ORIGIN.fullmatch(text)
    if found is None or not _is_host(found[2], found[3]):
        raise ValueError(f"{text} is no origin: https://host or https://host:port, in lower case")
    if found[4] is not None and not _is_named(found[1], int(found[4])):
        raise ValueError(f"{text} is no origin: browsers never name that port there")
    return text


def _is_named(scheme: str, port: int) -> bool:
    return port <= 65535 and port != PORTS[scheme]


def _is_host(name: str | None, address: str | None) -> bool:
    """Whether a name, or an address in brackets, is written as browsers write it."""
    try:
        if address is not None:
            return str(IPv6Address(address)) == address
        last = (name or "").removesuffix(".").rpartition(".")[2]
        return bool(last) and (not last.isdigit() or bool(IPv4Address(name or "")))
    except ValueError:
        return False


def origin(scheme: str, host: str, port: int) -> str:
    """The origin of what listens there, as browsers send it."""
    named = f"[{host}]" if ":" in host else host
    return f"{scheme}://{named}" + ("" if port == PORTS[scheme] else f":{port}")


class FromFiles(PydanticBaseSettingsSource):
    """Secrets from the files that `RED_X_FILE` names, as container platforms mount them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The content of the file for a secret, None for any other field or without a file."""
        name = f"RED_{field_name.upper()}_FILE"
        path = os.environ.get(name)
        if not path or field.json_schema_extra != SECRET:
            return None, field_name, False
        if os.environ.get(name.removesuffix("_FILE")):
            raise SettingsError(f"{name.removesuffix('_FILE')} and {name} are both set: unset one of them")
        try:
            text = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: {path} cannot be read: {error}") from error
        if not text:
            raise SettingsError(f"{name}: {path} is empty")
        return text, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Every secret that is in a file."""
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in found.items() if value is not None}


class CommonSettings(BaseSettings):
    """The settings both services share; read once when a process starts, then frozen."""

    model_config = SettingsConfigDict(env_prefix="RED_", frozen=True, extra="ignore", env_ignore_empty=True)

    data: Path = Field(Path("./data"), description="folder for everything that must survive a restart")
    host: str = Field("127.0.0.1", min_length=1, description="address on which both services listen")
    port: Port = Field(8080, description="RED's port")
    stats_port: Port = Field(6066, description="RED_STATS' port: views, health, metrics and the page")
    kafka: str | None = Field(None, description="an existing cluster: host:port[,host:port]")
    kafka_port: Port = Field(9092, description="port of the embedded Kafka")
    kafka_security: Protocol = Field(
        "PLAINTEXT",
        description="how clients reach the cluster of RED_KAFKA: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    )
    kafka_mechanism: Mechanism | None = Field(
        None, description="how they log in with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str | None = Field(None, description="who this process is in the cluster, with SASL")
    kafka_password: str | None = Field(
        None,
        repr=False,
        json_schema_extra=SECRET,
        description="password of RED_KAFKA_USERNAME, or RED_KAFKA_PASSWORD_FILE",
    )
    kafka_ca_file: Path | None = Field(
        None, description="certificates (PEM) that sign those of the brokers; unset: those the system trusts"
    )
    kafka_cert_file: Path | None = Field(
        None, description="this process's own certificate (PEM), for a cluster that asks for one"
    )
    kafka_key_file: Path | None = Field(
        None, description="the private key (PEM, not encrypted) of RED_KAFKA_CERT_FILE"
    )
    storage: str | None = Field(
        None, description="object store for images, such as s3://bucket/prefix; unset: the data folder"
    )
    idle_seconds: float = Field(
        30, ge=1, description="seconds after which a connection without a complete request is closed"
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="connections that clients may have to one process; unset: a quarter of the "
        "files it may have open, at most 1000",
    )
    tls_cert: Path | None = Field(
        None,
        description="certificate (PEM, with its chain) of both services, which then speak HTTPS only;"
        " unset: HTTP",
    )
    tls_key: Path | None = Field(None, description="the private key (PEM, not encrypted) of RED_TLS_CERT")
    tls_ca: Path | None = Field(
        None,
        description="certificates (PEM) that sign those of other workers; unset: they must show RED_TLS_CERT"
        " itself, or without one what the system trusts",
    )
    trusted_proxies: Annotated[str, checked(parse_networks)] = Field(
        "", description="CIDRs, comma-separated, of proxies whose X-Forwarded-For is believed"
    )
    metrics_public: bool = Field(False, description="serve /metrics to addresses other than loopback")
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="stable name of this process: with it a restart takes back its work at once",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    log_format: LogFormat = Field("text", description="text for people, json for programs")
    secret_key: str | None = Field(
        None,
        repr=False,
        json_schema_extra=SECRET,
        description="keys that seal webhook secrets and sign API keys, the same in both services: 64 hex"
        " digits each, the one in use first, or RED_SECRET_KEY_FILE; unset: secret.key in the data folder",
    )
    crash_at: Annotated[str, checked(failpoints.parse)] = Field("", description="for tests only")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given as an argument, then the environment, then files of secrets."""
        return named["init_settings"], named["env_settings"], FromFiles(settings_cls)

    @property
    def connections(self) -> int:
        """How many connections of clients this process keeps open."""
        return self.max_connections or open_files.connections_within(open_files.soft_limit())

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How the services are spoken to."""
        return "http" if self.tls_cert is None else "https"

    @property
    def proxies(self) -> tuple[Network, ...]:
        """Networks of the proxies that say truly who their clients are."""
        return parse_networks(self.trusted_proxies)

    def open_certificate(self) -> tls.ServerCertificate | None:
        """The certificate of this process; None if it speaks HTTP."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return tls.ServerCertificate(self.tls_cert, self.tls_key)

    @property
    def connection(self) -> KafkaConnection:
        """The cluster of RED_KAFKA, else the embedded Kafka on this machine."""
        return KafkaConnection(self.kafka or f"127.0.0.1:{self.kafka_port}", self._security)

    @property
    def _security(self) -> KafkaSecurity:
        return KafkaSecurity(
            self.kafka_security,
            self.kafka_mechanism,
            self.kafka_username,
            self.kafka_password,
            self.kafka_ca_file,
            self.kafka_cert_file,
            self.kafka_key_file,
        )

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        self._security.check()
        if self.kafka is None and self.kafka_security != "PLAINTEXT":
            raise ValueError(
                f"RED_KAFKA_SECURITY={self.kafka_security} needs RED_KAFKA: the embedded Kafka has no locks"
            )
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("RED_TLS_CERT and RED_TLS_KEY belong together: one is missing")
        self.open_certificate()
        if self.tls_ca is not None:
            tls.client_context(self.tls_ca)
        return self


def load(kind: type[Kind], program: str) -> Kind:
    """Reads the settings from the environment.

    Raises:
        SystemExit: code 2; each bad value is a line on stderr that begins with `program`.
    """
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            print(f"{program}: {_told(kind, problem)}", file=sys.stderr)
        raise SystemExit(2) from None
    except SettingsError as error:
        print(f"{program}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _told(kind: type[CommonSettings], problem: Any) -> str:
    """What is wrong with a setting, without the value of a secret; or with several that do not fit."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    is_secret = kind.model_fields[name].json_schema_extra == SECRET
    return f"RED_{name.upper()}: {message}" + ("" if is_secret else f" (got {problem['input']!r})")


def described(kind: type[CommonSettings]) -> list[dict[str, Any]]:
    """Name, default and meaning of every setting of `kind`, as JSON-ready objects."""
    return [
        {
            "name": f"RED_{name.upper()}",
            "default": str(field.default) if isinstance(field.default, Path) else field.default,
            "help": field.description,
        }
        for name, field in kind.model_fields.items()
        if name != "crash_at"
    ]

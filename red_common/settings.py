"""The settings both services share, and how each reads its own from `RED_*` environment variables."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from red_common import failpoints
from red_common.kafka.connection import KafkaConnection
from red_common.process_log import LogFormat

Port = Annotated[int, Field(ge=1, le=65535)]
Kind = TypeVar("Kind", bound="CommonSettings")


def checked(parse: Any) -> AfterValidator:
    """A validator that keeps a text if it is empty or `parse` accepts it, else reports the ValueError."""

    def check(text: str) -> str:
        if text:
            parse(text)
        return text

    return AfterValidator(check)


class CommonSettings(BaseSettings):
    """The settings both services share; read once when a process starts, then frozen."""

    model_config = SettingsConfigDict(env_prefix="RED_", frozen=True, extra="ignore", env_ignore_empty=True)

    data: Path = Field(Path("./data"), description="folder for everything that must survive a restart")
    host: str = Field("127.0.0.1", min_length=1, description="address on which both services listen")
    port: Port = Field(8080, description="RED's port")
    stats_port: Port = Field(6066, description="RED_STATS' port: views, health, metrics and the page")
    kafka: str | None = Field(None, description="an existing cluster: host:port[,host:port]")
    kafka_port: Port = Field(9092, description="port of the embedded Kafka")
    storage: str | None = Field(
        None, description="object store for images, such as s3://bucket/prefix; unset: the data folder"
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
    crash_at: Annotated[str, checked(failpoints.parse)] = Field("", description="for tests only")

    @property
    def connection(self) -> KafkaConnection:
        """The cluster of RED_KAFKA, else the embedded Kafka on this machine."""
        return KafkaConnection(self.kafka or f"127.0.0.1:{self.kafka_port}")


def load(kind: type[Kind], program: str) -> Kind:
    """Reads the settings from the environment.

    Raises:
        SystemExit: code 2; each bad value is a line on stderr that begins with `program`.
    """
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            name = "RED_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{program}: {name}: {problem['msg']} (got {problem['input']!r})", file=sys.stderr)
        raise SystemExit(2) from None


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

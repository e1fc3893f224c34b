"""The settings both services have, and how either reads its own: `RED_*` environment variables."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from red_common import failpoints
from red_common.kafka.connection import KafkaConnection

Port = Annotated[int, Field(ge=1, le=65535)]
Kind = TypeVar("Kind", bound="CommonSettings")


def checked(parse: Any) -> AfterValidator:
    """A validator: the text stays as it is if `parse` can read it; its ValueError says why not."""

    def check(text: str) -> str:
        if text:
            parse(text)
        return text

    return AfterValidator(check)


class CommonSettings(BaseSettings):
    """Read once at the start of a process; frozen."""

    model_config = SettingsConfigDict(env_prefix="RED_", frozen=True, extra="ignore", env_ignore_empty=True)

    data: Path = Field(Path("./data"), description="everything that must survive a restart")
    host: str = Field("127.0.0.1", min_length=1, description="address on which both services listen")
    port: Port = Field(8080, description="RED's port")
    stats_port: Port = Field(6066, description="RED_STATS' port: views, health, metrics and the page")
    kafka: str | None = Field(None, description="an existing cluster: host:port[,host:port]")
    kafka_port: Port = Field(9092, description="port of the embedded Kafka")
    storage: str | None = Field(
        None, description="an object store for images, such as s3://bucket/prefix; unset: the data folder"
    )
    metrics_public: bool = Field(False, description="serve /metrics to addresses other than loopback")
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="this process' own name: after a kill it takes back at once what it held",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    crash_at: Annotated[str, checked(failpoints.parse)] = Field("", description="for tests only")

    @property
    def connection(self) -> KafkaConnection:
        """How Kafka is reached."""
        return KafkaConnection(self.kafka or f"127.0.0.1:{self.kafka_port}")


def load(kind: type[Kind], program: str) -> Kind:
    """The settings of the environment; each bad value is a line on stderr, and the exit code is 2."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            name = "RED_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{program}: {name}: {problem['msg']} (got {problem['input']!r})", file=sys.stderr)
        raise SystemExit(2) from None


def described(kind: type[CommonSettings]) -> list[dict[str, Any]]:
    """Name, default and meaning of every setting, ready for JSON."""
    return [
        {
            "name": f"RED_{name.upper()}",
            "default": str(field.default) if isinstance(field.default, Path) else field.default,
            "help": field.description,
        }
        for name, field in kind.model_fields.items()
        if name != "crash_at"
    ]

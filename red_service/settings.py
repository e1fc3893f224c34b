"""Every setting of RED: `RED_*` environment variables, listed by `python -m red_service --settings`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from red_service import crash

Port = Annotated[int, Field(ge=1, le=65535)]


def _armed(spec: str) -> str:
    if spec.startswith("red."):  # the others are RED_STATS'
        crash.arm(spec)
    return spec


class Settings(BaseSettings):
    """Read once at start; frozen."""

    model_config = SettingsConfigDict(env_prefix="RED_", frozen=True, extra="ignore")

    data: Path = Field(Path("./data"), description="everything that must survive a restart")
    host: str = Field("127.0.0.1", min_length=1, description="where RED listens")
    port: Port = Field(8080, description="RED's port")
    stats_port: Port = Field(6066, description="RED_STATS' port: its page may call RED")
    kafka: str | None = Field(None, description="an existing cluster: host:port[,host:port]")
    kafka_port: Port = Field(9092, description="port of the embedded Kafka")
    kafka_wait: float = Field(30, ge=0, description="seconds the start waits for Kafka")
    storage: str | None = Field(
        None, description="an object store for images, such as s3://bucket/prefix; unset: the data folder"
    )
    storage_fsync: bool = Field(
        False, description="an image in a local folder is on the disk before it is answered"
    )
    rate: float = Field(1000, ge=0, description="images a second one client may send; 0: no limit")
    rate_burst: float | None = Field(
        None, ge=1, description="images a client may send at once; unset: two seconds' worth"
    )
    body_memory: int = Field(
        256 << 20, ge=64 << 20, description="bytes the bodies of all requests may take together"
    )
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="this RED's name, no two at once have the same: what a killed one left open ends at once",
    )
    idle_seconds: float = Field(
        30, ge=1, description="a connection without a whole request is closed after these seconds"
    )
    key_lease: float = Field(
        30, gt=0, description="seconds until another RED ends a request with an Idempotency-Key"
    )
    decode_seconds: float = Field(5, gt=0, description="seconds one image may take to decode")
    decode_workers: int | None = Field(
        None, ge=1, le=256, description="processes that decode; unset: one per processor"
    )
    metrics_public: bool = Field(False, description="serve /metrics to others than loopback")
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    crash_at: Annotated[str, AfterValidator(_armed)] = Field("", description="for tests only")

    @property
    def bootstrap(self) -> str:
        """Where Kafka is."""
        return self.kafka or f"127.0.0.1:{self.kafka_port}"

    @property
    def workers(self) -> int:
        """Processes that decode."""
        return self.decode_workers or os.cpu_count() or 1

    @property
    def origins(self) -> frozenset[str]:
        """Origins of RED_STATS' page, which may call RED from a browser."""
        hosts = (self.host, "localhost", "127.0.0.1")
        return frozenset(f"http://{host}:{self.stats_port}" for host in hosts)


def load() -> Settings:
    """The settings of the environment; a bad value is one line on stderr and exit code 2."""
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors()[0]
        name = "RED_" + "_".join(str(part) for part in problem["loc"]).upper()
        print(f"red: {name}: {problem['msg']} (got {problem['input']!r})", file=sys.stderr)
        raise SystemExit(2) from None


def described() -> list[dict[str, Any]]:
    """Name, default and meaning of each, ready for JSON."""
    return [
        {
            "name": f"RED_{name.upper()}",
            "default": str(field.default) if isinstance(field.default, Path) else field.default,
            "help": field.description,
        }
        for name, field in Settings.model_fields.items()
        if name != "crash_at"
    ]

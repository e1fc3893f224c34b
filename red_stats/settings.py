"""Every setting of RED_STATS: `RED_*` environment variables, listed by `red-stats settings`."""

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from red_stats import crash
from red_stats.domain.retries import parse_schedule
from red_stats.domain.urls import Network, parse_networks

SCHEDULE = "5,30,300,1800,7200,18000,36000,50400,72000,86400"

Port = Annotated[int, Field(ge=1, le=65535)]


def _checked(parse: Any) -> AfterValidator:
    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _armed(spec: str) -> None:
    if not spec.startswith("red."):  # those are RED's
        crash.arm(spec)


class Settings(BaseSettings):
    """Read once at start; frozen."""

    model_config = SettingsConfigDict(env_prefix="RED_", frozen=True, extra="ignore")

    data: Path = Field(Path("./data"), description="everything that must survive a restart")
    host: str = Field("127.0.0.1", description="where both services listen")
    port: Port = Field(8080, description="RED's port")
    stats_port: Port = Field(6066, description="RED_STATS' port: views, health and metrics")
    stats_url_advertised: str | None = Field(
        None, description="where the other workers reach this one; unset: http://RED_HOST:RED_STATS_PORT"
    )
    kafka_port: Port = Field(9092, description="port of the embedded Kafka")
    kafka: str | None = Field(None, description="an existing cluster: host:port[,host:port]")
    clickhouse: str | None = Field(None, description="an existing ClickHouse server: its DSN")
    storage: str | None = Field(None, description="an object store for images (used by RED)")
    partitions: int = Field(4, ge=1, le=1024, description="of every keyed topic; fixed with data")
    replication: int = Field(1, ge=1, le=7, description="replicas of every topic")
    measurements_retention_days: float | None = Field(
        None, gt=0, description="days red.measurements is kept; unset: for ever"
    )
    live_hours: float = Field(25, ge=25, description="hours live windows are kept")
    webhook_allow: Annotated[str, _checked(parse_networks)] = Field(
        "", description="CIDRs webhooks may reach although the guard would refuse them"
    )
    webhook_schedule: Annotated[str, _checked(parse_schedule)] = Field(
        SCHEDULE, description="seconds between attempts, comma-separated"
    )
    webhook_timeout: float = Field(15, gt=0, description="seconds one attempt may take in all")
    secret_key: str | None = Field(
        None, description="64 hex digits that seal webhook secrets; unset: secret.key in the data"
    )
    metrics_public: bool = Field(False, description="serve /metrics to others than loopback")
    min_free_bytes: int = Field(1 << 30, ge=0, description="free bytes below which the store refuses inserts")
    session_timeout: float = Field(8, ge=1, le=60, description="Kafka session time-out, seconds")
    instance: str | None = Field(
        None, description="this worker's name as a static group member: back in 3-4 s after a kill"
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    crash_at: Annotated[str, _checked(_armed)] = Field("", description="for tests only")

    @property
    def bootstrap(self) -> str:
        """Where Kafka is."""
        return self.kafka or f"127.0.0.1:{self.kafka_port}"

    @property
    def store_folder(self) -> Path:
        """Where chDB keeps its data."""
        return self.data / "clickhouse"

    @property
    def allow(self) -> tuple[Network, ...]:
        """Networks that webhooks may reach besides the public ones."""
        return parse_networks(self.webhook_allow)

    @property
    def schedule(self) -> tuple[float, ...]:
        """Seconds between the attempts of a delivery."""
        return parse_schedule(self.webhook_schedule)

    @property
    def red_url(self) -> str:
        """RED's address for people on this machine."""
        return f"http://{_dialled(self.host)}:{self.port}"

    @property
    def stats_url(self) -> str:
        """RED_STATS' address for people on this machine."""
        return f"http://{_dialled(self.host)}:{self.stats_port}"

    @property
    def advertised_url(self) -> str:
        """RED_STATS' address for the other workers."""
        return (self.stats_url_advertised or self.stats_url).rstrip("/")


def _dialled(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104


def load() -> Settings:
    """The settings of the environment; a bad value is one line on stderr and exit code 2."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "RED_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"red-stats: {name}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None


def described() -> list[dict[str, Any]]:
    """Name, default and meaning of each, for people."""
    return [
        {"name": f"RED_{name.upper()}", "default": field.default, "help": field.description}
        for name, field in Settings.model_fields.items()
        if name != "crash_at"
    ]

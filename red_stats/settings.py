"""Every setting of RED_STATS, listed by `red-stats settings`."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from red_common import settings as common
from red_common.networks import Network, parse_networks
from red_common.settings import SECRET, CommonSettings, Port, checked, parse_origin
from red_stats.domain.backlogs import Limits
from red_stats.domain.failing_endpoints import HealthRules, parse_probes
from red_stats.domain.retries import parse_schedule
from red_stats.domain.sql_limits import Limits as SqlLimits
from red_stats.domain.store_urls import parse_store_url

SCHEDULE = "5,30,300,1800,7200,18000,36000,50400,72000,86400"


def _check_store(url: str) -> None:
    ca = parse_store_url(url).options.get("ca_cert")
    if ca is None:
        return
    try:
        ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ValueError(f"ca_cert={ca} cannot be used: {error}") from error


class Settings(CommonSettings):
    """The settings of RED_STATS, besides those that both services share."""

    stats_url_advertised: str | None = Field(
        None,
        description="URL at which other workers reach this one; unset: http(s)://RED_HOST:RED_STATS_PORT",
    )
    page_red_url: Annotated[str | None, checked(parse_origin)] = Field(
        None,
        description="origin of RED for browsers that show the page; unset: http(s)://RED_HOST:RED_PORT",
    )
    clickhouse: Annotated[str | None, checked(_check_store)] = Field(
        None,
        repr=False,
        json_schema_extra=SECRET,
        description="a ClickHouse server: https://user:password@host:8443, with ?ca_cert=FILE if need be,"
        " or RED_CLICKHOUSE_FILE; unset: chDB in the data folder",
    )
    deliver_port: Port | None = Field(
        None,
        description="port of the process of `up` that sends webhooks: health, metrics; unset: a free one",
    )
    partitions: int = Field(
        4, ge=1, le=1024, description="partitions of every keyed topic; cannot be changed once there is data"
    )
    replication: int = Field(1, ge=1, le=7, description="replicas of every topic")
    measurements_retention_days: float | None = Field(
        None, gt=0, description="days that red.measurements is kept; unset: for ever"
    )
    live_hours: float = Field(25, ge=25, description="hours that live windows are kept")
    webhook_allow: Annotated[str, checked(parse_networks)] = Field(
        "", description="CIDRs, comma-separated, that webhooks may reach although the guard would refuse them"
    )
    webhook_schedule: Annotated[str, checked(parse_schedule)] = Field(
        SCHEDULE, description="seconds between the attempts of a delivery, comma-separated"
    )
    webhook_disable_hours: float = Field(
        120, ge=0, le=87_600, description="hours without a success until an endpoint is disabled; 0: never"
    )
    webhook_probe_schedule: Annotated[str, checked(parse_probes)] = Field(
        "3600,21600,86400",
        description="seconds between the probes of a disabled endpoint; the last repeats, for 30 days",
    )
    webhook_verify: bool = Field(
        False,
        description="send nothing to an endpoint before it has echoed the challenge of a `red.verify` event",
    )
    webhook_rows: int = Field(
        10_000,
        ge=20,
        description="pending deliveries of one endpoint that are kept as rows in memory, a tenth of those of"
        " one client; further alerts wait in the log",
    )
    webhook_timeout: float = Field(15, gt=0, description="seconds that one attempt may take")
    min_free_bytes: int = Field(
        1 << 30, ge=0, description="free bytes of disk below which nothing is inserted into the store"
    )
    sql_seconds: float = Field(10, gt=0, le=600, description="seconds that one question in SQL may take")
    sql_memory: int = Field(
        1 << 30,
        ge=64 << 20,
        description="bytes of memory that a question in SQL may take; two run at a time",
    )
    sql_rows: int = Field(1_000_000, ge=1, description="rows that the answer to a question in SQL may have")
    sql_result_bytes: int = Field(
        64 << 20, ge=1 << 16, description="bytes of data that the answer to a question in SQL may have"
    )
    sql_threads: int = Field(1, ge=1, le=64, description="threads of the engine for one question in SQL")
    session_timeout: float = Field(
        8,
        ge=1,
        le=60,
        description="seconds after which Kafka gives the partitions of a dead worker to others",
    )

    @property
    def store_folder(self) -> Path:
        """The folder of chDB's data."""
        return self.data / "clickhouse"

    @property
    def allow(self) -> tuple[Network, ...]:
        """Networks that webhooks may reach besides public addresses."""
        return parse_networks(self.webhook_allow)

    @property
    def schedule(self) -> tuple[float, ...]:
        """Seconds between the attempts of a delivery; n of them mean n + 1 attempts."""
        return parse_schedule(self.webhook_schedule)

    @property
    def health_rules(self) -> HealthRules:
        """When endpoints are disabled and probed."""
        return HealthRules(
            int(self.webhook_disable_hours * 3_600_000), parse_probes(self.webhook_probe_schedule)
        )

    @property
    def row_limits(self) -> Limits:
        """How many deliveries are kept as rows."""
        return Limits(self.webhook_rows, own=self.webhook_rows // 20, shared=self.webhook_rows * 5)

    @property
    def sql_limits(self) -> SqlLimits:
        """What one question of a client in SQL may take."""
        return SqlLimits(
            self.sql_seconds, self.sql_memory, self.sql_rows, self.sql_result_bytes, self.sql_threads
        )

    @property
    def red_url(self) -> str:
        """RED's address for people on this machine."""
        return self.url_of_port(self.port)

    @property
    def stats_url(self) -> str:
        """RED_STATS' address for people on this machine."""
        return self.url_of_port(self.stats_port)

    @property
    def advertised_url(self) -> str:
        """RED_STATS' address for the other workers."""
        return (self.stats_url_advertised or self.stats_url).rstrip("/")

    @model_validator(mode="after")
    def _check_advertised(self) -> Self:
        if self.tls_cert is not None and not self.advertised_url.lower().startswith("https://"):
            raise ValueError("RED_STATS_URL_ADVERTISED must begin with https://, as there is RED_TLS_CERT")
        return self

    def url_of_port(self, port: int) -> str:
        """The address for people on this machine of a process of ours that listens on a port."""
        dialled = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"{self.scheme}://{dialled}:{port}"


def load() -> Settings:
    """The settings from the environment; a bad value prints a line to stderr and exits with code 2."""
    return common.load(Settings, "red-stats")


def described() -> list[dict[str, Any]]:
    """Name, default and meaning of each setting, for people."""
    return common.described(Settings)

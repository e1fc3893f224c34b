"""Every setting of RED, listed by `python -m red_service --settings`."""

import os
from typing import Annotated, Any, Final

from pydantic import Field

from red_common import settings as common
from red_common.settings import CommonSettings, checked, origin, parse_origin

MAX_BODY: Final = 64 << 20  # bytes of a request
MIN_BODIES: Final = 2 * MAX_BODY  # one client has at most half of it


def _origins_in(text: str) -> frozenset[str]:
    return frozenset(parse_origin(one.strip()) for one in text.split(","))


class Settings(CommonSettings):
    """RED's own settings, besides those that both services share."""

    kafka_wait: float = Field(30, ge=0, description="seconds RED waits for Kafka at startup")
    storage_fsync: bool = Field(
        False, description="sync an image in the local folder to disk before answering"
    )
    servers: int = Field(
        1,
        ge=1,
        le=64,
        description="processes that serve RED's port together, each with its share of decoders",
    )
    rate: float = Field(
        1000, ge=0, description="images per second one client may send to one of these processes; 0: no limit"
    )
    rate_burst: float | None = Field(
        None, ge=1, description="images one client may send at once; unset: two seconds' worth"
    )
    body_memory: int = Field(
        256 << 20,
        ge=MIN_BODIES,
        description="bytes that the bodies of all requests may take up together, those of one client half"
        " of it; at least 128 MiB in each of RED_SERVERS",
    )
    image_quota: int = Field(
        0, ge=0, description="bytes that the stored images of one client may take up; 0: no limit"
    )
    disk_reserve: int | None = Field(
        None,
        ge=0,
        description="free bytes of the disk of images, or of Kafka in the data folder, below which no image "
        "is taken; unset: 2 GiB, or a twentieth of a smaller disk",
    )
    key_lease: float = Field(
        30,
        gt=0,
        description="seconds until another RED may take over a request with an Idempotency-Key",
    )
    queue_seconds: float = Field(
        2,
        gt=0,
        le=60,
        description="seconds an image may wait for a decoder; it is refused if it would wait longer",
    )
    decode_seconds: float = Field(
        5, gt=0, description="seconds of processor time one image may take to decode"
    )
    page_origins: Annotated[str, checked(_origins_in)] = Field(
        "",
        description="origins, comma-separated, of pages that may call RED from a browser; unset: that of"
        " RED_STATS on this machine",
    )
    decode_workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="images of one client decoded at once, by as many processes and one that is kept for "
        "other clients; unset: one per processor",
    )

    @property
    def workers(self) -> int:
        """How many images of one client this server decodes at once: its share, at least 1."""
        return max(1, (self.decode_workers or os.cpu_count() or 1) // self.servers)

    @property
    def bodies(self) -> int:
        """How many bytes of bodies this server holds at once: its share, at least MIN_BODIES."""
        return max(MIN_BODIES, self.body_memory // self.servers)

    def of_server(self, number: str) -> "Settings":
        """The settings of one of several servers, which has a stable name of its own if RED has one."""
        return self.model_copy(update={"instance": self.instance and f"{self.instance}-{number}"})

    @property
    def origins(self) -> frozenset[str]:
        """The origins of RED_STATS' page, the only page that may call RED from a browser."""
        if self.page_origins:
            return _origins_in(self.page_origins)
        hosts = (self.host, "localhost", "127.0.0.1")
        return frozenset(origin(self.scheme, host, self.stats_port) for host in hosts)


def load() -> Settings:
    """Reads the settings from the environment; a bad value is a line on stderr and exit code 2."""
    return common.load(Settings, "red")


def described() -> list[dict[str, Any]]:
    """Name, default and meaning of every setting of RED, as JSON-ready objects."""
    return common.described(Settings)

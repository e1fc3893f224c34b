"""Every setting of RED, listed by `python -m red_service --settings`."""

import os
from typing import Any

from pydantic import Field

from red_common import settings as common
from red_common.settings import CommonSettings


class Settings(CommonSettings):
    """What RED has beside the settings both services share."""

    kafka_wait: float = Field(30, ge=0, description="seconds RED waits for Kafka when it starts")
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
    """The settings of the environment; a bad value is a line on stderr and exit code 2."""
    return common.load(Settings, "red")


def described() -> list[dict[str, Any]]:
    """Name, default and meaning of each, ready for JSON."""
    return common.described(Settings)

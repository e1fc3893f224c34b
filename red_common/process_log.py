"""The log of a process: lines for people on stderr, or one JSON object a line (RED_LOG_FORMAT=json)."""

import logging
import sys
from typing import Final, Literal, TextIO

import structlog

from red_common.log_throttle import Throttle

TEXT: Final = "%(asctime)s %(levelname)s %(message)s"
LogFormat = Literal["text", "json"]


def set_up(level: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """From now on everything that is logged goes to `stream` (stderr); what libraries repeat is throttled.

    JSON has `timestamp` (UTC, RFC 3339), `level`, `logger`, `event` and, of an error, `exception`.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(logging.Formatter(TEXT) if form == "text" else _json())
    handler.addFilter(Throttle())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _json() -> logging.Formatter:
    before: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )

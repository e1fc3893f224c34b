"""What is told of an erasure, and how that is signed, so that it can be shown later. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypedDict

import orjson

from red_common.events import rfc3339
from red_common.secret_keys import SecretKeys
from red_stats.domain.measurements import from_ms
from red_stats.topics import API_KEYS, KEEP, SUBSCRIPTIONS, TopicSettings

PURPOSE: Final = "red.erase-report"
SIGNATURE: Final = "signature"
SAYING_SO: Final = (SUBSCRIPTIONS, API_KEYS)  # compacted, and name whoever was erased


class Stays(TypedDict):
    """A topic that keeps records of a client, and until when; None: for ever."""

    topic: str
    until: str | None


class Report(TypedDict):
    """What is told of an erasure."""

    client_id: str
    erased_before: str
    at: str
    removed: dict[str, int]
    stays: list[Stays]
    signature: str


def stays(topics: Iterable[TopicSettings], at: int) -> list[dict[str, Any]]:
    """The topics that keep records of a client erased at a time (ms), and until when; None: for ever."""
    kept = [topic for topic in topics if not topic.compact or topic.name in SAYING_SO]
    return [
        {
            "topic": topic.name,
            "until": None
            if topic.compact or topic.retention_ms == KEEP
            else rfc3339(from_ms(at + topic.retention_ms)),
        }
        for topic in kept
    ]


def signed(report: Mapping[str, Any], keys: SecretKeys) -> dict[str, Any]:
    """The report with a signature of everything else in it."""
    return {**report, SIGNATURE: keys.sign(PURPOSE, _signed_bytes(report))}


def is_signed(report: Mapping[str, Any], keys: SecretKeys) -> bool:
    """Whether the signature of a report is ours, and nothing in it was changed."""
    signature = report.get(SIGNATURE)
    try:
        return isinstance(signature, str) and keys.has_signed(PURPOSE, _signed_bytes(report), signature)
    except orjson.JSONEncodeError:  # numbers or texts that no report of ours has
        return False


def _signed_bytes(report: Mapping[str, Any]) -> bytes:
    """As JSON without spaces, its names sorted."""
    told = {name: value for name, value in report.items() if name != SIGNATURE}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)

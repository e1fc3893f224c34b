"""Bodies of `/v1/subscriptions`, and what of them stands in a command."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from red_common.problems import Problem
from red_common.web.idempotency_key import HEADER, checked_key
from red_stats.domain.command_results import KEYED
from red_stats.domain.request_headers import check_names, check_values
from red_stats.domain.subscriptions import TriggerName
from red_stats.domain.thresholds import min_interval_of, rearm_below_of, threshold_of

MOST_SECONDS: Final = 1 << 53
Unset = msgspec.UnsetType


class Changes(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The body of `PATCH /v1/subscriptions/{id}`: only the fields given change."""

    webhook_url: str | Unset = msgspec.UNSET
    threshold: Any = msgspec.UNSET  # as `exactly` reads it
    description: str | Unset | None = msgspec.UNSET
    enabled: bool | Unset = msgspec.UNSET
    max_age: int | Unset | None = msgspec.UNSET
    trigger: TriggerName | Unset = msgspec.UNSET
    rearm_below: Any = msgspec.UNSET
    min_interval: int | Unset = msgspec.UNSET
    headers: dict[str, str] | Unset | None = msgspec.UNSET
    notices: bool | Unset = msgspec.UNSET


class NewSubscription(Changes, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The body of `POST /v1/subscriptions`."""

    webhook_url: str
    threshold: Any


class Rotation(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /v1/subscriptions/{id}/rotate-secret`, which may be left out."""

    overlap_seconds: int | Unset = msgspec.UNSET


def asked_of(request: web.Request, what: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """The command_id of a request, and if it has an Idempotency-Key a fingerprint of its body.

    The command_id then follows from the key, so that role live gives a retry the first answer.
    """
    if HEADER not in request.headers:
        return {"command_id": str(uuid.uuid4())}
    key = checked_key(request.headers.getall(HEADER))
    shown = dict(fields)
    if fields.get("headers"):
        shown["headers"] = sorted(fields["headers"])  # without values: a fingerprint lets them be guessed
    said = json.dumps(shown, sort_keys=True)
    return {
        "command_id": KEYED + hashlib.sha256(f"{what}/{key}".encode()).hexdigest(),
        "fingerprint": hashlib.sha256(said.encode()).hexdigest(),
    }


def fields_of(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a body names, as they stand in a command.

    Raises:
        NotAsExpected: an amount is no number, or cannot stand where it does.
        Problem: 422 `threshold_out_of_range`, `value_out_of_range`.
    """
    given = msgspec.structs.asdict(body)
    fields = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    for name in ("max_age", "overlap_seconds"):
        if abs(fields.get(name) or 0) > MOST_SECONDS:  # more than a command can hold
            raise Problem("value_out_of_range", f"{name} is not a number of seconds that anyone has.")
    if fields.get("headers"):
        check_names(list(fields["headers"]))
        check_values(fields["headers"])
    if "min_interval" in fields:
        min_interval_of(fields["min_interval"])
    if "threshold" in fields:
        fields["threshold"] = threshold_of(fields["threshold"])
    if fields.get("rearm_below") is not None:
        crossing = fields.get("trigger", "crossing") == "crossing"  # or role live will say
        fields["rearm_below"] = rearm_below_of(
            fields["rearm_below"], crossing=crossing, threshold=fields.get("threshold", 1)
        )
    return fields

"""What arrived, read as webhooks: each holds one alert or, as a digest, a range of them."""

import json
from typing import Any, NamedTuple


class Webhook(NamedTuple):
    """A POST: `seqs` are the alerts in it, `alerts` those that its body lists."""

    webhook_id: str
    kind: str
    subscription_id: str
    seqs: range
    alerts: list[dict[str, Any]]
    body: dict[str, Any]
    raw: str
    verified: bool


def webhooks_of(posts):
    """Every POST that tells of alerts, repeated ones too."""
    for post in posts:
        body = json.loads(post.raw)
        kind, data = body["type"].removeprefix("red."), body["data"]
        if kind == "alert":
            first, last, alerts = data["seq"], data["seq"], [data]
        elif kind == "digest":
            first, last, alerts = data["first_seq"], data["last_seq"], data["alerts"]
        else:
            continue
        yield Webhook(
            post.webhook_id, kind, data["subscription_id"], range(first, last + 1), alerts, body, post.raw,
            post.verified,
        )  # fmt: skip

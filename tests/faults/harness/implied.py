"""What the log implies: the versions of every subscription, and the alerts that must follow."""

import json
from collections import defaultdict
from datetime import datetime

from tests.faults.harness.evidence import DELIVERIES, MEASUREMENTS, RESULTS


def versions_of(evidence, client_id):
    """Per subscription its versions in order: (number, from, threshold or None, max_age, enabled).

    One that the system disabled raises alerts still: only one that its client disabled has no threshold.
    """
    found = defaultdict(dict)
    for record in evidence.of(RESULTS, client_id):
        if record.value.get("status") != "accepted":
            continue
        made = record.value["subscription"]
        since = int(made["in_force_from"].split(":")[1])
        ended = record.value.get("ended")
        raises = not ended and (made["enabled"] or made.get("disabled_reason") in ("gone", "failing"))
        threshold = made["threshold"] if raises else None
        enabled = made["enabled"] and not ended
        found[made["id"]][made["version"]] = (since, threshold, made.get("max_age"), enabled)
    return {name: sorted((v, *told) for v, told in by.items()) for name, by in found.items()}


def implied_of(evidence, client_id, log):
    """{subscription: [(position, version)]} that must have been raised, in the log's order."""
    implied = {}
    for name, versions in versions_of(evidence, client_id).items():
        implied[name] = raised = []
        for record in log:
            in_force = [v for v in versions if v[1] <= record.offset]
            if not in_force:
                continue
            number, _, threshold, max_age, _ = in_force[-1]
            if threshold is not None and record.value["red"] > threshold and is_young(record, max_age):
                raised.append((f"{record.partition}:{record.offset}", number))
    return implied


def is_young(record, max_age):
    """Whether the image was no older than `max_age` seconds when it was logged."""
    if max_age is None:
        return True
    measured = datetime.fromisoformat(record.value["measured_at"]).timestamp() * 1000
    return record.timestamp - round(measured) <= max_age * 1000


def stopped_of(evidence):
    """Subscriptions that were disabled or deleted: what waited for them may be held or cancelled."""
    found = set()
    for client_id in evidence.ledgers:
        for name, versions in versions_of(evidence, client_id).items():
            if not all(enabled for *_, enabled in versions):
                found.add(name)
    return found


def undelivered(evidence):
    """Alerts the log implies that have not arrived, or are not told to have: more may come.

    Those of stopped subscriptions do not count.
    """
    told = {r.value["alert_id"] for r in evidence.of(DELIVERIES) if r.value["state"] == "delivered"}
    arrived = set()
    for post in evidence.posts:
        data = json.loads(post.raw)["data"]
        if data["id"] in told:
            arrived.add((data["subscription_id"], data["position"]))
    stopped = stopped_of(evidence)
    return [
        (name, position)
        for client_id in evidence.ledgers
        for name, raised in implied_of(evidence, client_id, evidence.of(MEASUREMENTS, client_id)).items()
        for position, _ in raised
        if name not in stopped and (name, position) not in arrived
    ]

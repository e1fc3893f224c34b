"""What the log implies: the versions of every subscription, and the alerts that must follow."""

from collections import defaultdict
from datetime import datetime
from typing import NamedTuple

from tests.faults.harness.evidence import ALERTS, DELIVERIES, MEASUREMENTS, RESULTS
from tests.faults.harness.webhooks import webhooks_of


class Version(NamedTuple):
    """A version of a subscription, from offset `since`; `threshold` is None if it raises nothing."""

    number: int
    since: int
    threshold: float | None
    max_age: int | None
    rearm_below: float | None  # None: each image over the threshold raises an alert
    enabled: bool
    min_interval: int  # seconds; 0: a webhook for every alert


def versions_of(evidence, client_id):
    """Per subscription its versions in order.

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
        threshold, back = made["threshold"], made.get("rearm_below")
        back = (threshold if back is None else back) if made.get("trigger") == "crossing" else None
        found[made["id"]][made["version"]] = Version(
            made["version"], since, threshold if raises else None, made.get("max_age"), back,
            enabled=made["enabled"] and not ended, min_interval=made.get("min_interval", 0),
        )  # fmt: skip
    return {name: [by[number] for number in sorted(by)] for name, by in found.items()}


def judged(versions, log):
    """Each image with the version that judges it."""
    for record in log:
        in_force = [version for version in versions if version.since <= record.offset]
        if in_force and in_force[-1].threshold is not None:
            yield record, in_force[-1]


def over_of(evidence, client_id, log):
    """{subscription: how many images were over its threshold}, whether they raised an alert or not."""
    return {
        name: sum(record.value["red"] > version.threshold for record, version in judged(versions, log))
        for name, versions in versions_of(evidence, client_id).items()
    }


def implied_of(evidence, client_id, log):
    """{subscription: [(position, version)]} that must have been raised, in the log's order."""
    implied = {}
    for name, versions in versions_of(evidence, client_id).items():
        implied[name] = raised = []
        armed = {}
        for record, version in judged(versions, log):
            red, back = record.value["red"], version.rearm_below
            if not is_young(record, version.max_age):
                continue
            if red > version.threshold and (back is None or armed.get(version.number, True)):
                raised.append((f"{record.partition}:{record.offset}", version.number))
                armed[version.number] = False
            if back is not None and red <= back:
                armed[version.number] = True
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
            if not all(version.enabled for version in versions):
                found.add(name)
    return found


def intervals_of(evidence):
    """{subscription: its `min_interval`}, of those that have had the same one in all their versions."""
    found = {}
    for client_id in evidence.ledgers:
        for name, versions in versions_of(evidence, client_id).items():
            if len(every := {version.min_interval for version in versions}) == 1:
                [found[name]] = every
    return found


def undelivered(evidence):
    """Alerts the log implies that have not arrived, or are not told to have: more may come.

    Those of stopped subscriptions do not count.
    """
    told = {r.value["webhook_id"] for r in evidence.of(DELIVERIES) if r.value["state"] == "delivered"}
    numbers = {(r.value["subscription_id"], r.value["position"]): r.value["seq"] for r in evidence.of(ALERTS)}
    arrived = {
        (webhook.subscription_id, seq)
        for webhook in webhooks_of(evidence.posts)
        if webhook.webhook_id in told
        for seq in webhook.seqs
    }
    stopped = stopped_of(evidence)
    return [
        (name, position)
        for client_id in evidence.ledgers
        for name, raised in implied_of(evidence, client_id, evidence.of(MEASUREMENTS, client_id)).items()
        for position, _ in raised
        if name not in stopped and (name, numbers.get((name, position))) not in arrived
    ]

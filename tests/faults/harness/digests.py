"""Judges digests: what they say, and that webhooks of a subscription keep its `min_interval`.

Nothing of ours is asked: the alerts with Kafka's times are on red.alerts, when each webhook fell due on
red.deliveries, and what was in it at the receiver.
"""

from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from tests.faults.harness.evidence import ALERTS, DELIVERIES
from tests.faults.harness.implied import intervals_of, stopped_of
from tests.faults.harness.webhooks import webhooks_of

LISTED = 100
ROOM = 1 << 20  # bytes of waiting webhooks beyond which digests have to wait
# Kafka stamps a record before a reader sees it: what is stamped just before an end may miss that digest
BETWEEN_STAMP_AND_SIGHT_MS = 250


class Due(NamedTuple):
    """A webhook as red.deliveries tells of it; `at` is when it fell due, in ms."""

    first_seq: int
    last_seq: int
    count: int
    kind: str
    at: int


def judge_digests(verdict, evidence):
    """Every rule about digests; those of time only where nobody has turned a clock."""
    intervals = intervals_of(evidence)
    alerts, size = defaultdict(dict), Counter()
    for record in evidence.of(ALERTS):
        alerts[record.value["subscription_id"]][record.value["seq"]] = record
    told = _told(verdict, evidence)
    unsent = {r.value["webhook_id"] for r in evidence.of(DELIVERIES) if r.value["state"] == "cancelled"}
    unsent -= {post.webhook_id for post in evidence.posts}
    for webhook in webhooks_of(evidence.posts):
        _says_what_the_log_says(verdict, webhook, alerts[webhook.subscription_id])
        size[webhook.subscription_id] += len(webhook.raw)
        due = told.get(webhook.webhook_id)
        seqs = webhook.seqs
        if due is not None and due[:4] != (seqs.start, seqs.stop - 1, len(seqs), webhook.kind):
            verdict.find("red.deliveries tells another webhook", example=f"{due} {webhook.raw[:200]}")
        if webhook.kind == "digest" and intervals.get(webhook.subscription_id) == 0:
            verdict.find("a digest that nobody asked for", example=webhook.webhook_id)
    subscriptions = defaultdict(dict)
    for record in evidence.of(DELIVERIES):
        if record.value["webhook_id"] in told:
            subscriptions[record.value["subscription_id"]][record.value["webhook_id"]] = None
    may_wait = stopped_of(evidence) | {name for name, of_all in size.items() if of_all >= ROOM}
    for name, min_interval in intervals.items():
        if min_interval:
            _each_alert_once(verdict, name, sorted(told[one] for one in subscriptions[name]))
            if not evidence.clocks_turned:
                sent = sorted(told[one] for one in subscriptions[name] if one not in unsent)
                found = _out_of_time(sent, min_interval * 1000, alerts[name], name in may_wait)
                for rule, example in found:
                    verdict.find(f"{name}: {rule}", example=example)


def _told(verdict, evidence):
    """{webhook-id: `Due`} of what has alerts; each event of a webhook must say the same."""
    found = {}
    for record in evidence.of(DELIVERIES):
        event = record.value
        if event["kind"] not in ("alert", "digest"):
            continue
        at = round(datetime.fromisoformat(event["enqueued_at"]).timestamp() * 1000)
        due = Due(event["first_seq"], event["last_seq"], event["count"], event["kind"], at)
        if found.setdefault(event["webhook_id"], due) != due:
            verdict.find("one webhook told in two ways", example=f"{due} {found[event['webhook_id']]}")
    return found


def _says_what_the_log_says(verdict, webhook, alerts):
    if webhook.kind != "digest":
        return
    held = [alerts[seq].value for seq in webhook.seqs if seq in alerts]
    expected = (
        {
            "subscription_id": webhook.subscription_id,
            "count": len(held),
            "first_seq": held[0]["seq"],
            "last_seq": held[-1]["seq"],
            "from": held[0]["measured_at"],
            "to": held[-1]["measured_at"],
            "max_red": max(alert["red"] for alert in held),
            "alerts": held[:LISTED],
        }
        if held
        else {}
    )
    body = {"type": "red.digest", "timestamp": expected.get("to"), "data": expected}
    if webhook.body != body:
        wrong = [name for name in expected if webhook.body["data"].get(name) != expected[name]]
        verdict.find("a digest tells otherwise than the log", example=f"{wrong} {webhook.raw[:200]}")


def _each_alert_once(verdict, name, webhooks):
    """Webhooks follow each other by `seq` without hole or overlap, from 1."""
    for before, webhook in pairwise([Due(0, 0, 0, "", 0), *webhooks]):
        hole = webhook.first_seq - before.last_seq - 1
        if hole:
            verdict.find(f"webhooks of {name}", max(0, hole), max(0, -hole), f"{before} {webhook}")


def _out_of_time(webhooks, interval, alerts, may_wait):
    """An alert of its own falls due when it was logged, a digest at the end of an interval.

    Where digests `may_wait`, because the subscription was stopped or too much of it waited, one may be later.
    """
    for before, webhook in pairwise([None, *webhooks]):
        since = before.at if before else webhook.at - interval
        late = webhook.at - since - interval
        if late < 0:
            yield f"two webhooks within {interval} ms", f"{before} {webhook}"
        if webhook.kind == "digest" and late > 0 and not may_wait:
            yield "a digest that waited for nothing", f"{before} {webhook}"
        times = [alerts[n].timestamp for n in range(webhook.first_seq, webhook.last_seq + 1) if n in alerts]
        if webhook.kind == "alert":
            belong = all(time == webhook.at for time in times)
        else:  # one that comes behind the end of a digest that had to wait may have it made, and be in it
            belong = all(
                since - BETWEEN_STAMP_AND_SIGHT_MS <= time < webhook.at + (late > 0) for time in times
            )
        if not belong:
            yield "an alert in another webhook than its time", f"{times[:3]} {before} {webhook}"

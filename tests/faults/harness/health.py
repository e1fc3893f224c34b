"""What is told of endpoints: each change once, in an order that can be, and to whom, once."""

import json
from collections import Counter, defaultdict

from tests.faults.harness.evidence import DELIVERIES, RESULTS

BEFORE = {"ok": {"failing"}, "enabled": {"disabled"}}  # what must have been told last
BY_SYSTEM = ("gone", "failing")


def judge_health(verdict, evidence):
    """Every rule about changes of health, over everything."""
    changes, notices = defaultdict(list), defaultdict(set)
    for record in evidence.of(DELIVERIES):
        event = record.value
        if event["kind"] == "health":
            changes[event["subscription_id"]].append(event)
        elif event["kind"] == "notice":
            notices[event["webhook_id"]].add(event["subscription_id"])
    for name, told in changes.items():
        ids = Counter(event["id"] for event in told)
        if len(ids) != len(told):
            verdict.find(f"changes of {name}", doubled=len(told) - len(ids))
        last = None
        for event in told:
            if last not in BEFORE.get(event["state"], {last}):
                verdict.find(f"{name} is told to be {event['state']} after {last}")
            last = event["state"]
        times = sum(event["state"] == "disabled" for event in told)
        if times > sum(now and not before for before, now in _disabled(evidence, name)):
            verdict.find(f"{name} is told to be disabled {times} times")
    for name in {record.value["subscription"]["id"] for record in _accepted(evidence)}:
        is_disabled = [now for _, now in _disabled(evidence, name)][-1]
        if is_disabled and [event["state"] for event in changes[name]][-1:] != ["disabled"]:
            verdict.find(f"{name} is disabled, and nobody was told", lost=1)
    _notices(verdict, evidence, changes, notices)


def _accepted(evidence):
    """Answers that made a version."""
    return [
        r for r in evidence.of(RESULTS) if r.value.get("status") == "accepted" and r.value.get("subscription")
    ]


def _disabled(evidence, name):
    """Of each version of a subscription whether the one before, and it, were disabled by the system."""
    made = (record.value["subscription"] for record in _accepted(evidence))
    of_it = sorted((one for one in made if one["id"] == name), key=lambda one: one["version"])
    held = [not one["enabled"] and one.get("disabled_reason") in BY_SYSTEM for one in of_it]
    return list(zip([False, *held], held, strict=False))


def _notices(verdict, evidence, changes, notices):
    """Each is of a change that was told, of another subscription, and of one change there is one for each."""
    told = {(name, event["state"], event["at"]) for name, events in changes.items() for event in events}
    found = Counter()
    for webhook_id, raw in {(post.webhook_id, post.raw) for post in evidence.posts}:
        body = json.loads(raw)
        if body["type"] != "red.notice":
            continue
        change = (body["data"]["subscription_id"], body["data"]["state"], body["timestamp"])
        if change not in told:
            verdict.find("a notice of no change", example=raw[:200])
        for receiver in notices[webhook_id] or {None}:
            found[receiver, change] += 1
            if receiver in (None, change[0]):
                verdict.find("a notice that red.deliveries tells otherwise", example=raw[:200])
    if twice := [key for key, times in found.items() if times > 1]:
        verdict.find("one change, two notices", doubled=len(twice), example=twice[:3])

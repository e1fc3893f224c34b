"""The judge turns red for every rule about the health of endpoints that can be broken."""

import copy
import json

import pytest

from tests.faults.harness.evidence import DELIVERIES, Post, Record
from tests.faults.harness.oracle import judge
from tests.faults.test_oracle import a_delivery, a_result, sound

CHANGES = ("failing", "ok", "failing", "disabled", "enabled")


def told_of():
    """Subscription `s` fails, recovers, is disabled and enabled; `t` has notices."""
    evidence = sound()
    evidence.records.append(a_result(1, 0, threshold=1, id="t", notices=True))
    evidence.live["c"]["subscriptions"].append({"id": "t", "images": 5, "over": 0})
    evidence.records.append(a_result(2, 5, enabled=False, disabled_reason="failing"))
    evidence.records.append(a_result(3, 5))
    for number, state in enumerate(CHANGES):
        at = f"2026-01-01T00:00:0{number}.000Z"
        told = {
            "id": f"change-{number}", "webhook_id": "", "subscription_id": "s", "kind": "health",
            "state": state, "at": at,
        }  # fmt: skip
        name = f"notice-{number}"
        delivered = a_delivery("t", name, 1000, 1, kind="notice")
        evidence.records.append(Record(DELIVERIES, "c", 2, 100 + 2 * number, told))
        evidence.records.append(Record(DELIVERIES, "c", 2, 101 + 2 * number, delivered))
        body = {"type": "red.notice", "timestamp": at, "data": {"subscription_id": "s", "state": state}}
        evidence.posts.append(Post(name, json.dumps(body), verified=True))
    return evidence


def changes_of(evidence):
    return [record for record in evidence.of(DELIVERIES) if record.value["kind"] == "health"]


def change_told_twice(evidence):
    evidence.records.append(copy.deepcopy(changes_of(evidence)[2]))


def ok_for_no_reason(evidence):
    evidence.records.remove(changes_of(evidence)[0])


def enabled_for_no_reason(evidence):
    changes_of(evidence)[3].value["state"] = "failing"


def disabled_by_nobody(evidence):
    for record in evidence.records:
        if record.value.get("status") == "accepted" and record.value["subscription"]["version"] == 2:
            record.value["subscription"]["disabled_reason"] = None


def disabled_twice(evidence):
    evidence.records.append(copy.deepcopy(changes_of(evidence)[3]))
    evidence.records[-1].value["id"] = "another"


def disabled_untold(evidence):
    evidence.records.append(a_result(4, 5, enabled=False, disabled_reason="gone"))


def two_notices(evidence):
    evidence.records.append(Record(DELIVERIES, "c", 2, 200, a_delivery("t", "again", 1000, 1, kind="notice")))
    evidence.posts.append(Post("again", evidence.posts[-1].raw, verified=True))


def notice_of_nothing(evidence):
    body = json.loads(evidence.posts[-1].raw) | {"timestamp": "2026-01-02T00:00:00.000Z"}
    evidence.posts[-1] = Post(evidence.posts[-1].webhook_id, json.dumps(body), verified=True)


def notice_to_itself(evidence):
    told = next(r for r in evidence.of(DELIVERIES) if r.value["webhook_id"] == "notice-4")
    told.value["subscription_id"] = "s"


BROKEN = {
    change_told_twice: "changes of s: 0 lost, 1 doubled",
    ok_for_no_reason: "told to be ok after None",
    enabled_for_no_reason: "told to be enabled after failing",
    disabled_by_nobody: "told to be disabled 1 times",
    disabled_twice: "told to be disabled 2 times",
    disabled_untold: "s is disabled, and nobody was told: 1 lost",
    two_notices: "one change, two notices",
    notice_of_nothing: "a notice of no change",
    notice_to_itself: "a notice that red.deliveries tells otherwise",
}


def test_what_is_told_soundly_is_found_sound():
    assert judge(told_of()).findings == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_each_broken_rule_of_health_turns_it_red(broken):
    evidence = told_of()
    broken(evidence)
    findings = judge(evidence).findings
    assert [found for found in findings if BROKEN[broken] in found], findings

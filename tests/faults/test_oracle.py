"""The judge of the harness turns red for every rule that can be broken; no process is needed for that."""

import copy
import json

import pytest

from tests.faults.harness.evidence import (
    ALERTS,
    DELIVERIES,
    MEASUREMENTS,
    RESULTS,
    THRESHOLDS,
    Evidence,
    Post,
    Record,
)
from tests.faults.harness.implied import undelivered
from tests.faults.harness.ledger import Ledger
from tests.faults.harness.oracle import judge

REDS = (0.1, 0.6, 0.7, 0.2, 0.9)


def an_alert(offset, seq, version=1):
    return {
        "id": f"alert-{offset}", "subscription_id": "s", "version": version, "seq": seq,
        "prev_seq": seq - 1, "position": f"2:{offset}",
    }  # fmt: skip


def a_result(version, since, threshold=0.5, enabled=True):
    made = {"id": "s", "version": version, "threshold": threshold, "enabled": enabled}
    made["in_force_from"] = f"2:{since}"
    return Record(RESULTS, "c", 2, version, {"status": "accepted", "subscription": made, "ended": False})


def sound():
    """Five images of one client, three alerts, each delivered."""
    evidence = Evidence()
    ledger = evidence.ledgers["c"] = Ledger("c")
    for offset, red in enumerate(REDS):
        ledger.ack(f"image-{offset}", f"2:{offset}", red)
        value = {"image_id": f"image-{offset}", "red": red}
        evidence.records.append(Record(MEASUREMENTS, "c", 2, offset, value))
    evidence.records.append(a_result(1, 0))
    for seq, offset in enumerate((1, 2, 4), 1):
        alert = an_alert(offset, seq)
        evidence.records.append(Record(ALERTS, "c", 2, seq, alert))
        told = {"alert_id": alert["id"], "state": "delivered"}
        evidence.records.append(Record(DELIVERIES, "c", 2, seq, told))
        body = json.dumps({"type": "red.alert", "data": alert})
        evidence.posts.append(Post(f"msg-{offset}", body, verified=True))
    evidence.statistics["c"] = {
        "images": 5,
        "thresholds": [{"threshold": t, "over": sum(r > t for r in REDS)} for t in THRESHOLDS],
    }
    evidence.live["c"] = {
        "totals": {"24h": {"images": 5}}, "histogram": [5],
        "subscriptions": [{"id": "s", "images": 5, "over": 3}],
    }  # fmt: skip
    evidence.verify = {"equal": True}
    return evidence


def records(evidence, topic):
    return [record for record in evidence.records if record.topic == topic]


def lost_image(e):
    e.records.remove(records(e, MEASUREMENTS)[0])


def doubled_image(e):
    e.records.append(Record(MEASUREMENTS, "c", 2, 9, {"image_id": "image-0", "red": 0.1}))


def unasked_image(e):
    e.records.append(Record(MEASUREMENTS, "c", 2, 9, {"image_id": "nobody's", "red": 0.1}))


def another_position(e):
    records(e, MEASUREMENTS)[0].offset = 77


def another_amount(e):
    records(e, MEASUREMENTS)[0].value["red"] = 0.11


def lost_count(e):
    e.statistics["c"]["images"] = 4


def doubled_count(e):
    e.live["c"]["totals"]["24h"]["images"] = 6


def wrong_over(e):
    e.statistics["c"]["thresholds"][1]["over"] += 1


def wrong_live_over(e):
    e.live["c"]["subscriptions"][0]["over"] = 2


def no_view(e):
    del e.live["c"]


def lost_alert(e):
    e.records.remove(records(e, ALERTS)[-1])


def doubled_alert(e):
    e.records.append(Record(ALERTS, "c", 2, 9, an_alert(4, 4)))


def alert_of_another_version(e):
    records(e, ALERTS)[0].value["version"] = 2


def hole_in_seq(e):
    records(e, ALERTS)[-1].value.update(seq=4, prev_seq=3)


def broken_chain(e):
    records(e, ALERTS)[-1].value["prev_seq"] = 1


def one_id_for_two(e):
    records(e, ALERTS)[1].value["id"] = "alert-1"


def threshold_ignored(e):
    e.records.append(a_result(2, 2, threshold=0.95))


def disabled_ignored(e):
    e.records.append(a_result(2, 2, enabled=False))


def undelivered_alert(e):
    e.posts.pop()


def delivered_unraised(e):
    e.posts.append(Post("msg-9", json.dumps({"type": "red.alert", "data": an_alert(3, 4)}), verified=True))


def two_webhook_ids(e):
    e.posts.append(Post("msg-other", e.posts[0].raw, verified=True))


def two_bodies(e):
    e.posts.append(Post(e.posts[0].webhook_id, e.posts[0].raw + " ", verified=True))


def bad_signature(e):
    e.posts[0].verified = False


def untold(e):
    e.records.remove(records(e, DELIVERIES)[0])


def told_twice(e):
    e.records.append(copy.deepcopy(records(e, DELIVERIES)[0]))


def different(e):
    e.verify = {"equal": False}


def odd_answer(e):
    e.ledgers["c"].odd.append("500")


BROKEN = (
    lost_image, doubled_image, unasked_image, another_position, another_amount, lost_count, doubled_count,
    wrong_over, wrong_live_over, no_view, lost_alert, doubled_alert, alert_of_another_version, hole_in_seq,
    broken_chain, one_id_for_two, threshold_ignored, disabled_ignored, undelivered_alert,
    delivered_unraised, two_webhook_ids, two_bodies, bad_signature, untold, told_twice, different, odd_answer,
)  # fmt: skip


def test_what_is_sound_is_found_sound():
    verdict = judge(sound())
    assert verdict.findings == []
    assert (verdict.events, verdict.alerts, verdict.lost, verdict.doubled) == (5, 3, 0, 0)
    assert undelivered(sound()) == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_each_broken_rule_turns_it_red(broken):
    evidence = sound()
    broken(evidence)
    assert judge(evidence).findings


def test_what_no_rule_forbids_stays_green():
    """A POST that came again with the same bytes, and an image that nobody was told about."""
    evidence = sound()
    evidence.posts.append(copy.deepcopy(evidence.posts[0]))
    evidence.ledgers["c"].maybe.add("image-9")
    evidence.records.append(Record(MEASUREMENTS, "c", 2, 9, {"image_id": "image-9", "red": 0.1}))
    evidence.statistics["c"]["images"] = 6
    evidence.statistics["c"]["thresholds"][0]["over"] += 1
    evidence.live["c"]["totals"]["24h"]["images"] = evidence.live["c"]["histogram"][0] = 6
    verdict = judge(evidence)
    assert verdict.findings == []
    assert verdict.again == 1


def test_an_alert_that_has_not_arrived_is_waited_for():
    evidence = sound()
    evidence.posts.pop()
    assert undelivered(evidence) == [("s", "2:4")]

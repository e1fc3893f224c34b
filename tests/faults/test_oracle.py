"""The judge of the harness turns red for every rule that can be broken; no process is needed for that."""

import copy
import json
from datetime import UTC, datetime

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


def a_result(version, since, threshold=0.5, enabled=True, **more):
    made = {"id": "s", "version": version, "threshold": threshold, "enabled": enabled} | more
    made["in_force_from"] = f"2:{since}"
    return Record(RESULTS, "c", 2, version, {"status": "accepted", "subscription": made, "ended": False})


def a_delivery(name, webhook_id, at, first, last=None, kind="alert", state="delivered"):
    last = last or first
    when = datetime.fromtimestamp(at / 1000, UTC).isoformat()
    return {
        "id": f"delivery of {webhook_id}", "webhook_id": webhook_id, "subscription_id": name, "state": state,
        "kind": kind, "first_seq": first, "last_seq": last, "count": last - first + 1, "enqueued_at": when,
    }  # fmt: skip


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
        told = a_delivery("s", f"msg-{offset}", 1000, seq)
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


LOGGED = (1000, 1400, 1999, 2000, 9000)  # one of its own, two digests, one of its own


def in_digests():
    """The same, and a subscription with a `min_interval` of a second: an alert about each image."""
    evidence = sound()
    evidence.records.append(a_result(1, 0, threshold=0.05, id="d", min_interval=1))
    alerts = [
        an_alert(n, n + 1) | {
            "id": f"d-{n}", "subscription_id": "d", "red": red, "measured_at": f"2026-01-01T00:00:0{n}.000Z",
        }
        for n, red in enumerate(REDS)
    ]  # fmt: skip
    for n, alert in enumerate(alerts):
        evidence.records.append(Record(ALERTS, "c", 2, 100 + n, alert, LOGGED[n]))
    for at, first, last in ((1000, 1, 1), (2000, 2, 3), (3000, 4, 4), (9000, 5, 5)):
        name, kind = f"d-msg-{first}", "alert" if at in (1000, 9000) else "digest"
        for state in ("pending", "delivered"):
            told = a_delivery("d", name, at, first, last, kind, state)
            evidence.records.append(Record(DELIVERIES, "c", 2, 100 + len(evidence.records), told))
        held = alerts[first - 1 : last]
        body = {"type": "red.alert", "data": held[0]} if kind == "alert" else a_digest(held)
        evidence.posts.append(Post(name, json.dumps(body), verified=True))
    evidence.live["c"]["subscriptions"].append({"id": "d", "images": 5, "over": 5})
    return evidence


def a_digest(alerts):
    data = {
        "subscription_id": "d", "count": len(alerts), "first_seq": alerts[0]["seq"],
        "last_seq": alerts[-1]["seq"], "from": alerts[0]["measured_at"], "to": alerts[-1]["measured_at"],
        "max_red": max(alert["red"] for alert in alerts), "alerts": alerts[:100],
    }  # fmt: skip
    return {"type": "red.digest", "timestamp": data["to"], "data": data}


def deliveries_of(evidence, webhook_id):
    return [r.value for r in records(evidence, DELIVERIES) if r.value["webhook_id"] == webhook_id]


def saying(evidence, webhook_id, **told):
    """What arrived says something else now."""
    [post] = [post for post in evidence.posts if post.webhook_id == webhook_id]
    body = json.loads(post.raw)
    body["data"] |= told
    post.raw = json.dumps(body)


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


def crossing_ignored(e):
    records(e, RESULTS)[0].value["subscription"] |= {"trigger": "crossing"}


def armed_too_early(e):
    one_alert_less(e)
    records(e, RESULTS)[0].value["subscription"] |= {"trigger": "crossing", "rearm_below": 0.1}


def one_alert_less(e):
    """As if the trigger were a crossing that 0.2 arms again: 0.6 raises an alert, 0.7 does not, 0.9 does."""
    records(e, RESULTS)[0].value["subscription"] |= {"trigger": "crossing"}
    e.records.remove(records(e, ALERTS)[1])
    records(e, ALERTS)[1].value.update(seq=2, prev_seq=1)
    e.records.remove(records(e, DELIVERIES)[1])
    records(e, DELIVERIES)[1].value.update(first_seq=2, last_seq=2)
    del e.posts[1]
    e.posts[1] = Post("msg-4", json.dumps({"type": "red.alert", "data": an_alert(4, 2)}), verified=True)


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


def lost_digest(e):
    e.posts = [post for post in e.posts if post.webhook_id != "d-msg-2"]


def digest_that_forgot_an_alert(e):
    alerts = [r.value for r in records(e, ALERTS) if r.value["subscription_id"] == "d"]
    saying(e, "d-msg-2", **a_digest(alerts[1:2])["data"])
    for event in deliveries_of(e, "d-msg-2"):
        event |= {"last_seq": 2, "count": 1}


def alert_in_a_digest_and_alone(e):
    alert = next(r.value for r in records(e, ALERTS) if r.value["id"] == "d-1")
    e.posts.append(Post("d-msg-alone", json.dumps({"type": "red.alert", "data": alert}), verified=True))
    e.records.append(Record(DELIVERIES, "c", 2, 300, a_delivery("d", "d-msg-alone", 1400, 2)))


def told_in_two_webhooks_of_which_one_arrived(e):
    e.records.append(
        Record(DELIVERIES, "c", 2, 300, a_delivery("d", "d-msg-x", 4000, 4, kind="digest", state="pending"))
    )


def two_bodies_of_a_digest(e):
    again = copy.deepcopy(next(post for post in e.posts if post.webhook_id == "d-msg-2"))
    again.raw += " "
    e.posts.append(again)


def wrong_count(e):
    saying(e, "d-msg-2", count=3)


def wrong_from(e):
    saying(e, "d-msg-2", **{"from": "2026-01-01T00:00:00.000Z"})


def wrong_max_red(e):
    saying(e, "d-msg-2", max_red=0.6)


def unlisted_alert(e):
    saying(e, "d-msg-2", alerts=[])


def upside_down(e):
    saying(e, "d-msg-2", first_seq=3, last_seq=2)


def moved(e, webhook_id, at):
    for event in deliveries_of(e, webhook_id):
        event["enqueued_at"] = datetime.fromtimestamp(at / 1000, UTC).isoformat()


def too_soon(e):
    moved(e, "d-msg-4", 2999)


def twice_under_two_names(e):
    [again] = [copy.deepcopy(event) for event in deliveries_of(e, "d-msg-4")[:1]]
    e.records.append(Record(DELIVERIES, "c", 2, 300, again | {"webhook_id": "d-msg-4-again"}))


def late_for_no_reason(e):
    moved(e, "d-msg-4", 3001)


def due_at_two_times(e):
    deliveries_of(e, "d-msg-4")[0]["enqueued_at"] = "1970-01-01T00:00:04.000Z"


def alone_at_another_time(e):
    moved(e, "d-msg-5", 9001)


def alert_of_the_next_interval(e):
    next(r for r in records(e, ALERTS) if r.value["id"] == "d-2").timestamp = 2000


def alert_of_the_interval_before(e):
    next(r for r in records(e, ALERTS) if r.value["id"] == "d-3").timestamp = 1700


def told_with_another_range(e):
    for event in deliveries_of(e, "d-msg-2"):
        event["last_seq"] = 4


def told_as_an_alert(e):
    for event in deliveries_of(e, "d-msg-4"):
        event["kind"] = "alert"


def digest_told_twice(e):
    e.records.append(Record(DELIVERIES, "c", 2, 300, deliveries_of(e, "d-msg-2")[1]))


def digest_untold(e):
    deliveries_of(e, "d-msg-2")[1]["state"] = "exhausted"


def digest_nobody_asked_for(e):
    next(r for r in records(e, RESULTS) if r.value["subscription"]["id"] == "d").value["subscription"][
        "min_interval"
    ] = 0


BROKEN = (
    lost_image, doubled_image, unasked_image, another_position, another_amount, lost_count, doubled_count,
    wrong_over, wrong_live_over, no_view, lost_alert, doubled_alert, alert_of_another_version, hole_in_seq,
    broken_chain, one_id_for_two, threshold_ignored, disabled_ignored, crossing_ignored, armed_too_early,
    undelivered_alert,
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


BROKEN_DIGESTS = {
    lost_digest: "delivered: 2 lost",
    digest_that_forgot_an_alert: "webhooks of d: 1 lost",
    alert_in_a_digest_and_alone: "one alert, two webhooks",
    told_in_two_webhooks_of_which_one_arrived: "webhooks of d: 0 lost, 1 doubled",
    two_bodies_of_a_digest: "one webhook-id, two bodies",
    wrong_count: "a digest tells otherwise",
    wrong_from: "a digest tells otherwise",
    wrong_max_red: "a digest tells otherwise",
    unlisted_alert: "a digest tells otherwise",
    upside_down: "a digest tells otherwise",
    twice_under_two_names: "webhooks of d: 0 lost, 1 doubled",
    too_soon: "two webhooks within",
    late_for_no_reason: "waited for nothing",
    due_at_two_times: "told in two ways",
    alone_at_another_time: "another webhook than its time",
    alert_of_the_next_interval: "another webhook than its time",
    alert_of_the_interval_before: "another webhook than its time",
    told_with_another_range: "red.deliveries tells another webhook",
    told_as_an_alert: "red.deliveries tells another webhook",
    digest_told_twice: "told delivered twice",
    digest_untold: "red.deliveries does not say so",
    digest_nobody_asked_for: "nobody asked for",
}


def test_sound_digests_are_found_sound():
    verdict = judge(in_digests())
    assert (verdict.findings, verdict.alerts, undelivered(in_digests())) == ([], 8, [])


@pytest.mark.parametrize("broken", BROKEN_DIGESTS, ids=lambda broken: broken.__name__)
def test_each_broken_rule_of_digests_turns_it_red(broken):
    evidence = in_digests()
    broken(evidence)
    findings = judge(evidence).findings
    assert [found for found in findings if BROKEN_DIGESTS[broken] in found], findings


def test_digests_that_had_to_wait_and_turned_clocks_stay_green():
    evidence = in_digests()
    late_for_no_reason(evidence)
    evidence.records.append(a_result(2, 5, threshold=0.05, id="d", min_interval=1, enabled=False))
    assert judge(evidence).findings == []
    evidence = in_digests()
    alert_of_the_next_interval(evidence)
    evidence.clocks_turned = True
    assert judge(evidence).findings == []


def test_alerts_that_were_cancelled_with_their_subscription_are_no_webhooks():
    evidence = in_digests()
    evidence.records.append(a_result(2, 5, threshold=0.05, id="d", min_interval=1, enabled=False))
    evidence.posts = [post for post in evidence.posts if post.webhook_id != "d-msg-5"]
    moved(evidence, "d-msg-5", 3001)
    deliveries_of(evidence, "d-msg-5")[1]["state"] = "cancelled"
    assert judge(evidence).findings == []
    moved(evidence, "d-msg-4", 2999)
    assert judge(evidence).findings


def test_a_digest_that_has_not_arrived_is_waited_for():
    evidence = in_digests()
    lost_digest(evidence)
    assert undelivered(evidence) == [("d", "2:1"), ("d", "2:2")]


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


def test_a_crossing_raises_an_alert_only_where_it_is_armed():
    evidence = sound()
    one_alert_less(evidence)
    verdict = judge(evidence)
    assert (verdict.findings, verdict.alerts) == ([], 2)


def test_an_alert_that_has_not_arrived_is_waited_for():
    evidence = sound()
    evidence.posts.pop()
    assert undelivered(evidence) == [("s", "2:4")]

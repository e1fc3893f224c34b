"""The judge: from the evidence alone, with no code of ours, what was lost and what was doubled.

An acknowledged image stands in the log exactly once, where its answer said. Live and statistics
have as many as the log. The alerts are those the log implies: for every enabled version of a
subscription, every measurement over its threshold from `in_force_from` on, up to the next version's; where
its trigger is `crossing`, only those that find it armed.
Each has one id, and `seq` counts from 1 without hole or double. The receiver got every one of them in
exactly one webhook, of its own or a digest, with the same bytes whenever that came again; what digests say is
judged in `digests.py`, and what is told of endpoints in `health.py`.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.faults.harness.digests import judge_digests
from tests.faults.harness.evidence import ALERTS, DELIVERIES, MEASUREMENTS, THRESHOLDS
from tests.faults.harness.health import judge_health
from tests.faults.harness.implied import implied_of, over_of, stopped_of
from tests.faults.harness.webhooks import webhooks_of


@dataclass
class Verdict:
    """`findings` is empty when every rule held."""

    events: int = 0
    alerts: int = 0
    lost: int = 0
    doubled: int = 0
    again: int = 0  # POSTs of an id that had arrived before: allowed
    findings: list[str] = field(default_factory=list)

    def find(self, rule, lost=0, doubled=0, example=""):
        """A rule did not hold."""
        self.lost += lost
        self.doubled += doubled
        self.findings.append(f"{rule}: {lost} lost, {doubled} doubled {example}".strip())


def judge(evidence):
    """Every rule, over everything."""
    verdict = Verdict()
    for client_id, ledger in evidence.ledgers.items():
        log = evidence.of(MEASUREMENTS, client_id)
        _acknowledged(verdict, ledger, log)
        implied = implied_of(evidence, client_id, log)
        _views(verdict, evidence, client_id, log)
        _alerts(verdict, evidence, client_id, implied)
        verdict.findings += [f"{client_id}: {odd}" for odd in ledger.odd]
    _deliveries(verdict, evidence)
    judge_digests(verdict, evidence)
    judge_health(verdict, evidence)
    if evidence.verify.get("equal") is not True:
        verdict.findings.append(f"verify: {str(evidence.verify)[:1500]}")
    return verdict


def _acknowledged(verdict, ledger, log):
    verdict.events += len(ledger.acked)
    times = Counter(record.value["image_id"] for record in log)
    places = {r.value["image_id"]: (f"{r.partition}:{r.offset}", r.value["red"]) for r in log}
    acked = {ack.image_id: ack for ack in ledger.acked}
    lost = [i for i in acked if i not in times]
    doubled = {i: n for i, n in times.items() if n > 1}
    if lost or doubled:
        verdict.find(
            "acknowledged", len(lost), sum(doubled.values()) - len(doubled), lost[:2] or [*doubled][:2]
        )
    if len(acked) != len(ledger.acked):
        verdict.find("two answers for one image", doubled=len(ledger.acked) - len(acked))
    for ack in acked.values():
        place, red = places.get(ack.image_id, (ack.position, ack.red))
        if ack.position not in (None, place) or ack.red != red:
            verdict.find("told otherwise than logged", example=f"{ack} is {place} {red}")
    unasked = [i for i in times if i not in acked and i not in ledger.maybe]
    if len(unasked) > ledger.unnamed:
        verdict.find("counted though nobody was told", doubled=len(unasked) - ledger.unnamed)


def _views(verdict, evidence, client_id, log):
    counted, live = evidence.statistics.get(client_id), evidence.live.get(client_id)
    if counted is None or live is None:
        verdict.findings.append(f"{client_id}: no view answered")
        return
    told = {"statistics": counted["images"]}
    expected = {"statistics": len(log)}
    for one in counted["thresholds"]:
        told[f"over {one['threshold']:g}"] = one["over"]
    for threshold in THRESHOLDS:
        expected[f"over {threshold:g}"] = sum(r.value["red"] > threshold for r in log)
    if not evidence.clocks_turned:
        expected["live"], told["live"] = len(log), live["totals"]["24h"]["images"]
        expected["histogram"], told["histogram"] = len(log), sum(live["histogram"])
        over = over_of(evidence, client_id, log)
        for one in live["subscriptions"]:
            name = f"live over of {one['id']}"
            expected[name], told[name] = over.get(one["id"], 0), one["over"]
    for name, number in expected.items():
        off = told.get(name, -1) - number
        if off:
            verdict.find(f"{client_id} {name}", max(0, -off), max(0, off), f"{told.get(name)} of {number}")


def _alerts(verdict, evidence, client_id, implied):
    raised = defaultdict(list)
    for record in evidence.of(ALERTS, client_id):
        raised[record.value["subscription_id"]].append(record.value)
    for name in implied.keys() | raised.keys():
        should = Counter(implied.get(name, ()))
        did = Counter((alert["position"], alert["version"]) for alert in raised[name])
        missing, extra = sum((should - did).values()), sum((did - should).values())
        if missing or extra:
            verdict.find(f"alerts of {name}", missing, extra, [*(should - did), *(did - should)][:3])
        seqs = [(alert["prev_seq"], alert["seq"]) for alert in raised[name]]
        if seqs != [(n, n + 1) for n in range(len(seqs))]:
            wrong = next((s for n, s in enumerate(seqs) if s != (n, n + 1)), None)
            verdict.find(f"seq of {name}", example=f"hole or double at {wrong}")
        ids = [alert["id"] for alert in raised[name]]
        if len(set(ids)) != len(ids) and not extra:
            verdict.find(f"ids of {name}", doubled=len(ids) - len(set(ids)))
        verdict.alerts += len(ids)


def _deliveries(verdict, evidence):
    alerts = {
        (r.value["subscription_id"], r.value["seq"]): r.value
        for r in evidence.of(ALERTS)
        if r.client_id in evidence.ledgers
    }
    state = {r.value["webhook_id"]: r.value["state"] for r in evidence.of(DELIVERIES)}
    ended = Counter(r.value["id"] for r in evidence.of(DELIVERIES) if r.value["state"] == "delivered")
    arrived, bodies = defaultdict(set), defaultdict(set)
    for webhook in webhooks_of(evidence.posts):
        bodies[webhook.webhook_id].add(webhook.raw)
        for seq in webhook.seqs:
            arrived[webhook.subscription_id, seq].add(webhook.webhook_id)
        for told in webhook.alerts:
            if alerts.get((webhook.subscription_id, told["seq"]), told) != told:
                verdict.find("a POST tells otherwise than the log", example=webhook.raw[:200])
        if not webhook.verified and not evidence.clocks_turned:  # receivers refuse an old timestamp
            verdict.find("a signature does not hold", example=webhook.webhook_id)
    stopped = stopped_of(evidence)
    lost = [key for key in alerts if key not in arrived and key[0] not in stopped]
    untold = [i for i in bodies if state.get(i) != "delivered" and not stopped]
    if lost:
        verdict.find("delivered", len(lost), example=lost[:3])
    if untold:
        verdict.find("arrived, and red.deliveries does not say so", len(untold), example=untold[:3])
    if strange := arrived.keys() - alerts.keys():
        verdict.find("delivered without an alert", doubled=len(strange))
    if two := [(key, *ids) for key, ids in arrived.items() if len(ids) > 1]:
        verdict.find("one alert, two webhooks", doubled=len(two), example=two[:3])
    if other := [i for i, raws in bodies.items() if len(raws) > 1]:
        verdict.find("one webhook-id, two bodies", doubled=len(other))
    if twice := [i for i, n in ended.items() if n > 1]:
        verdict.find("told delivered twice", doubled=len(twice), example=twice[:3])
    verdict.again = len(evidence.posts) - len(bodies)

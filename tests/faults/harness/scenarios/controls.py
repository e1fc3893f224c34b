"""Rules broken on purpose: each must turn the harness red. The switches are in `tests/faults/broken.py`."""

import json
import time

from red_stats import topics
from tests.faults.harness.clients import produce
from tests.faults.harness.evidence import read_log
from tests.faults.harness.scenario import ONE, ROLES, scenario
from tests.faults.harness.scenarios.crashes import dies
from tests.faults.harness.scenarios.zombies import zombie

SOON = {"settle_seconds": 12}
ALL_ALERT = SOON | {"threshold": 0.02}  # whatever is doubled, an alert is among it


def broken(name, rule, system=ONE, load=SOON):
    """A control: workers of these systems break one rule, as `tests/faults/broken.py` does it."""
    workers = {"module": "tests.faults.broken", "RED_TEST_BREAK": rule}
    return scenario(name, system, times=1, load=load, control=True, workers=workers)


@broken("control: no fencing", "fence", ROLES, ALL_ALERT)
async def no_fencing(run):
    """Every process has transactional ids of its own: a zombie ends what it began."""
    return await zombie(run, "live", "live.in-transaction")


@broken("control: no marks", "mark")
async def no_marks(run):
    """A worker that has died folds again what it had folded."""
    return await dies(run.system.workers["all-1"], "live.after-transaction#5")


@broken("control: no pending rows", "pending")
async def no_pending(run):
    """A deliver that has died forgets what it had taken over."""
    return await dies(run.system.workers["all-1"], "deliver.before-ack#3")


@broken("control: armed too early", "rearm")
async def armed_too_early(run):
    """An image between `rearm_below` and the threshold arms a crossing again."""
    await run.flowing(60)
    return time.monotonic()


@broken("control: a digest leaves an alert out", "digest")
async def forgetful_digest(run):
    """No webhook has the first of several alerts that waited together."""
    await run.flowing(200)
    return time.monotonic()


@broken("control: intervals forgotten", "intervals")
async def no_intervals(run):
    """A deliver that has died forgets which alerts wait for a digest."""
    return await dies(run.system.workers["all-1"], "deliver.before-ack#9")


@broken("control: no compare-and-set", "sink")
async def no_compare(run):
    """A record that has died inserts again what it had inserted."""
    return await dies(run.system.workers["all-1"], "record.after-insert#4")


@scenario("control: an alert twice", ONE, times=1, load=SOON, control=True)
async def alert_twice(run):
    """Somebody copies an alert."""
    await run.flowing(60)
    records = await read_log(run.system.bootstrap, {}, set(run.ledgers))
    alert = next(r for r in records if r.topic == topics.ALERTS)
    value = json.dumps(alert.value).encode()
    await produce(run.system.bootstrap, [(topics.ALERTS, alert.client_id.encode(), value)])
    return time.monotonic()

"""Rules broken on purpose: each must turn the harness red. The switches are in `tests/faults/broken.py`."""

import json
import time

from red_stats import topics
from tests.faults.harness.clients import produce
from tests.faults.harness.evidence import read_log
from tests.faults.harness.scenario import ONE, ROLES, scenario
from tests.faults.harness.scenarios.crashes import dies
from tests.faults.harness.scenarios.zombies import zombie

BROKEN = {"module": "tests.faults.broken"}
SOON = {"settle_seconds": 12}
ALL_ALERT = SOON | {"threshold": 0.02}  # whatever is doubled, an alert is among it


@scenario(
    "control: no fencing",
    ROLES,
    times=1,
    load=ALL_ALERT,
    control=True,
    workers=BROKEN | {"RED_TEST_BREAK": "fence"},
)
async def no_fencing(run):
    """Every process has transactional ids of its own: a zombie ends what it began."""
    return await zombie(run, "live", "live.in-transaction")


@scenario(
    "control: no marks", ONE, times=1, load=SOON, control=True, workers=BROKEN | {"RED_TEST_BREAK": "mark"}
)
async def no_marks(run):
    """A worker that has died folds again what it had folded."""
    return await dies(run.system.workers["all-1"], "live.after-transaction#5")


@scenario(
    "control: no pending rows",
    ONE,
    times=1,
    load=SOON,
    control=True,
    workers=BROKEN | {"RED_TEST_BREAK": "pending"},
)
async def no_pending(run):
    """A deliver that has died forgets what it had taken over."""
    return await dies(run.system.workers["all-1"], "deliver.before-ack#3")


@scenario(
    "control: no compare-and-set",
    ONE,
    times=1,
    load=SOON,
    control=True,
    workers=BROKEN | {"RED_TEST_BREAK": "sink"},
)
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

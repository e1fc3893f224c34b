"""The fault harness in its short form: one scenario of each kind, on two systems, and one broken rule.

`make faults` plays every scenario many times and alone; `test_kills.py` and `test_live_crashes.py`
hold crash points, fenced zombies, commands and a store that fails for 20 s.
"""

import os

import pytest

from tests.faults.harness.disks import CannotMount, Disk
from tests.faults.harness.scenario import ONE, ROLES, all_scenarios, played_together
from tests.faults.harness.supervised import Supervised
from tests.faults.harness.system import System

SEED = int(os.environ.get("RED_FAULTS_SEED", "1"))
SCENARIOS = all_scenarios()


async def judged(system, *names):
    """The verdict over these scenarios, one after the other under one load."""
    result, _ = await played_together([(SCENARIOS[name], 1) for name in names], system, SEED)
    return result


@pytest.fixture(scope="module")
def can_mount(tmp_path_factory):
    try:
        Disk(tmp_path_factory.mktemp("disk"), 1).close()
    except CannotMount:
        return False
    return True


async def test_kills_under_a_supervisor(tmp_path):
    supervised = Supervised(tmp_path)
    try:
        await supervised.start_up()
        result = await judged(supervised, "kill worker", "kill RED", "kill supervisor")
    finally:
        await supervised.end()
    assert result.verdict.findings == [], system_told(result, supervised)


async def test_faults_of_one_worker_and_a_zombie_that_nobody_fences(tmp_path, can_mount):
    system = System(tmp_path, **({"store_mib": 200} if can_mount else {}))
    try:
        await system.start(ONE, RED_MIN_FREE_BYTES="0")
        one = await judged(
            system,
            "worker to Kafka: cut", "worker to receiver: answers lost",
            "store's disk full, to the last byte" if can_mount else "ClickHouse failing",
            "poison that looks like a measurement", "poison too large to read",
            "a transaction that somebody leaves open",
        )  # fmt: skip
        assert one.verdict.findings == [], system_told(one, system)
        broken = {"module": "tests.faults.broken", "RED_TEST_BREAK": "fence", "RED_MIN_FREE_BYTES": "0"}
        await system.reshape(ROLES, **broken)
        unfenced = await judged(system, "control: no fencing")
        assert unfenced.verdict.findings, "a zombie that nobody fences must be seen"
    finally:
        await system.stop()


async def test_a_system_that_never_got_up_leaves_no_disk_mounted(tmp_path, can_mount, monkeypatch):
    if not can_mount:
        pytest.skip("nothing can be mounted here")
    monkeypatch.setattr("tests.faults.harness.system.Broker", broken_broker)
    system = System(tmp_path, store_mib=1)
    with pytest.raises(OSError, match="no Kafka today"):
        await system.start(ONE)
    assert os.path.ismount(system.store_disk.folder)
    await system.stop()
    assert not os.path.ismount(system.store_disk.folder)


def broken_broker(*_):
    raise OSError("no Kafka today")


def system_told(result, system):
    """What one needs to look into it."""
    return f"{result.notes} {system.deaths()} {system.folder}"

"""The worker killed, paused and cut off under load: everything ends as the log implies it."""

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from collections import Counter

import pytest
from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.builders import a_measurement
from tests.receiver import Receiver
from tests.services import ALL, an_api, running, until_paused, verified, worker
from tests.system.records import records, until_records

NAMED = "kills"  # as `up` names its worker: back in seconds, without waiting for a session to end
TAKEN = "partitions assigned"
REDS = [n % 100 / 100 for n in range(100)]


class Load:
    """Measurements of one client, one after the other, until told to stop; `sent` are acknowledged."""

    def __init__(self, bootstrap, client_id, pause=0.005):
        self._bootstrap, self._client_id, self._pause = bootstrap, client_id, pause
        self.sent = []

    async def __aenter__(self):
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, enable_idempotence=True)
        await self._producer.start()
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error):
        await self.stop()

    async def stop(self):
        self._ending.set()
        await self._task
        await self._producer.stop()

    async def _run(self):
        while not self._ending.is_set():
            await self.one(REDS[len(self.sent) % 100])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self._pause)

    async def one(self, red):
        value = a_measurement(self._client_id, red, int(time.time() * 1000))
        sending = await self._producer.send(topics.MEASUREMENTS, value, self._client_id.encode())
        done = await sending
        self.sent.append((f"{done.partition}:{done.offset}", red))


async def alerts_of(kafka, client_id):
    return [json.loads(record.value) for record in await records(kafka, topics.ALERTS, client_id)]


async def until_delivered(receiver, count, seconds=60):
    await receiver.until(lambda receiver: len(receiver.alerts()) >= count, seconds)


async def equal(stats, api):
    """The report of `verify` for this client: stores of other tests hold other clients' rows."""
    code, report = await asyncio.to_thread(verified, stats, "--client", api.client_id)
    assert (code, report["differences"]) == (0, [])
    return report


async def test_five_kills_under_load_lose_and_double_nothing(kafka, tmp_path):
    with running(worker(kafka, tmp_path, RED_INSTANCE=NAMED)) as stats:
        async with an_api(kafka, stats) as api, Receiver() as receiver:
            await api.subscribed(stats, receiver.url, 0.9)
            async with Load(kafka, api.client_id) as load:
                for _ in range(5):
                    await asyncio.sleep(1.5)
                    stats.kill()
                    stats.start()
                    await asyncio.to_thread(stats.until_ready)
                await asyncio.sleep(1)
            over = [position for position, red in load.sent if red > 0.9]
            await until_delivered(receiver, len(over))
            report = await equal(stats, api)
            assert report["log"] == report["clickhouse"] == report["live"] == len(load.sent)
            alerts = await alerts_of(kafka, api.client_id)
            assert [alert["position"] for alert in alerts] == over
            assert [alert["seq"] for alert in alerts] == list(range(1, len(over) + 1))
            assert {alert["id"] for alert in receiver.alerts()} == {alert["id"] for alert in alerts}
            assert len({got.id for got in receiver.got}) == len(over)


async def test_kills_while_alerts_wait_in_the_log_lose_none_of_them_and_double_no_delivery(kafka, tmp_path):
    """An endpoint with 20 rows fails through 600 alerts; its worker dies at named points while they drain."""
    settings = {"RED_INSTANCE": NAMED, "RED_WEBHOOK_ROWS": "20"}
    with running(worker(kafka, tmp_path, **settings)) as stats:
        async with an_api(kafka, stats) as api, Receiver(500) as receiver:
            subscription = await api.subscribed(stats, receiver.url, 0)
            async with Load(kafka, api.client_id, pause=0) as load:
                while len(load.sent) < 600:
                    await load.one(0.5)
            over = [position for position, red in load.sent if red > 0]
            await until_records(kafka, topics.DELIVERIES, api.client_id, len(over))
            receiver.answer = 200
            for point in ("before-transaction#9", "in-transaction#9", "after-transaction#9"):
                stats.kill()
                stats.start(RED_CRASH_AT=f"deliver.{point}")
                await asyncio.to_thread(stats.process.wait, 60)
            stats.start()
            await asyncio.to_thread(stats.until_ready)
            await until_delivered(receiver, len(over), seconds=120)
            assert {alert["position"] for alert in receiver.alerts()} == set(over)
            await api.ended(stats, subscription, ("delivered",), count=100)
            report = await equal(stats, api)
            [mine] = report["subscriptions"]
            assert mine["implied"] == mine["sent"] == mine["delivered"] == len(over)


async def test_a_threshold_moved_while_the_worker_dies_judges_as_the_log_implies(kafka, tmp_path):
    with running(worker(kafka, tmp_path, RED_INSTANCE=NAMED)) as stats:
        async with an_api(kafka, stats) as api, Receiver() as receiver:
            subscription = await api.subscribed(stats, receiver.url, 0.5)
            one = f"{stats.url}/v1/subscriptions/{subscription['id']}"
            async with Load(kafka, api.client_id) as load:
                for threshold in (0.95, 0.4, 0.97):
                    await asyncio.sleep(0.7)
                    changing = asyncio.create_task(_change(api, one, threshold))
                    await asyncio.sleep(0.01)
                    stats.kill()
                    stats.start()
                    await asyncio.to_thread(stats.until_ready)
                    await changing
            report = await equal(stats, api)
            mine = [s for s in report["subscriptions"] if s["id"] == subscription["id"]]
            assert sum(s["implied"] for s in mine) == sum(s["sent"] for s in mine) > 0
            implied = await _implied(kafka, api.client_id, load.sent)
            alerts = await alerts_of(kafka, api.client_id)
            assert [(alert["position"], alert["version"]) for alert in alerts] == implied
            assert [alert["seq"] for alert in alerts] == list(range(1, len(alerts) + 1))


async def _change(api, url, threshold):
    """Ask until it is so; a command that was answered twice has one effect."""
    while True:
        try:
            status, answer = await api.call("PATCH", url, json={"threshold": threshold})
        except OSError:
            status, answer = 0, {}
        except Exception as error:
            if "aiohttp" not in type(error).__module__:
                raise
            status, answer = 0, {}
        if status == 200 and answer["threshold"] == threshold:
            return
        await asyncio.sleep(0.1)


async def _implied(kafka, client_id, sent):
    """By the answers on the topic, without any code of ours: which positions are over, for which version."""
    versions = {}
    for record in await records(kafka, topics.COMMAND_RESULTS, client_id):
        answer = json.loads(record.value)
        if answer["status"] == "accepted":
            made = answer["subscription"]
            versions[made["version"]] = (int(made["in_force_from"].split(":")[1]), made["threshold"])
    found = []
    for position, red in sent:
        offset = int(position.split(":")[1])
        in_force = [v for v, (since, _) in versions.items() if since <= offset]
        if in_force and red > versions[max(in_force)][1]:
            found.append((position, max(in_force)))
    return found


@pytest.mark.parametrize("point", ["live.in-transaction#4:stop", "live.after-transaction#4:stop"])
async def test_a_worker_paused_past_its_session_is_fenced_and_alerts_stand_once(kafka, tmp_path, point):
    (tmp_path / "other").mkdir()
    with running(worker(kafka, tmp_path, role="live")) as first:
        async with an_api(kafka, first) as api:
            await api.subscribed(first, "https://example.com/h", 0.5)
            first.stop()
            first.start(RED_CRASH_AT=point)
            await asyncio.to_thread(first.until_ready)
            async with Load(kafka, api.client_id) as load:
                await asyncio.to_thread(until_paused, first.process.pid)
                with running(worker(kafka, tmp_path / "other", role="live")) as second:
                    await asyncio.sleep(2)
                    await load.stop()
                    over = [position for position, red in load.sent if red > 0.5]
                    await until_records(kafka, topics.ALERTS, api.client_id, len(over), seconds=30)
                    taken = first.log.read_text().count(TAKEN)
                    first.process.send_signal(signal.SIGCONT)
                    code = await asyncio.to_thread(_until_ended_or_back, first, taken)
                    first.stop()
                    position = load.sent[-1][0]
                    status, _ = await api.call("GET", f"{second.url}/v1/live?at_least={position}")
            # with a transaction open it must end by itself; with nothing to write it may join again
            assert code == 70 or (code is None and "after" in point)
            assert status == 200
            alerts = await alerts_of(kafka, api.client_id)
            assert [alert["position"] for alert in alerts] == over
            assert [alert["seq"] for alert in alerts] == list(range(1, len(over) + 1))


def _until_ended_or_back(worker, taken):
    """Its exit code, or None once it has joined its group again."""
    deadline = time.monotonic() + 30
    while worker.process.poll() is None and worker.log.read_text().count(TAKEN) <= taken:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):  # it may be about to be fenced
        return worker.process.wait(3)


def _limit_files(pid, size):
    """How large a file the process may write: with 0 every write to a disk fails."""
    subprocess.run(["prlimit", "--pid", pid, f"--fsize={size}:"], check=True)


async def test_a_store_that_cannot_be_written_for_20_s_delays_no_alert_and_loses_no_row(kafka, tmp_path):
    with running(worker(kafka, tmp_path)) as stats:
        async with an_api(kafka, stats) as api, Receiver() as receiver:
            await api.subscribed(stats, receiver.url, 0.5)
            async with Load(kafka, api.client_id, pause=3600) as load:
                pid = str(stats.process.pid)
                _limit_files(pid, "0")
                late = []
                for number in range(20):
                    started = time.monotonic()
                    await load.one(0.9)
                    await until_delivered(receiver, number + 1, seconds=5)
                    late.append(time.monotonic() - started)
                    await asyncio.sleep(max(0, 1 - late[-1]))
                _limit_files(pid, "unlimited")
                assert sorted(late)[10] < 0.5
                assert max(late) < 3
                position = load.sent[-1][0]
                url = f"{stats.url}/v1/statistics?{ALL}&at_least={position}"
                async with asyncio.timeout(40):
                    while (answer := await api.call("GET", url))[0] != 200:
                        assert answer[1]["code"] in ("not_yet", "store_unavailable")
                assert answer[1]["images"] == len(load.sent)
            await equal(stats, api)


POINTS = (
    [f"deliver.{moment}-transaction#2" for moment in ("before", "in", "after")]
    + ["deliver.before-ack#2", "deliver.before-post#2", "deliver.after-post#2"]
    + ["record.before-insert#3", "record.after-insert#3", "record.before-ack#3"]
)


async def test_a_crash_at_every_point_of_deliver_and_record_loses_and_doubles_nothing(kafka, tmp_path):
    """One worker dies at each point in turn; each next life starts from what the last left behind."""
    with running(worker(kafka, tmp_path, RED_INSTANCE=NAMED)) as stats:
        async with an_api(kafka, stats) as api, Receiver() as receiver:
            await api.subscribed(stats, receiver.url, 0.5)
            async with Load(kafka, api.client_id, pause=0.02) as load:
                for point in POINTS:
                    stats.stop()
                    stats.start(RED_CRASH_AT=point)
                    code = await asyncio.to_thread(stats.process.wait, 40)
                    assert code == -signal.SIGKILL, f"{point} was never reached"
            stats.start()
            await asyncio.to_thread(stats.until_ready)
            over = [position for position, red in load.sent if red > 0.5]
            await until_delivered(receiver, len(over))
            report = await equal(stats, api)
            alerts = await alerts_of(kafka, api.client_id)
            assert [alert["position"] for alert in alerts] == over
            times = Counter(got.id for got in receiver.got)
            assert len(times) == len(over)
            again = sum(times.values()) - len(over)
            # 4 at a time, and those whose results waited for the transaction that was under way
            assert again <= 20 * len(POINTS), "only what was not settled at a crash may be posted again"
            assert max(times.values()) <= 1 + len(POINTS)
            mine = [s for s in report["subscriptions"] if s["sent"] == len(over)]
            assert mine[-1]["delivered"] == len(over)

"""The systems under test: real processes, each kept running, on ports and folders of their own."""

import asyncio
import os
import sys

import aiohttp

from tests.conftest import free_port
from tests.faults.harness.broker import Broker
from tests.faults.harness.disks import Disk
from tests.faults.harness.preload import Faults
from tests.faults.harness.processes import Kept
from tests.services import SECRET_KEY

SESSION_SECONDS = 4
SETTINGS = {
    "RED_SECRET_KEY": SECRET_KEY,
    "RED_WEBHOOK_ALLOW": "127.0.0.1/32",
    "RED_WEBHOOK_SCHEDULE": ",".join(["0.5", "0.5", "1", "1", *["2"] * 60]),
    "RED_WEBHOOK_TIMEOUT": "3",
    "RED_SESSION_TIMEOUT": str(SESSION_SECONDS),
    "RED_DECODE_WORKERS": "1",
    "RED_LOG_LEVEL": "INFO",
}


class System:
    """Kafka, RED and workers by name; the workers reach Kafka through a proxy unless told otherwise."""

    def __init__(self, folder, *, store_mib=0, kafka_mib=0):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.reds, self.workers, self.broker = {}, {}, None
        self.faults = {name: Faults(folder, name) for name in ("kafka", "red", "worker")}
        self.kafka_disk = Disk(folder / "kafka", kafka_mib) if kafka_mib else None
        self.store_disk = Disk(folder / "data" / "clickhouse", store_mib) if store_mib else None

    async def start(self, shape, **options):
        """Everything is ready: RED, and workers by name with their roles."""
        self.broker = Broker(self.folder / "kafka", self.faults["kafka"].environment)
        self.kafka = self.broker.process
        self.bootstrap = self.broker.bootstrap
        await self.broker.until_ready()
        self.add_red("red")
        await self.reshape(shape, **options)

    async def stop(self):
        """End everything in order and unmount the disks, also of a system that never got up."""
        try:
            await self._stop_processes()
        finally:
            for disk in self._disks:
                disk.close()

    async def _stop_processes(self):
        for disk in self._disks:
            disk.clear()
        for one in [*self.workers.values(), *self.reds.values()]:
            await asyncio.to_thread(one.stop)
        if self.broker:
            await self.broker.stop()

    @property
    def _disks(self):
        return [disk for disk in (self.store_disk, self.kafka_disk) if disk]

    def add_red(self, name, **changes):
        """One more RED on the same image store."""
        port = str(free_port())
        given = {"RED_PORT": port, "RED_KAFKA": self.bootstrap, "RED_INSTANCE": name, **changes}
        self.reds[name] = self._kept(name, ["red_service"], port, given | self.faults["red"].environment)
        return self.reds[name]

    def add_worker(self, name, role, *, module="red_stats", direct=False, instance=True, **changes):
        """One more worker; `instance` makes it a static member, as a supervisor's are."""
        port = str(free_port())
        kafka = self.bootstrap if direct else self.broker.proxied
        given = {"RED_STATS_PORT": port, "RED_KAFKA": kafka}
        if instance:
            given["RED_INSTANCE"] = name
        given |= self.faults["worker"].environment | changes
        self.workers[name] = self._kept(name, [module, "worker", "--role", role], port, given)
        return self.workers[name]

    async def reshape(self, shape, **options):
        """Exactly these workers run and are ready.

        Single ones of a role are static members; every second one reaches Kafka without the proxy.
        """
        for name in self.workers.keys() - shape.keys():
            await self.remove_worker(name)
        for name, role in shape.items():
            if name not in self.workers:
                single = list(shape.values()).count(role) == 1
                given = {"instance": single, "direct": name.endswith("-2") or role == "record"} | options
                self.add_worker(name, role, **given)
        await self.until_ready()

    async def remove_worker(self, name):
        """End one in order."""
        await asyncio.to_thread(self.workers.pop(name).stop)

    @property
    def red_urls(self):
        """Every RED there is."""
        return [one.url for one in self.reds.values()]

    @property
    def stats_urls(self):
        """Every worker that may answer views."""
        return [one.url for name, one in self.workers.items() if name.startswith(("all", "live"))]

    async def until_ready(self, seconds=60):
        """All that runs is ready."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(seconds):
            for one in [*self.reds.values(), *self.workers.values()]:
                while not await is_ready(session, one.url):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    @property
    def environment(self):
        """What a command of ours needs to find all this."""
        given = {"RED_DATA": str(self.folder / "data"), "RED_KAFKA": self.bootstrap}
        return os.environ | SETTINGS | given

    def deaths(self):
        """Exit codes of every process so far."""
        kept = [self.kafka, *self.reds.values(), *self.workers.values()]
        return {one.name: list(one.deaths) for one in kept if one.deaths}

    def _kept(self, name, arguments, port, given):
        environment = SETTINGS | {"RED_DATA": str(self.folder / "data")} | given
        command = [sys.executable, "-m", *arguments]
        log = self.folder / f"{name}.log"
        return Kept(name, command, environment, log, f"http://127.0.0.1:{port}")


async def is_ready(session, url):
    """Whether a service says so."""
    try:
        async with session.get(f"{url}/health/ready", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False

"""The broker of the harness: the product's own, with a second listener that leads through a proxy."""

import asyncio

from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import ensure_topics
from red_stats.local.aot_cache import QUICK
from red_stats.local.kafka import Kafka
from red_stats.local.kafka_jars import cache_folder, ensure_jars, read_lock
from tests.conftest import PARTITIONS, free_port
from tests.faults.harness.processes import Kept
from tests.faults.harness.proxy import Proxy


class Broker:
    """`bootstrap` is direct, `proxied` goes through `cable`; both are what Kafka tells its clients."""

    def __init__(self, folder, environment):
        self._kafka = Linked(folder, free_port(), free_port())
        self.cable = Proxy(("127.0.0.1", self._kafka.behind))
        self._kafka.cable = self.cable.port
        self.bootstrap = self._kafka.bootstrap
        self.proxied = f"127.0.0.1:{self.cable.port}"
        log = folder.parent / "kafka.out"
        self.process = Kept("kafka", self._kafka.prepare(), environment, log)

    async def until_ready(self, seconds=60):
        """A record was written and read back; every topic is there."""
        await self._kafka.until_ready(seconds)
        await ensure_topics(KafkaConnection(self.bootstrap), PARTITIONS)

    async def stop(self):
        """End it in order."""
        await asyncio.to_thread(self.process.stop, 20)
        self.cable.close()


class Linked(Kafka):
    """Adds the listener PROXIED to the properties that the product writes."""

    def __init__(self, folder, port, controller_port):
        super().__init__(folder, port, controller_port, ensure_jars(cache_folder(), read_lock()), [QUICK])
        self.behind = free_port()
        self.cable = 0

    def prepare(self):
        command = super().prepare()
        properties = self.folder / "server.properties"
        text = properties.read_text()
        first = f"PLAINTEXT://127.0.0.1:{self.port},"
        text = text.replace(f"\nlisteners={first}", f"\nlisteners={first}PROXIED://127.0.0.1:{self.behind},")
        text = text.replace(
            f"\nadvertised.listeners={first}",
            f"\nadvertised.listeners={first}PROXIED://127.0.0.1:{self.cable},",
        )
        assert text.count("PROXIED") == 2, "red_stats.local.kafka writes its properties otherwise now"
        text = text.replace("protocol.map=", "protocol.map=PROXIED:PLAINTEXT,")
        properties.write_text(text + "inter.broker.listener.name=PLAINTEXT\n")
        return command

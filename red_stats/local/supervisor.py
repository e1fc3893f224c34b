"""`red-stats up`: Kafka, RED and the workers on one machine, kept running until Ctrl-C.

Children start in order, and stop in reverse. A child that dies is started again, with one line about it;
five deaths of a child within a minute stop everything, with the reason.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from red_common.child_processes import describe
from red_common.events import rfc3339
from red_common.kafka.connection import KafkaError
from red_common.kafka.refusals import why_failed
from red_common.networks import is_loopback
from red_common.secret_keys import SecretKeyError, load_keys
from red_common.web.trust import trust
from red_stats.domain.measurements import from_ms
from red_stats.kafka.topic_admin import TopicMismatch, ensure_topics
from red_stats.local.children import Child
from red_stats.local.data_folder import Unusable, read_keys
from red_stats.local.kafka import Kafka, KafkaNotReady, new_kafka
from red_stats.local.kafka_jars import JarError
from red_stats.local.ports import check_ports, free_port
from red_stats.local.up_keys import keys_of_up
from red_stats.local.welcome import welcome
from red_stats.settings import Settings

WEBHOOK_ALLOW: Final = "127.0.0.1/32"
READY_SECONDS: Final = 60.0
KAFKA_SECONDS: Final = 60.0
STOP_SECONDS: Final = {"deliver": 4.0, "worker": 4.0, "red": 2.5, "kafka": 3.0}
CANNOT_START: Final = 2


def allowance_of(host: str) -> str:
    """The networks that webhooks may reach by default, given the address on which the services listen.

    Whoever can reach the services could send webhooks to programs of this machine that trust it. So they may
    go to loopback only while nobody else gets in.
    """
    return WEBHOOK_ALLOW if is_loopback(host) else ""


class Supervisor:
    """The children of one data folder; `out` prints lines that scripts may read, `say` lines for people."""

    def __init__(self, settings: Settings, *, out: Callable[[str], None], say: Callable[[str], None]) -> None:
        self._settings = settings
        self._out, self._say = out, say
        self._kafka: Kafka | None = None
        self._children: list[Child] = []
        self._watching: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._environment = self._environment_of_children()

    async def run(self) -> None:
        """Start everything and keep it running until it is cancelled.

        Raises:
            Unusable: something cannot be started, or keeps dying.
        """
        started = time.monotonic()
        try:
            await self._start()
            self._out(self._ready_line())
            self._say(f"ready after {time.monotonic() - started:.1f} s")
            self._out(welcome(self._settings, self._keys["demo"]["api_key"]))
            await self._failed
        finally:
            await self._stop()

    async def _start(self) -> None:
        settings = self._settings
        ports = {"RED_PORT": settings.port, "RED_STATS_PORT": settings.stats_port}
        if settings.kafka is None:
            await asyncio.to_thread(check_ports, "127.0.0.1", {"RED_KAFKA_PORT": settings.kafka_port})
        if settings.deliver_port is not None:
            ports["RED_DELIVER_PORT"] = settings.deliver_port
        await asyncio.to_thread(check_ports, settings.host, ports)
        try:
            is_new = read_keys(settings.data) is None
            secret_keys = load_keys(settings.data, settings.secret_key, create=is_new)
            await self._start_kafka()
            await ensure_topics(
                settings.connection,
                settings.partitions,
                settings.replication,
                settings.measurements_retention_days,
            )
            now = rfc3339(from_ms(int(time.time() * 1000)))
            self._keys = await keys_of_up(settings.connection, settings.data, secret_keys, now)
        except (KafkaNotReady, JarError, TopicMismatch, SecretKeyError) as error:
            raise Unusable(str(error)) from error
        except (KafkaError, OSError) as error:
            where = settings.connection
            refused = await why_failed(where, error)
            raise Unusable(
                refused or f"Kafka at {where} cannot be used ({error!r}): check RED_KAFKA"
            ) from error
        red = self._child("red", [sys.executable, "-m", "red_service"])
        worker = self._worker("worker", "live,record", settings.stats_port)
        # whatever a webhook's receiver does to the process that sends it, counts and statistics go on
        port = settings.deliver_port or free_port()
        deliver = self._worker("deliver", "deliver", port)
        self._say(f"health and metrics of webhooks are at port {port} (RED_DELIVER_PORT)")
        for child in (red, worker, deliver):
            await child.start()
            self._watch(child)
        await self._until_ready(settings.red_url, settings.stats_url, settings.url_of_port(port))

    async def _start_kafka(self) -> None:
        if self._settings.kafka is not None:
            self._say(f"using Kafka at {self._settings.connection}")
            return
        self._say("starting Kafka")
        folder = self._settings.data / "kafka"
        kafka = await asyncio.to_thread(new_kafka, folder, self._settings.kafka_port, free_port())
        command = await asyncio.to_thread(kafka.prepare)
        child = self._child("kafka", command, orphaned=signal.SIGTERM)
        await child.start()
        self._watch(child)
        await self._or_failed(kafka.until_ready(KAFKA_SECONDS))

    def _worker(self, name: str, roles: str, port: int) -> Child:
        command = [sys.executable, "-m", "red_stats", "worker", "--role", roles]
        return self._child(name, command, RED_STATS_PORT=str(port))

    def _child(
        self, name: str, command: list[str], orphaned: signal.Signals = signal.SIGKILL, **changes: str
    ) -> Child:
        environment = {**self._environment, **changes}
        child = Child(name, command, environment, say=self._say, orphaned=orphaned)
        self._children.append(child)
        return child

    def _watch(self, child: Child) -> None:
        self._watching.append(asyncio.create_task(self._keep(child), name=f"keep {child.name}"))

    async def _keep(self, child: Child) -> None:
        """Start a child again whenever it ends."""
        while True:
            code = await child.ended()
            last_line = child.last_lines[-1] if child.last_lines else "no output"
            if code == CANNOT_START:
                self._fail(f"{child.name} cannot start: {last_line}")
                return
            counts = child.name == "kafka" or await self._kafka_answers()
            if counts and child.restarts.too_many(time.monotonic()):
                reason = f"died 5 times within a minute, last with {describe(code)}"
                self._fail(f"{child.name} {reason}: {last_line}")
                return
            self._say(f"{child.name} died ({describe(code)}) and is started again")
            await asyncio.sleep(child.restarts.pause())
            await child.start()

    def _fail(self, reason: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(Unusable(reason))

    async def _kafka_answers(self) -> bool:
        host, _, port = self._settings.connection.bootstrap.split(",")[0].rpartition(":")
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(host, int(port))
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def _until_ready(self, *urls: str) -> None:
        self._say("starting RED and the workers")
        async with aiohttp.ClientSession(trust_env=False) as session:

            async def answers(url: str) -> bool:
                try:
                    timeout = aiohttp.ClientTimeout(total=5)
                    ours = trust(self._settings.tls_cert)
                    async with session.get(f"{url}/health/ready", timeout=timeout, ssl=ours) as answer:
                        return answer.status == 200
                except (aiohttp.ClientError, TimeoutError, OSError):
                    return False

            async def all_answer() -> None:
                while not all([await answers(url) for url in urls]):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

            try:
                async with asyncio.timeout(READY_SECONDS):
                    await self._or_failed(all_answer())
            except TimeoutError:
                text = f"RED or a worker was not ready within {READY_SECONDS:.0f} s: see the lines above"
                raise Unusable(text) from None

    async def _or_failed(self, work: Awaitable[None]) -> None:
        """Wait for the work, or for the failure of a child."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                await self._failed
            await task
        finally:
            task.cancel()

    def _environment_of_children(self) -> dict[str, str]:
        given = {
            "RED_DATA": str(self._settings.data.resolve()),
            "RED_KAFKA": str(self._settings.connection),
            "RED_INSTANCE": self._settings.instance or "local",
            "PYTHONUNBUFFERED": "1",
        }
        if "RED_WEBHOOK_ALLOW" not in os.environ:
            allowed = allowance_of(self._settings.host)
            why = "" if allowed else f" and RED_HOST={self._settings.host} lets others in"
            where = allowed or "public addresses only"
            self._say(f"webhooks may reach {where} (RED_WEBHOOK_ALLOW is unset{why})")
            given["RED_WEBHOOK_ALLOW"] = allowed
        return {**os.environ, **given}

    def _ready_line(self) -> str:
        settings = self._settings
        return f"ready RED {settings.red_url} RED_STATS {settings.stats_url} Kafka {settings.connection}"

    async def _stop(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if any(child.is_running for child in self._children):
            self._say("stopping")
        for child in reversed(self._children):
            await child.stop(STOP_SECONDS[child.name])


async def supervise(settings: Settings, *, out: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM, then stop everything in order.

    Raises:
        Unusable: the system cannot run; the text is one line that says what to do.
    """
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Kafka is expected not to be there yet
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await Supervisor(settings, out=out, say=say).run()

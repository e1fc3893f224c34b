"""Real processes for tests: RED and workers against a broker, and the keys to call them with."""

import asyncio
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec
from aiokafka import AIOKafkaProducer

from red_common.api_keys import DEFAULT_SCOPES, new_key
from red_common.secret_keys import SecretKeys
from red_stats import topics
from tests import openapi
from tests.conftest import free_port

ALL = "from=1970-01-01T00:00:00Z&to=9999-12-31T23:59:59Z"  # a range that has every image
SECRET_KEY = "ab" * 32
SECRET_KEYS = SecretKeys([bytes.fromhex(SECRET_KEY)])


DOCUMENTS = {}  # base URL of a service -> the OpenAPI document that tells its answers


def trusted_with(environment):
    """Whom a client of services with these settings trusts: their authority; None without TLS."""
    if "RED_TLS_CERT" not in environment:
        return None
    return ssl.create_default_context(cafile=Path(environment["RED_TLS_CERT"]).with_name("ca.pem"))


class Service:
    """A process of ours with its log in a file."""

    def __init__(self, arguments, folder, port, **environment):
        self.trusted = trusted_with(environment)
        self.url = f"{'https' if self.trusted else 'http'}://127.0.0.1:{port}"
        self.port = port
        self.last_answer = ""
        self.folder = folder
        self._arguments = arguments
        DOCUMENTS[self.url] = "red" if arguments[0] == "red_service" else "red_stats"
        self._environment = environment
        self.log = folder / f"{arguments[0]}-{port}.log"
        self.start()

    def environment(self):
        own = {"RED_DATA": str(self.folder / "data"), "RED_SECRET_KEY": SECRET_KEY}
        return own | self._environment

    def start(self, **changes):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments],
                env=os.environ | self.environment() | changes,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def until_ready(self, seconds=40):
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"not ready: {self.last_answer} {self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def is_ready(self):
        try:
            with urllib.request.urlopen(
                f"{self.url}/health/ready", timeout=5, context=self.trusted
            ) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            self.last_answer = error.read().decode()
            return False
        except OSError as error:
            self.last_answer = repr(error)
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running(service):
    try:
        yield service.until_ready()
        assert "has not started processing" not in service.log.read_text()
    finally:
        service.stop()


def red(bootstrap, folder, **environment):
    port = free_port()
    given = {"RED_KAFKA": bootstrap, "RED_PORT": str(port)} | environment
    return Service(["red_service"], folder, port, **given)


def worker(bootstrap, folder, role="all", **environment):
    port = free_port()
    given = {
        "RED_KAFKA": bootstrap,
        "RED_STATS_PORT": str(port),
        "RED_WEBHOOK_ALLOW": "127.0.0.1/32",
        "RED_WEBHOOK_SCHEDULE": "0.5,0.5,1,1" + ",2" * 16,
        "RED_SESSION_TIMEOUT": "6",
        "RED_LOG_LEVEL": "INFO",
        "STREAM_PROCESSING_TIMEOUT": "1",  # Faust's: what it would say after 5 minutes
    }
    return Service(["red_stats", "worker", "--role", role], folder, port, **given | environment)


async def a_key(bootstrap, client_id=None, scopes=DEFAULT_SCOPES, created_at="2026-01-01T00:00:00.000Z"):
    """A client with a key; both services follow within a second."""
    client_id = client_id or f"c-{uuid.uuid4().hex[:12]}"
    record, key = new_key(client_id, scopes, created_at, SECRET_KEYS)
    await published(bootstrap, record)
    return client_id, key, record


async def published(bootstrap, record):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        value = msgspec.json.encode(record)
        await producer.send_and_wait(topics.API_KEYS, value, record.key_id.encode())


def until_paused(pid):
    """Returns once SIGSTOP holds the process."""
    deadline = time.monotonic() + 30
    while True:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "T":
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def a_lower_soft_limit_of_files():
    """What is started within has a soft limit that could be higher."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hear_interrupts():
    """For `preexec_fn`: what is started in the background ignores Ctrl-C, and would pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class Api:
    """A client of both services; `call` gives (status, body) and holds both to the documents."""

    def __init__(self, session, key, client_id):
        self.session = session
        self.client_id = client_id
        self.key = key

    async def call(self, method, url, *, patient=True, **options):
        """The status and body of the answer; one that is `patient` asks again while it is `not_yet`."""
        headers = bearer(self.key) | options.pop("headers", {})
        while True:
            async with self.session.request(method, url, headers=headers, **options) as answer:
                raw = await answer.read()
            body = json.loads(raw) if raw and "json" in answer.content_type else raw
            name = DOCUMENTS.get(f"{answer.url.scheme}://{answer.url.authority}")
            if name:
                openapi.check(name, method, answer.url.raw_path, answer.status, answer.content_type, body)
            if not patient or answer.status != 503 or body.get("code") != "not_yet":
                return answer.status, body

    async def subscribed(self, worker, url, threshold=0.25, *, key=None, **fields):
        """A new subscription; with an Idempotency-Key it asks again while the command has no result."""
        body = {"webhook_url": url, "threshold": threshold} | fields
        options = {"json": body, "headers": {"Idempotency-Key": key} if key else {}}
        async with asyncio.timeout(60):
            status, subscription = await self.call("POST", f"{worker.url}/v1/subscriptions", **options)
            while key and subscription.get("code") == "command_pending":
                status, subscription = await self.call("POST", f"{worker.url}/v1/subscriptions", **options)
        assert status == 201, subscription
        return subscription

    async def sent(self, red, content, query=""):
        headers = {"Content-Type": "application/octet-stream"}
        status, item = await self.call("POST", f"{red.url}/red{query}", data=content, headers=headers)
        assert status == 200, item
        return item

    async def ended(self, worker, subscription, state=("delivered", "exhausted", "cancelled"), count=1):
        """The deliveries of a subscription once there are so many and all are in one of the states."""
        url = f"{worker.url}/v1/deliveries?subscription={subscription['id']}"
        async with asyncio.timeout(60):
            while True:
                status, answer = await self.call("GET", url)
                if status == 429:  # asked often, on a machine on which each question takes long
                    await asyncio.sleep(1)
                    continue
                assert status == 200
                items = answer["items"]
                if len(items) >= count and all(item["state"] in state for item in items):
                    return items
                await asyncio.sleep(0.1)


@asynccontextmanager
async def an_api(bootstrap, *services, client_id=None, scopes=DEFAULT_SCOPES, **key_fields):
    """A new client with a key that every given service knows."""
    client_id, key, _ = await a_key(bootstrap, client_id, scopes, **key_fields)
    connector = aiohttp.TCPConnector(ssl=(services and services[0].trusted) or True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(300):
        api = Api(session, key, client_id)
        for service in services:
            while (await api.call("GET", f"{service.url}/red/images/x"))[0] == 401:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield api


def verified(service, *arguments, seconds=120, **changes):
    """The exit code and report of `red-stats verify` for the data of a worker, with changed settings."""
    environment = os.environ | service.environment() | changes
    done = subprocess.run(
        [sys.executable, "-m", "red_stats", "verify", "--json", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)

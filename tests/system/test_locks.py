"""The whole flow through a Kafka with locks: passwords over TLS, and the ACLs of the docs."""

import asyncio
import json
import os
import re
import subprocess
import sys

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from red_stats import topics
from tests.builders import a_measurement
from tests.conftest import PARTITIONS, free_port
from tests.locked_kafka import EVERYTHING, a_locked_kafka
from tests.receiver import Receiver
from tests.red_service import builders as b
from tests.services import ALL, SECRET_KEY, an_api, bearer, red, running, verified, worker
from tests.system.up import ROOT, Up

ROLES = ("live", "deliver", "record")
LESS = {"live-without-group": "--group", "live-without-transactions": "--transactional-id"}
USERS = {name: f"password-of-{name}" for name in (EVERYTHING, "red", *ROLES, "operator", "stranger", *LESS)}


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with a_locked_kafka(tmp_path_factory.mktemp("locked"), USERS) as broker:
        yield broker


@pytest.fixture(scope="module")
def allowed(locked):
    """The broker, with exactly the ACLs that docs/security.md lists and the topics that its operator made."""
    lines = re.findall(r"^kafka-acls\.sh .*$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)

    async def allow():
        for line in lines:
            await locked.allow(line)
            for user, left_out in LESS.items():
                if "User:live" in line and left_out not in line:
                    await locked.allow(line.replace("User:live", f"User:{user}"))

    asyncio.run(allow())
    code, err = commanded(locked, "operator", "topics")
    assert code == 0, err
    return locked


def commanded(locked, user, *arguments, **environment):
    """The exit code of `red-stats` as a user, and what it says: stdout, or stderr if it fails."""
    given = {"RED_PARTITIONS": str(PARTITIONS), "RED_SECRET_KEY": SECRET_KEY} | locked.settings(
        user, **environment
    )
    done = subprocess.run(
        [sys.executable, "-m", "red_stats", *arguments],
        env=os.environ | given, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    return done.returncode, done.stderr if done.returncode else done.stdout


async def flowed(api, service, live):
    """An image in; its count, alert, webhook and statistics out."""
    async with Receiver() as receiver:
        # on a new broker and a busy machine, live may begin more slowly than a command waits for it
        subscription = await api.subscribed(live, receiver.url, 0.5, key="flowed")
        receiver.secrets.append(subscription["secret"])
        item = await api.sent(service, b.a_png(b.RED))
        await receiver.until(1)

        assert receiver.got[0].verified
        assert receiver.got[0].body["data"]["image_id"] == item["image_id"]
        position = f"at_least={item['position']}"
        status, counted = await api.call("GET", f"{live.url}/v1/live?{position}")
        assert (status, counted["totals"]["1h"]["images"]) == (200, 1)
        status, counted = await api.call("GET", f"{live.url}/v1/statistics?{ALL}&threshold=0.5&{position}")
        assert (status, counted["over"]) == (200, 1)
        [delivery] = await api.ended(live, subscription)
        assert delivery["state"] == "delivered"


async def disabled(api, service, live):
    """A subscription whose receiver is gone: role deliver writes the command."""
    async with Receiver(410) as gone:
        subscription = await api.subscribed(live, gone.url, 0.5)
        one = f"{live.url}/v1/subscriptions/{subscription['id']}"
        assert (await api.call("POST", f"{one}/test"))[0] == 202
        await gone.until(1)
        await api.sent(service, b.a_png(b.RED))
        async with asyncio.timeout(60):
            while (await api.call("GET", one))[1]["enabled"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def counted_once(api, service):
    """A request with an Idempotency-Key: its transaction, and the log read by the second try."""
    options = {"data": b.a_png(b.RED), "headers": {"Content-Type": "image/png", "Idempotency-Key": "one"}}
    answers = [await api.call("POST", f"{service.url}/red", **options) for _ in range(2)]
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["position"] == answers[1][1]["position"]


async def mended(locked, live, record, api, folder):
    """An image that nobody can read becomes a dead letter, which the operator replays."""
    async with AIOKafkaProducer(bootstrap_servers=locked.bootstrap) as producer:
        await producer.send_and_wait(topics.MEASUREMENTS, b"unreadable", api.client_id.encode())
    async with asyncio.timeout(60):
        while not (found := json.loads(operated(locked, "dead-letters", "list", "--json"))):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    value = folder / "mended.json"
    value.write_bytes(a_measurement(api.client_id, 0.1))
    operated(locked, "dead-letters", "replay", found[0]["at"], "--value", str(value))


async def erased(locked, api, live):
    """A client that has a key: role live ends it, and role record sees that there is nothing to delete."""
    operated(locked, "keys", "create", "gone")
    boss = operated(locked, "keys", "create", "boss", "--scope", "admin").split()[0]
    async with asyncio.timeout(60):
        while True:
            url = f"{live.url}/v1/clients/gone/data"
            async with api.session.delete(url, headers=bearer(boss)) as answer:
                if answer.status not in (401, 404):  # until the keys are known
                    break
            await asyncio.sleep(0.1)
        assert answer.status == 200
    assert " gone " not in operated(locked, "keys", "list")


def operated(locked, *arguments):
    code, said = commanded(locked, "operator", *arguments)
    assert code == 0, said
    return said


async def test_processes_with_the_acls_of_the_docs_do_all_they_are_for(allowed, tmp_path):
    """RED, a worker for each role, and the operator, each as a user of its own."""
    where, settings = allowed.doors["SASL_SSL"], allowed.settings
    with (
        running(red(where, tmp_path, **settings("red"), RED_INSTANCE="one")) as service,
        running(worker(where, tmp_path, "record", **settings("record"))) as record,
        running(worker(where, tmp_path, "deliver", **settings("deliver"), RED_LOG_LEVEL="DEBUG")) as deliver,
        running(worker(where, tmp_path, "live", **settings("live"))) as live,
    ):
        key = operated(allowed, "keys", "create", "somebody").split()[0]
        async with an_api(allowed.bootstrap, service, live) as api:
            await flowed(api, service, live)
            await disabled(api, service, live)
            await counted_once(api, service)
            for url in (f"{service.url}/red/images/x", f"{live.url}/v1/live"):
                async with api.session.get(url, headers=bearer(f"{api.key}x")) as answer:
                    assert answer.status == 401
            await mended(allowed, live, record, api, tmp_path)
            await erased(allowed, api, live)
            code, report = await asyncio.to_thread(verified, record, **settings("operator"))
            assert (code, report["equal"]) == (0, True), report
        operated(allowed, "lag")
        assert key.split("_")[1] in operated(allowed, "keys", "list")
        services = service, record, deliver, live
        shown = [
            " ".join(psutil.Process(one.process.pid).cmdline()) + one.log.read_text() for one in services
        ]
    acts = json.loads(operated(allowed, "audit", "--json"))  # the services have written what they counted
    refused = [one["count"] for one in acts if one.get("target") == api.key.split("_")[1]]
    assert {"key_created", "dead_letter_replayed"} <= {one["act"] for one in acts}
    assert sum(refused) == 2
    assert not [one for one in shown if "password-of" in one]
    assert not [one for one in shown if "AuthorizationFailed" in one or "not authorized" in one]


def test_up_runs_on_a_cluster_with_locks(locked, tmp_path):
    """Everything of one machine as one user, whose password is in a file."""
    password = tmp_path / "password"
    password.write_text(USERS[EVERYTHING] + "\n")
    settings = locked.settings(EVERYTHING, RED_KAFKA_PASSWORD_FILE=str(password))
    settings.pop("RED_KAFKA_PASSWORD")
    up = Up(tmp_path, RED_SECRET_KEY=SECRET_KEY, **settings)
    up.start()
    try:
        sent = up.command("send", str(ROOT / "docs" / "images" / "poppies.jpg"), "--json")
        assert sent.returncode == 0, sent.stderr
        shown = " ".join(" ".join(child.cmdline()) for child in up.family())
        done = up.command("verify")
        assert done.returncode == 0, done.stderr
    finally:
        up.stop()
    assert USERS[EVERYTHING] not in shown + up.err.read_text() + up.out.read_text()


@pytest.mark.parametrize(
    "arguments",
    [("topics",), ("keys", "list"), ("lag",), ("worker",), ("worker", "--role", "live"), ("red",), ("up",)],
)
def test_a_wrong_password_is_one_line_wherever_one_starts(locked, tmp_path, arguments):
    given = {"RED_KAFKA_PASSWORD": "guessed", "RED_DATA": str(tmp_path), "RED_WEBHOOK_ALLOW": ""}

    code, said = commanded(locked, "red", *arguments, **given)

    lines = [line for line in said.splitlines() if "RED_KAFKA_PASSWORD" in line]
    assert (code in (1, 2), len(lines)) == (True, 1), said
    assert "wrong password of red" in lines[0]
    assert "Traceback" not in said
    assert "guessed" not in said


def test_doctor_tells_of_a_wrong_password(locked):
    told = [doctored(locked, RED_KAFKA_PASSWORD=password) for password in ("guessed", USERS["red"])]

    assert [one["good"] for one in told] == [False, True]
    assert "wrong password of red" in told[0]["found"]


def doctored(locked, **changes):
    """What `red-stats doctor` finds of Kafka."""
    command = [sys.executable, "-m", "red_stats", "doctor", "--json"]
    environment = os.environ | locked.settings("red", **changes)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=90)
    return next(one for one in json.loads(done.stdout) if one["what"] == "kafka")


@pytest.mark.parametrize(
    "arguments",
    [("keys", "create", "somebody"), ("lag",), ("dead-letters", "list"), ("verify",), ("topics",)],
)
def test_what_an_acl_forbids_is_one_line(allowed, arguments):
    code, said = commanded(allowed, "stranger", *arguments)

    assert (code, len(said.splitlines())) == (2, 1), said
    assert "ACLs" in said
    assert "AUTHORIZATION_FAILED" in said


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ("stranger", ("red",)),  # sees no topic at all
        ("record", ("red",)),  # may not read the API keys
        ("stranger", ("worker", "--role", "live")),
        ("stranger", ("worker", "--role", "deliver")),
        ("operator", ("worker", "--role", "record")),  # reads every topic, and may not be in the group
        *((user, ("worker", "--role", "live")) for user in LESS),
    ],
)
def test_a_service_that_an_acl_does_not_let_work_ends_and_says_so(allowed, tmp_path, user, arguments):
    given = {"RED_KAFKA_WAIT": "1", "RED_DATA": str(tmp_path), "RED_INSTANCE": "one"}
    ports = {name: str(free_port()) for name in ("RED_PORT", "RED_STATS_PORT")}

    code, said = commanded(allowed, user, *arguments, **given, **ports)

    assert code in (2, 70), said
    assert "ACL" in said.splitlines()[-1]
    assert "Traceback" not in said

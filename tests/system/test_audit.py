"""`red-stats audit`: each act on keys, by an admin and of a refused key, with who and when, and no secret."""

import asyncio
import json
import os
import pwd
import socket
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.kafka.range_reader import read_range
from tests.conftest import PARTITIONS, a_broker, free_port
from tests.new_topics import own
from tests.red_service import builders as b
from tests.services import an_api, bearer
from tests.system.test_operating import cli

OPERATOR = f"operator:{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
HERE = "address:127.0.0.1"
PREVIEW = "/v1/subscriptions/preview"  # a read, although it is a POST


async def done(stats, *arguments):
    code, out, err = await cli(stats, *arguments)
    assert code == 0, err
    return out


async def audited(stats, *arguments):
    return json.loads(await done(stats, "audit", "--json", *arguments))


def told(records, **fields):
    """Who did how often what is told of these fields."""
    found = [one for one in records if all(one.get(name) == value for name, value in fields.items())]
    return sorted((one["who"], one["act"], one.get("reason"), one["count"]) for one in found)


async def until_counted(stats, count, *arguments, **fields):
    """The records once there are so many acts with these fields."""
    async with asyncio.timeout(90):
        while True:
            records = await audited(stats, *arguments)
            found = sum(one["count"] for one in records if fields.items() <= one.items())
            assert found <= count
            if found == count:
                return records
            await asyncio.sleep(0.5)


async def status_of(api, url, key):
    async with api.session.get(url, headers=bearer(key)) as answer:
        return answer.status


async def test_acts_on_keys_admin_acts_and_refused_keys_are_told_with_who_and_when(
    kafka, service, stats, api
):
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    client, views = own("audited"), (f"{service.url}/red/images/x", f"{stats.url}/v1/live")
    made = json.loads(await done(stats, "keys", "create", client, "--scope", "statistics", "--json"))
    key, key_id = made["api_key"], made["key_id"]
    async with asyncio.timeout(30):
        while {await status_of(api, url, key) for url in views} != {403, 200}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    wrong, other = f"{key}x", f"red_{own('none')}_{own('secret')}"
    for _ in range(3):
        assert [await status_of(api, url, wrong) for url in views] == [401, 401]
    assert [await status_of(api, url, other) for url in views] == [401, 401]
    async with an_api(kafka, service, stats, scopes=("admin",)) as admin:
        admin_id = admin.key.split("_")[1]
        for url in views:
            await admin.call("GET", f"{url}?client={client}")
            await admin.call("GET", f"{url}?client={admin.client_id}")  # its own: no act
        await admin.sent(service, b.a_png(), f"?client={client}")
        asked = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "threshold": 0.5}
        await admin.call("POST", f"{stats.url}{PREVIEW}?client={client}", json=asked)
    await done(stats, "keys", "sign", key_id)
    await done(stats, "keys", "revoke", key_id)
    async with asyncio.timeout(30):
        while await status_of(api, views[1], key) != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    await until_counted(stats, 6, target=key_id, reason="wrong_secret")
    await until_counted(stats, 1, client_id=client, act="changed_as")
    for read in ("/v1/live", PREVIEW):
        await until_counted(stats, 1, client_id=client, act="read_as", target=read)
    records = await until_counted(stats, 1, "--since", began, target=key_id, reason="revoked")

    operators = [one for one in told(records, target=key_id) if one[0] == OPERATOR]
    assert operators == [(OPERATOR, act, None, 1) for act in ("key_created", "key_revoked", "key_signed")]
    reads = [one for one in told(records, client_id=client) if one[1].endswith("_as")]
    assert reads == [
        (f"key:{admin_id}", "changed_as", None, 1), *[(f"key:{admin_id}", "read_as", None, 1)] * 3,
    ]  # fmt: skip
    assert (HERE, "key_refused", "wrong_secret") in [one[:3] for one in told(records, target=key_id)]
    assert [one[1:3] for one in told(records, who=f"key:{key_id}")] == [("key_refused", "scope_missing")]
    assert [one for one in told(records, who=HERE) if one[2] == "unknown"]
    now = datetime.now(UTC)
    for one in records:
        assert datetime.fromisoformat(began) <= datetime.fromisoformat(one["until"]) <= now
    assert [one["at"] for one in records] == sorted(one["at"] for one in records)

    written = await read_range(KafkaConnection(kafka), TopicPartition(topics.AUDIT, 0), 0, None)
    log = b"".join(record.value for record in written).decode()
    assert key_id in log
    for secret in (key, wrong, other, api.key, admin.key):
        assert secret.split("_", 2)[2] not in log
    assert other.split("_")[1] not in log  # what stands where the id does may be a secret, too


async def test_what_a_key_may_not_do_is_told_by_its_id(stats, api):
    key_id = api.key.split("_")[1]
    for method, address in (("GET", "/v1/live?client=somebody"), ("POST", "/v1/rebuild?partition=0")):
        assert (await api.call(method, stats.url + address))[0] == 403

    records = await until_counted(stats, 2, who=f"key:{key_id}", reason="admin_only")
    assert {one["target"] for one in records if one["who"] == f"key:{key_id}"} == {"/v1/live", "/v1/rebuild"}


async def test_a_rebuild_is_told_of_the_operator_and_of_the_key_that_it_uses(kafka, stats, tmp_path):
    async with an_api(kafka, stats, scopes=("admin",)) as admin:
        key = tmp_path / "key"
        key.write_text(admin.key)
        began = datetime.now(UTC).isoformat(timespec="milliseconds")
        await done(stats, "rebuild", "live", "--url", stats.url, "--key", f"@{key}")
        who = f"key:{admin.key.split('_')[1]}"
        await until_counted(stats, PARTITIONS, "--since", began, who=who, act="rebuild")
        records = await audited(stats, "--since", began)
    assert told(records, target="live") == [(OPERATOR, "rebuild", None, 1)]
    targets = {one["target"] for one in records if one["who"] == who}
    assert targets == {f"live/{number}" for number in range(PARTITIONS)}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A broker of whose topics nothing has been written to."""
    with a_broker(tmp_path_factory.mktemp("empty")) as bootstrap:
        yield bootstrap


class Where:
    """Settings of commands."""

    def __init__(self, **given):
        self.given = given

    def environment(self):
        return self.given


async def test_an_empty_log_is_one_line_and_what_is_not_ours_is_skipped_and_said(empty, tmp_path):
    where = Where(RED_KAFKA=empty, RED_DATA=str(tmp_path))
    assert (await cli(where, "audit"))[:2] == (0, "nothing has been recorded\n")
    assert await audited(where) == []
    code, _, err = await cli(where, "audit", "--since", "yesterday")
    assert (code, len(err.splitlines())) == (2, 1)
    good = {"id": "1", "at": "2026-01-01T00:00:00.000Z", "until": "2026-01-01T00:00:00.000Z", "count": 1}
    evil = good | {"who": "up", "act": "rebuild", "target": "\x1b[2J"}
    async with AIOKafkaProducer(bootstrap_servers=empty) as producer:
        for value in (b"\xff", b"[[", b"{}", None, json.dumps(evil).encode()):
            await producer.send_and_wait(topics.AUDIT, value, b"key")

    code, out, err = await cli(where, "audit")
    assert (code, len(out.splitlines()), "\x1b" in out) == (0, 1, False)
    assert err == "red-stats: skipped 4 records that are not ours\n"


async def test_a_rotation_is_told_and_goes_on_without_kafka(empty, tmp_path):
    (tmp_path / "secret.key").write_text("ab" * 32)
    away = Where(RED_KAFKA=f"127.0.0.1:{free_port()}", RED_DATA=str(tmp_path), RED_SECRET_KEY="")
    code, out, err = await cli(away, "secrets", "rotate")
    assert (code, len(err.splitlines()), "red.audit" in err) == (0, 1, True)

    out = await done(Where(**away.given | {"RED_KAFKA": empty}), "secrets", "rotate")
    records = await audited(Where(RED_KAFKA=empty))
    assert told(records, target=out.split()[1]) == [(OPERATOR, "secrets_rotated", None, 1)]

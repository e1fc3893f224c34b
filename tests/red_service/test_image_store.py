"""The image store: one suite for a folder and for an S3 server."""

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import boto3
import pytest
from moto.server import ThreadedMotoServer

from red_service.idempotency.records import Answer, Intent, Planned
from red_service.idempotency.store import IntentStore
from red_service.image_store import ImageDamaged, ImageStore, StorageError, StoredImage, open_store, sync_file
from red_service.image_usage import QuotaExceeded

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CONTENT = b"an image"
SHA = hashlib.sha256(CONTENT).hexdigest()
IMAGE = StoredImage(sha256=SHA, format="png", bytes=len(CONTENT))


@pytest.fixture(scope="module")
def s3():
    """A server with an empty bucket, which the environment makes every S3 client use."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="images")
        yield
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def objects(request, tmp_path):
    if request.param == "folder":
        return open_store(None, tmp_path)
    request.getfixturevalue("s3")
    return open_store(f"s3://images/{uuid.uuid4().hex}", tmp_path)


@pytest.fixture
def store(objects):
    return ImageStore(objects)


async def test_what_is_stored_comes_back_to_its_client_only(store):
    await store.put("anna", "i-1", IMAGE, CONTENT)

    assert await store.get("anna", "i-1") == (IMAGE, CONTENT)
    assert await store.get("anna", "i-2") is None
    assert await store.get("bert", "i-1") is None


async def test_the_same_bytes_are_kept_once(store, objects):
    await asyncio.gather(*(store.put("anna", f"i-{n}", IMAGE, CONTENT) for n in range(5)))

    listed = paths(objects)
    assert sorted(listed) == sorted([f"v1/anna/{SHA[:2]}/{SHA}"] + [f"v1/anna/ids/i-{n}" for n in range(5)])
    assert await store.get("anna", "i-4") == (IMAGE, CONTENT)


def paths(objects):
    return [meta["path"] for page in objects.list() for meta in page]


async def test_a_missing_or_damaged_object_is_an_error(store, objects):
    await store.put("anna", "i-1", IMAGE, CONTENT)
    path = f"v1/anna/{SHA[:2]}/{SHA}"

    objects.put(path, CONTENT[::-1])
    with pytest.raises(ImageDamaged, match="damaged"):
        await store.get("anna", "i-1")
    objects.delete(path)
    with pytest.raises(ImageDamaged, match="missing"):
        await store.get("anna", "i-1")
    objects.put("v1/anna/ids/i-1", b"{")
    with pytest.raises(ImageDamaged, match="damaged"):
        await store.get("anna", "i-1")


async def test_a_store_that_is_gone_is_a_storage_error(tmp_path, monkeypatch, s3):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = ImageStore(open_store("s3://images/x", tmp_path), seconds=1)
    with pytest.raises(StorageError):
        await store.put("anna", "i-1", IMAGE, CONTENT)
    with pytest.raises(StorageError):
        await store.probe()


@pytest.mark.parametrize("url", ["nonsense://x", "s3:/", "what"])
def test_a_url_that_names_no_store_is_refused(tmp_path, url):
    with pytest.raises(StorageError):
        open_store(url, tmp_path)


async def test_fsync_is_done_when_it_is_asked_for(tmp_path):
    synced = []

    async def sync(key):
        synced.append(key)
        await sync_file(tmp_path / "images", key)

    store = ImageStore(open_store(None, tmp_path), sync=sync)
    await store.put("anna", "i-1", IMAGE, CONTENT)

    assert synced == [f"v1/anna/{SHA[:2]}/{SHA}", "v1/anna/ids/i-1"]
    with pytest.raises(FileNotFoundError):
        await partial(sync_file, tmp_path / "images")("nothing")


def an_intent(body="b"):
    planned = Planned("i-1", "{}", {"index": 0})
    return Intent(
        body=body, at=NOW, producer="p", partition=1, log_end=7, planned=(planned,), rejected=(),
        multipart=False,
    )  # fmt: skip


async def test_of_many_that_make_an_intent_one_wins(objects):
    intents = IntentStore(objects)
    made = await asyncio.gather(*(intents.create("anna", "k", 0, an_intent(str(n))) for n in range(8)))

    assert sum(made) == 1
    state = await intents.recall("anna", "k")
    assert state.intent == an_intent(str(made.index(True)))
    assert (state.number, state.answer) == (0, None)


async def test_the_newest_intent_and_its_answer_are_recalled(objects):
    intents = IntentStore(objects)
    answer = Answer(body="b", at=NOW, items=({"index": 0},), multipart=False)
    assert (await intents.recall("anna", "k")).is_forgotten(NOW)
    for number in range(12):
        await intents.create("anna", "k", number, an_intent())
    await intents.conclude("anna", "k", 11, answer)

    state = await intents.recall("anna", "k")

    assert (state.number, state.answer) == (11, answer)
    assert not state.is_forgotten(NOW + timedelta(hours=24))
    assert state.is_forgotten(NOW + timedelta(hours=24, seconds=1))
    assert (await intents.recall("bert", "k")).number == -1


async def test_old_requests_are_swept_and_images_are_not(objects, store):
    intents = IntentStore(objects)
    await store.put("anna", "i-1", IMAGE, CONTENT)
    await intents.create("anna", "k", 0, an_intent())

    assert await intents.sweep(datetime.now(UTC) - timedelta(days=1)) == 0
    assert await intents.sweep(datetime.now(UTC) + timedelta(days=1)) == 1
    assert (await intents.recall("anna", "k")).number == -1
    assert await store.get("anna", "i-1") == (IMAGE, CONTENT)


def an_image(content):
    return StoredImage(sha256=hashlib.sha256(content).hexdigest(), format="png", bytes=len(content))


async def test_a_client_keeps_as_many_bytes_as_its_quota_and_equal_bytes_are_free(objects):
    first, second = (ImageStore(objects, quota=20) for _ in range(2))  # as before and after a restart
    a, b, c = (letter * 10 for letter in (b"a", b"b", b"c"))
    await asyncio.gather(*(first.put("anna", f"a-{n}", an_image(a), a) for n in range(5)))
    await first.put("anna", "b", an_image(b), b)

    for store in (first, second):
        with pytest.raises(QuotaExceeded):
            await store.put("anna", "c", an_image(c), c)
        await store.put("anna", "again", an_image(a), a)
        assert await store.get("anna", "c") is None
    await second.put("bert", "c", an_image(c), c)

    objects.delete(f"v1/anna/{an_image(a).sha256[:2]}/{an_image(a).sha256}")
    await second.recount()
    await second.put("anna", "c", an_image(c), c)
    assert await second.get("anna", "c") == (an_image(c), c)


async def test_equal_images_that_come_together_do_not_slip_past_the_quota(objects):
    store = ImageStore(objects, quota=9)

    found = await asyncio.gather(
        *(store.put("anna", f"i-{n}", an_image(b"x" * 10), b"x" * 10) for n in range(5)),
        return_exceptions=True,
    )

    assert [type(one) for one in found] == [QuotaExceeded] * 5
    assert paths(objects) == []

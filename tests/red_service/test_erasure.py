"""What RED has stored of a client that is erased goes, and nothing that is stored later."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import obstore
import pytest

from red_common.events import rfc3339
from red_service import erasure
from red_service.erasure import Erasure
from red_service.idempotency.records import Intent
from red_service.idempotency.store import IntentStore
from red_service.image_store import ImageStore, StorageError, StoredImage
from red_service.image_usage import QuotaExceeded
from tests.red_service.test_image_store import objects, s3  # noqa: F401

CONTENT = b"an image"
IMAGE = StoredImage(sha256=hashlib.sha256(CONTENT).hexdigest(), format="png", bytes=len(CONTENT))
SOON = timedelta(minutes=1)  # S3 tells whole seconds


class Place:
    def __init__(self, objects):  # noqa: F811
        self.objects, self.erased, self.noted = objects, {}, []
        self.store = ImageStore(objects, erased=self.erased)
        self.intents = IntentStore(objects)
        self.erasure = Erasure(self.erased, self.store, self.intents, self.noted.append)

    async def fill(self, client_id):
        await self.store.put(client_id, "image", IMAGE, CONTENT)
        intent = Intent(
            body="b", at=datetime.now(UTC), producer="p", partition=0, log_end=0, planned=(), rejected=(),
            multipart=False,
        )  # fmt: skip
        await self.intents.create(client_id, "key", 0, intent)

    def erase(self, client_id, at=None):
        self.erased[client_id] = rfc3339(at or datetime.now(UTC) + SOON)

    async def paths(self):
        return [meta["path"] async for page in obstore.list(self.objects) for meta in page]


@pytest.fixture
def place(objects):  # noqa: F811
    return Place(objects)


async def test_images_and_keyed_requests_go_and_those_of_others_stay(place):
    await place.fill("anna")
    await place.fill("anna-2")
    place.erase("anna")

    await place.erasure.round()

    assert all("anna-2" in path for path in await place.paths())
    assert len(await place.paths()) == 3
    assert await place.store.get("anna", "image") is None
    [act] = place.noted
    assert (act.who, act.act, act.target, act.client_id) == ("red", "images_erased", "2 objects", "anna")


async def test_what_is_stored_after_a_client_was_erased_stays(place):
    place.erase("anna", datetime.now(UTC) - SOON)
    await place.fill("anna")

    await place.erasure.round()

    assert len(await place.paths()) == 3
    assert not place.noted


async def test_a_client_that_is_erased_again_is_looked_at_again(place):
    place.erase("anna", datetime.now(UTC) - SOON)
    await place.erasure.round()
    await place.fill("anna")
    place.erase("anna")

    await place.erasure.round()

    assert not await place.paths()


@pytest.fixture
def local(tmp_path):
    return Place(obstore.store.LocalStore(tmp_path))  # whose times are exact


@pytest.fixture
def a_moment(tmp_path_factory):
    """A time in whole ms, as erasures tell it, between the files written before and those after."""
    clock = tmp_path_factory.mktemp("clock") / "file"

    async def moment():
        now = datetime.now(UTC) + timedelta(milliseconds=1)
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        while True:
            clock.write_bytes(b"")
            if clock.stat().st_mtime > at.timestamp():
                return at
            await asyncio.sleep(0)

    return moment


async def test_bytes_that_come_again_after_the_erasure_and_before_the_deletion_stay(local, a_moment):
    await local.fill("anna")
    local.erase("anna", await a_moment())
    another = ImageStore(local.objects, erased=local.erased)  # of another process

    await another.put("anna", "again", IMAGE, CONTENT)
    await local.erasure.round()

    assert await local.store.get("anna", "again") == (IMAGE, CONTENT)
    assert await local.store.get("anna", "image") is None


async def test_bytes_that_come_again_while_what_there_is_was_listed_stay(local, a_moment, monkeypatch):
    await local.fill("anna")
    local.erase("anna", await a_moment())
    listed = local.store._keys_of

    async def list_and_be_late(client_id, until):
        keys = await listed(client_id, until)
        await local.store.put("anna", "again", IMAGE, CONTENT)
        return keys

    monkeypatch.setattr(local.store, "_keys_of", list_and_be_late)
    await local.erasure.round()

    assert await local.store.get("anna", "again") == (IMAGE, CONTENT)
    assert await local.store.get("anna", "image") is None


async def test_bytes_stored_since_are_not_written_again(local, a_moment):
    local.erase("anna", datetime.now(UTC) - SOON)
    await local.fill("anna")
    path = f"v1/anna/{IMAGE.sha256[:2]}/{IMAGE.sha256}"
    before = obstore.head(local.objects, path)["last_modified"]
    await a_moment()

    await local.store.put("anna", "again", IMAGE, CONTENT)

    assert obstore.head(local.objects, path)["last_modified"] == before


async def test_an_erased_client_has_its_whole_quota_again_at_once(objects):  # noqa: F811
    store = ImageStore(objects, quota=len(CONTENT))
    await store.put("anna", "image", IMAGE, CONTENT)
    other = StoredImage(sha256=hashlib.sha256(CONTENT[::-1]).hexdigest(), format="png", bytes=len(CONTENT))
    with pytest.raises(QuotaExceeded):
        await store.put("anna", "other", other, CONTENT[::-1])

    await store.erase("anna", datetime.now(UTC) + SOON)

    await store.put("anna", "other", other, CONTENT[::-1])


@pytest.mark.parametrize("error", [StorageError("away"), ZeroDivisionError("a bug")])
async def test_a_client_that_cannot_be_erased_is_tried_again_and_holds_up_no_other(place, monkeypatch, error):
    for client_id in ("anna", "bert"):
        await place.fill(client_id)
        place.erase(client_id)
    erase = place.intents.erase

    async def fails(client_id, before):
        if client_id == "anna":
            raise error
        return await erase(client_id, before)

    with monkeypatch.context() as patch:
        patch.setattr(place.intents, "erase", fails)
        assert not await place.erasure.round()
        assert not any("bert" in path for path in await place.paths())
    assert await place.erasure.round()

    assert not await place.paths()


async def test_erasing_goes_on_after_any_failure(place, monkeypatch):
    monkeypatch.setattr(erasure, "INTERVAL", 0.01)
    monkeypatch.setattr(erasure, "PAUSE", 0.01)
    place.erased["odd"] = "no time"
    running = asyncio.create_task(place.erasure.run())
    try:
        await place.fill("anna")
        place.erase("anna")
        async with asyncio.timeout(20):
            while await place.paths():
                assert not running.done()
                await asyncio.sleep(0.01)
    finally:
        running.cancel()

"""Room for images: what a client may keep, and what the disk must keep free for Kafka and the store."""

import asyncio
import os

import pytest

from tests.faults.harness.disks import CannotMount, Disk
from tests.red_service import builders as b
from tests.services import an_api, red, running

MIB = 1 << 20
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def small_disk(tmp_path):
    try:
        disk = Disk(tmp_path / "data", 200)
    except CannotMount as error:
        pytest.skip(f"no mounts here: {error}")
    yield disk
    disk.close()


async def code_of(api, service, content, **headers):
    status, answer = await api.call("POST", f"{service.url}/red", data=content, headers=PNG | headers)
    return status, answer.get("code", "measured")


async def test_a_full_disk_refuses_images_before_kafka_suffers_and_is_told_until_there_is_room(
    kafka, tmp_path, small_disk
):
    kept = 50 * MIB
    with running(red(kafka, tmp_path, RED_DISK_RESERVE=str(kept), RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            key = {"Idempotency-Key": "before"}
            assert await code_of(api, service, b.a_png(), **key) == (200, "measured")
            ballast = small_disk.folder / "others"
            ballast.write_bytes(bytes(small_disk.free - kept + MIB))
            await until(api, service, 503)

            assert await code_of(api, service, b.a_png()) == (503, "storage_full")
            assert await code_of(api, service, b.a_png(), **key) == (200, "measured")  # it has its answer
            new = {"Idempotency-Key": "new"}
            assert await code_of(api, service, b.a_png(), **new) == (503, "storage_full")
            _, answer = await api.call("GET", f"{service.url}/health/ready")
            assert "disk: " in answer["detail"]
            assert "MiB free" in answer["detail"]
            assert small_disk.free >= kept - 2 * MIB

            ballast.unlink()
            await until(api, service, 200)
            assert await code_of(api, service, b.a_png()) == (200, "measured")
            assert await code_of(api, service, b.a_png(), **new) == (200, "measured")


async def until(api, service, status):
    """Waits for an answer of readiness, which looks at most once a second."""
    async with asyncio.timeout(20):
        while (await api.call("GET", f"{service.url}/health/ready"))[0] != status:
            pass


async def test_a_client_over_its_quota_is_told_and_another_one_is_served(kafka, tmp_path):
    one, other = (b.encoded(b.noise((40, 40), seed=seed)) for seed in (1, 2))
    quota = len(one) + len(other) - 1
    with running(red(kafka, tmp_path, RED_IMAGE_QUOTA=str(quota), RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api, an_api(kafka, service) as honest:
            assert await code_of(api, service, one) == (200, "measured")
            assert await code_of(api, service, other) == (403, "image_quota_exceeded")
            assert await code_of(api, service, one) == (200, "measured")  # kept once
            assert await code_of(honest, service, other) == (200, "measured")

            service.process.kill()
            service.process.wait()
            service.start()
            service.until_ready()
            await until(api, service, 200)  # over a new connection

            assert await code_of(api, service, other) == (403, "image_quota_exceeded")
            folder = tmp_path / "data" / "images" / "v1"
            stored = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "ids"]
            assert sum(os.path.getsize(path) for path in stored) <= 2 * quota

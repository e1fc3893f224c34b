"""Hostile images by the thousand: every one is measured or refused, and the pool stays as it was."""

import asyncio

import psutil
import pytest

from red_common.problems import Problem
from red_service.decoding import fast_jpeg, image
from red_service.decoding.pool import DecoderPool
from red_service.problems import Rejected
from tests.red_service import builders as b
from tests.red_service.decoding.mutations import mutations

pytestmark = pytest.mark.system  # decoders are processes
COUNT = 10_000
MIB = 1 << 20


@pytest.fixture
async def pool():
    pool = DecoderPool(2, images_per_worker=10**9)
    await pool.start()
    yield pool
    await pool.stop()


def workers():
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "red_service.decoding.worker" in " ".join(child.cmdline())
    ]


def memory():
    return sum(worker.memory_info().rss for worker in workers())


async def verdict(pool, content):
    try:
        return await pool.measure(content)
    except Rejected as rejected:
        return rejected.code


async def test_ten_thousand_mutations_kill_no_worker_and_leak_nothing(pool):
    before = {worker.pid for worker in workers()}
    at_half, seen = 0, []
    batch = []
    for number, content in enumerate(mutations(COUNT)):
        batch.append(content or b"\xff")
        if len(batch) == 100:
            async with asyncio.timeout(60):
                seen += await asyncio.gather(*(verdict(pool, one) for one in batch))
            batch.clear()
        if number == COUNT // 2:
            at_half = memory()

    assert {worker.pid for worker in workers()} == before
    assert memory() < at_half + 20 * MIB
    measured = [one for one in seen if not isinstance(one, str)]
    codes = {one for one in seen if isinstance(one, str)}
    assert len(seen) == COUNT
    assert len(measured) > COUNT // 20
    assert {"image_truncated", "image_corrupt", "unsupported_format"} <= codes
    assert (await pool.measure(b.a_png())).red_bp == 10_000


def test_the_fast_path_and_pillow_never_disagree(monkeypatch):
    damaged = [content for content in mutations(3000, seed=2) if content[:2] == b"\xff\xd8"]
    fast = [measured(content) for content in damaged]
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    slow = [measured(content) for content in damaged]

    assert sum(not isinstance(one, str) for one in fast) > 50
    assert fast == slow


def measured(content):
    try:
        found = image.measure(content)
    except Problem as problem:
        return problem.code
    return {name: getattr(found, name) for name in found.__struct_fields__ if name != "decoder"}


async def test_a_killed_worker_costs_a_retry_and_never_a_wrong_number(pool):
    content = b.encoded(b.noise((1500, 1000)))
    expected = (await pool.measure(content)).red_bp

    async def asked(number):
        answer = asyncio.create_task(verdict_or_lost(pool, content))
        if number % 4 == 0:
            (await one_of_the_workers()).kill()
        return await answer

    answers = [await asked(number) for number in range(20)]

    assert set(answers) <= {expected, "decoder_lost"}
    assert answers.count(expected) >= 15
    assert (await pool.measure(content)).red_bp == expected


async def one_of_the_workers():
    """Any worker, once there is one: the last one killed may not have been replaced yet."""
    async with asyncio.timeout(20):
        while not (found := workers()):  # noqa: ASYNC110 psutil has no event to wait for
            await asyncio.sleep(0.01)
    return found[0]


async def verdict_or_lost(pool, content):
    try:
        return (await pool.measure(content)).red_bp
    except Problem as problem:
        return problem.code

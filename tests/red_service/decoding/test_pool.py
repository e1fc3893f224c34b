"""A decoder that says something else than a reply costs one more decoder, and never a slot."""

import msgspec
import psutil
import pytest

from red_service.decoding import pool
from red_service.problems import Rejected
from tests.red_service import builders as b

pytestmark = pytest.mark.system


class Garbled:
    """Replies of which the first ones cannot be read."""

    def __init__(self, unreadable):
        self.left = unreadable
        self.real = pool._replies

    def decode(self, content):
        if self.left:
            self.left -= 1
            raise msgspec.DecodeError("no reply")
        return self.real.decode(content)


@pytest.mark.parametrize("unreadable", [1, 2, 5])
async def test_a_reply_that_cannot_be_read_is_a_decoder_that_died(unreadable, monkeypatch):
    reasons = []
    decoders = pool.DecoderPool(1, on_restart=reasons.append)
    await decoders.start()
    try:
        monkeypatch.setattr(pool, "_replies", Garbled(unreadable))
        for _ in range(unreadable // 2):
            with pytest.raises(Rejected, match="crashed twice"):
                await decoders.measure(b.a_png(), "c")
        for _ in range(3):
            assert (await decoders.measure(b.a_png(), "c")).red_bp == 10_000
        assert len(reasons) == unreadable
    finally:
        await decoders.stop()


async def test_a_pool_that_is_stopped_at_once_leaves_no_process():
    before = {child.pid for child in psutil.Process().children()}
    decoders = pool.DecoderPool(1)
    await decoders.start()

    await decoders.stop()

    assert {child.pid for child in psutil.Process().children()} <= before

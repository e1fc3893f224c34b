"""What several look at together is looked at once, and no longer than somebody looks."""

import asyncio

from red_stats.web.shared_looks import SharedLooks

SECONDS = 10


class Place:
    def __init__(self):
        self.time, self.asked, self.answer = 1000.0, [], asyncio.Event()
        self.looks = SharedLooks(self.live_now, SECONDS, lambda: self.time)

    async def live_now(self, client_id):
        self.asked.append(client_id)
        await self.answer.wait()
        return b"%d" % len(self.asked)


async def test_a_look_is_everybodys_until_it_is_old_and_each_client_has_its_own():
    place = Place()
    with place.looks.of("a") as first, place.looks.of("a") as second, place.looks.of("b") as other:
        place.time += SECONDS  # however long one takes, there is no second one beside it
        assert first() is second() is first()
        place.answer.set()
        assert await second() == b"1"
        assert await other() == b"2"
        place.time += SECONDS - 1
        assert await first() == b"1"
        place.time += 1
        assert await first() == await second() == b"3"
    assert place.asked == ["a", "b", "a"]


async def test_the_last_who_leaves_ends_the_look_and_who_comes_then_has_a_new_one():
    place = Place()
    with place.looks.of("a") as first:
        with place.looks.of("a") as second:
            looking = second()
        await asyncio.sleep(0)
        assert not looking.cancelling()
        assert first() is looking
    assert looking.cancelling()
    place.answer.set()
    with place.looks.of("a") as third:
        assert await third() == b"2"

import asyncio
from types import SimpleNamespace

from red_stats.agents.updates import Attempted
from red_stats.delivery import outcome_batches
from red_stats.delivery.outcome_batches import ENOUGH, OutcomeBatcher
from red_stats.delivery.shares import Shares


class Place:
    """An OutcomeBatcher whose transactions are noted; `fails` of them do."""

    def __init__(self, fails=0):
        self.tasks, self.transactions, self.fails = [], [], fails
        self.outcomes = OutcomeBatcher(
            states=SimpleNamespace(held={1}), settle=self._settle, shares=Shares(), push=None,
            spawn=lambda work: self.tasks.append(asyncio.ensure_future(work)), on_settled=lambda *_: None,
        )  # fmt: skip

    async def add(self, *numbers):
        for number in numbers:
            self.outcomes.add(1, Attempted(SimpleNamespace(id=number), 1, 0, None, 1, 0.5, ""))
            for _ in range(5):
                await asyncio.sleep(0)

    async def _settle(self, partition, updates, in_flight, requeue):
        if self.fails:
            self.fails -= 1
            raise ZeroDivisionError("a bug")
        self.transactions.append([update.row.id for update in updates])
        return True


async def test_outcomes_right_after_a_transaction_share_the_next_one():
    place = Place()
    await place.add(1, 2, 3, 4)
    await asyncio.gather(*place.tasks)

    assert place.transactions == [[1], [2, 3, 4]]
    assert len(place.tasks) == 1


async def test_many_outcomes_do_not_wait_for_the_end_of_a_pause(monkeypatch):
    monkeypatch.setattr(outcome_batches, "PAUSE", 3600)
    place = Place()
    await place.add(*range(ENOUGH + 1))
    async with asyncio.timeout(10):
        while len(place.transactions) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)

    assert place.transactions == [[0], list(range(1, ENOUGH + 1))]
    place.tasks[0].cancel()


async def test_no_outcome_is_lost_by_an_error(monkeypatch):
    monkeypatch.setattr(outcome_batches, "RETRY_SECONDS", 0.01)
    place = Place(fails=2)
    await place.add(1, 2)
    await asyncio.gather(*place.tasks)

    assert place.transactions == [[1, 2]]


async def test_a_delivery_that_is_sent_again_while_its_outcome_is_committed_stays_in_flight():
    row = SimpleNamespace(id="msg_1")
    in_flight, tasks = Shares(), []
    in_flight.begin(row.id, "c", "h", ahead=7)

    def push(partition, rows, ahead):
        assert ahead == {row.id: 7}
        for one in rows:
            in_flight.begin(one.id, "c", "h", ahead=0)

    async def settle(partition, updates, in_flight, requeue):
        requeue(partition, [row])
        return True

    outcomes = OutcomeBatcher(
        states=SimpleNamespace(held={1}), settle=settle, shares=in_flight, push=push,
        spawn=lambda work: tasks.append(asyncio.ensure_future(work)), on_settled=lambda *_: None,
    )  # fmt: skip

    outcomes.add(1, Attempted(row, 1, 0, None, 1, 0.5, ""))
    await asyncio.gather(*tasks)

    assert row.id in in_flight

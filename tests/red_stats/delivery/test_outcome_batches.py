import asyncio
from types import SimpleNamespace

from red_stats.agents.updates import Attempted
from red_stats.delivery.outcome_batches import OutcomeBatcher
from red_stats.delivery.shares import Shares


async def test_outcomes_right_after_a_transaction_share_the_next_one():
    tasks, transactions = [], []

    async def settle(partition, updates, in_flight, requeue):
        transactions.append([update.row.id for update in updates])
        return True

    outcomes = OutcomeBatcher(
        states=SimpleNamespace(held={1}), settle=settle, shares=Shares(), push=None,
        spawn=lambda work: tasks.append(asyncio.ensure_future(work)), on_settled=lambda *_: None,
    )  # fmt: skip

    for number in range(1, 5):
        outcomes.add(1, Attempted(SimpleNamespace(id=number), 1, 0, None, 1, 0.5, ""))
        for _ in range(5):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert transactions == [[1], [2, 3, 4]]
    assert len(tasks) == 1


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

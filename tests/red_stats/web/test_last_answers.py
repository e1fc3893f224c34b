"""An answer is made once for a state of the partition, and never outlives it."""

import orjson
import pytest

from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Mark, PartitionState
from red_stats.web.last_answers import MOST, LastAnswers

NOW = 1_700_000_000_000


@pytest.fixture
def state():
    return PartitionState(0, LiveTables(), 1)


class Counted:
    def __init__(self):
        self.calls = []

    def __call__(self, tables, client_id, now):
        self.calls.append((client_id, now))
        return {"n": len(self.calls)}


def ask(last, answer, state, client_id="anna", now=NOW):
    return orjson.loads(orjson.dumps(last.fields(answer, state, client_id, now)))


def test_many_questions_about_one_state_are_one_answer(state):
    last, answer = LastAnswers(), Counted()
    assert [ask(last, answer, state, now=NOW + n) for n in range(3)] == [{"n": 1}] * 3
    assert ask(last, answer, state, "eve") == {"n": 2}
    assert ask(last, Counted(), state) == {"n": 1}
    assert ask(last, answer, state) == {"n": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.committed({"red.measurements": Mark(7, 1)}),
        lambda state: state.replace(LiveTables()),
        lambda state: state.replace(state.tables, {"red.subscription-commands": Mark(1, 1)}),
    ],
    ids=["a commit", "other tables", "other marks"],
)
def test_whatever_changes_the_state_makes_a_new_answer(state, change):
    last, answer = LastAnswers(), Counted()
    ask(last, answer, state)
    change(state)
    assert ask(last, answer, state) == {"n": 2}
    assert ask(last, answer, state) == {"n": 2}


def test_the_next_minute_makes_a_new_answer(state):
    last, answer = LastAnswers(), Counted()
    ask(last, answer, state)
    assert ask(last, answer, state, now=NOW + 60_000) == {"n": 2}


def test_answers_of_partitions_are_kept_apart_and_bounded(state):
    last, answer = LastAnswers(), Counted()
    other = PartitionState(1, LiveTables(), 1)
    assert ask(last, answer, state) != ask(last, answer, other)
    for number in range(MOST):
        ask(last, answer, state, f"c{number}")
    assert ask(last, answer, state)["n"] > MOST

"""Answers folded anew give the lists and the remembered answers that live made of the commands."""

from types import SimpleNamespace

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from red_stats.agents.commands import _CommandBatch
from red_stats.domain.command_history import CommandHistory
from red_stats.domain.command_results import KEYED, forgotten, is_remembered
from red_stats.domain.subscriptions import still_needed
from red_stats.tables.declarations import changelogs_of
from red_stats.tables.live import LiveTables
from tests.builders import a_client_of
from tests.red_stats.domain.test_commands import context

CLIENTS = [a_client_of(3), a_client_of(3, prefix="other")]
IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(3)]
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(CLIENTS),
        st.integers(0, 200),  # command ids: some repeat, some after they are forgotten
        st.sampled_from(
            ["subscribe", "update", "unsubscribe", "rotate_secret", "disable", "enable", "erase"]
        ),
        st.sampled_from(IDS),
        st.sampled_from([0.1, 0.25, 0.5, 0.123456]),
        st.integers(0, 3),  # measurements since the command before
        st.booleans(),  # under another key: answered, and not remembered
    ),
    max_size=40,
)


class Live:
    """Live's tables after commands, and every answer it gave."""

    def __init__(self):
        self.tables = LiveTables()
        self.answers = []
        self.stamp = 0

    def handle(self, offset, client, number, name, subscription, threshold, measured, misplaced):
        self.stamp += measured
        fields = {"command": name, "command_id": f"c-{number}", "client_id": client}
        fields |= {"subscription_id": subscription}
        if name == "subscribe":
            fields |= {"webhook_url": "https://example.com/h", "threshold": threshold}
        if name == "update":
            fields |= {"threshold": threshold}
        work = _CommandBatch(self.tables, changelogs_of(LiveTables), 3)
        key = b"other" if misplaced else client.encode()
        record = SimpleNamespace(key=key, value=orjson.dumps(fields), offset=offset)
        work.handle(record, context(offset=offset, stamp=self.stamp, mark=self.stamp - 1))
        self.answers += [value for topic, _, value in work._out if topic == "red.command-results"]
        work.apply()


@given(COMMANDS)
def test_the_answers_imply_lists_and_answers(commands):
    live = Live()
    for offset, command in enumerate(commands):
        live.handle(offset, *command)

    answered = CommandHistory()
    for value in live.answers:
        answered.add(value)

    mark = live.stamp - 1
    assert answered.answers == live.tables.answers
    assert answered.pruned(mark) == {
        name: msgspec.structs.replace(client, past=still_needed(client.past, mark))
        for name, client in live.tables.thresholds.items()
    }


def test_answers_to_requests_with_a_key_are_not_pushed_out_by_other_commands():
    plain, keyed = [f"c-{n}" for n in range(150)], [f"{KEYED}{n}" for n in range(3)]
    assert forgotten([*keyed, *plain]) == plain[:50]
    many = [f"{KEYED}{n}" for n in range(301)]
    assert forgotten([*many, *plain[:100]]) == many[:1]
    assert forgotten([]) == []


def test_a_command_that_is_to_come_again_is_decided_again():
    assert [is_remembered(status) for status in (200, 400, 409, 422, 503)] == [True, True, True, True, False]

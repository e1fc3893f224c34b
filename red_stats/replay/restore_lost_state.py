"""Restores role live's state when its changelogs are lost but its outputs remain.

Without its changelog a partition would be counted from the beginning of the log, and every alert
raised a second time. The last alert and the last command result say how far it had come.
"""

import logging
from collections.abc import Callable
from typing import Final

from red_common.events import InvalidEvent
from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.domain import alerts, command_results
from red_stats.kafka.range_reader import read_in_steps
from red_stats.replay.rebuild_live import CannotRebuild, LiveReplay
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Mark, PartitionState, PartitionStates

log = logging.getLogger(__name__)


#: For each output of live: its source topic, and how to read the source position from a record's value.
SOURCE_OF: Final[dict[str, tuple[str, Callable[[bytes | None], str]]]] = {
    topics.ALERTS: (topics.MEASUREMENTS, lambda value: alerts.decode(value).position),
    topics.COMMAND_RESULTS: (
        topics.SUBSCRIPTION_COMMANDS,
        lambda value: command_results.decode(value).command_position,
    ),
}


async def restore_lost_state(
    state: PartitionState[LiveTables],
    *,
    states: PartitionStates[LiveTables],
    connection: KafkaConnection,
    new_replay: Callable[[int], LiveReplay],
) -> None:
    """Rebuild the state of a partition that has no mark, if live has written any output from it.

    No alert is raised and no command answered again; a second call finds the marks of the first.
    """
    if state.marks:
        return
    marks = {
        source: await _last_source_mark(connection, topic, state.partition, position_of)
        for topic, (source, position_of) in SOURCE_OF.items()
    }
    if all(mark.offset < 0 for mark in marks.values()):
        return
    log.warning("live/%d: its state is lost; rebuilding it from the log", state.partition)
    try:
        await new_replay(state.partition).run(marks)
    except CannotRebuild as error:
        states.fatal(f"the state of live/{state.partition} is lost and cannot be rebuilt: {error}")


async def _last_source_mark(
    connection: KafkaConnection, topic: str, number: int, position_of: Callable[[bytes | None], str]
) -> Mark:
    """The largest source offset that a record of ours names; others' records may stand among them."""
    last = -1
    async for records in read_in_steps(connection, TopicPartition(topic, number), 0, None):
        last = max(last, *(_offset_of(record.value, number, position_of) for record in records))
    return Mark(last)


def _offset_of(value: bytes | None, number: int, position_of: Callable[[bytes | None], str]) -> int:
    try:
        partition, _, offset = position_of(value).partition(":")
    except InvalidEvent:
        return -1
    return int(offset) if partition == str(number) and offset.isascii() and offset.isdigit() else -1

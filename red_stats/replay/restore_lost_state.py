"""Role live's state that is gone while what it told still stands: made again before anything is counted.

Without its changelog a partition would be counted from the beginning of the log, and every alert
raised a second time. The last alert and the last answer say how far it had come.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.kafka.range_reader import read_chunks
from red_stats.replay.rebuild_live import CannotRebuild, LiveReplay
from red_stats.tables.partition_state import Mark, Owned, Ownership

log = logging.getLogger(__name__)


class _Told(msgspec.Struct):
    """Of an alert where its measurement stands, of an answer where its command does: `partition:offset`."""

    position: str = ""
    command_position: str = ""


SOURCE_OF: Final = {topics.ALERTS: topics.MEASUREMENTS, topics.COMMAND_RESULTS: topics.SUBSCRIPTION_COMMANDS}


async def mend(
    owned: Owned,
    *,
    ownership: Ownership,
    connection: KafkaConnection,
    new_replay: Callable[[int], LiveReplay],
) -> None:
    """Make the state of a partition without any mark again, if something was told from it.

    Nothing is raised or answered again; a second call finds the marks that the first has written.
    """
    if owned.marks:
        return
    told = {source: await _last_told(connection, topic, owned.number) for topic, source in SOURCE_OF.items()}
    if all(mark.offset < 0 for mark in told.values()):
        return
    log.warning("live/%d: its state is gone, and made again from the log", owned.number)
    try:
        await new_replay(owned.number).run(told)
    except CannotRebuild as error:
        ownership.fatal(f"the state of live/{owned.number} is gone: {error}")


async def _last_told(connection: KafkaConnection, topic: str, number: int) -> Mark:
    """The largest source offset that a record of ours names; others' records may stand among them."""
    last = -1
    async for records in read_chunks(connection, TopicPartition(topic, number), 0, None):
        last = max(last, *(_offset_of(record.value, number) for record in records))
    return Mark(last)


def _offset_of(value: bytes | None, number: int) -> int:
    try:
        told = msgspec.json.decode(value or b"", type=_Told)
    except msgspec.MsgspecError:
        return -1
    partition, _, offset = (told.position or told.command_position).partition(":")
    return int(offset) if partition == str(number) and offset.isascii() and offset.isdigit() else -1

"""`red.dead-letters` for operators: listed, shown, and replayed once the cause is fixed.

The transaction that replays a record also writes a note to `red.dead-letters`, so that a letter is not
replayed twice by accident.
"""

import contextlib
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from red_common.audit import AuditRecord
from red_common.events import InvalidEvent
from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.partitioner import partition_of
from red_stats import topics
from red_stats.domain import dead_letters
from red_stats.kafka.range_reader import read_range

REPLAYABLE: Final = tuple(topic for topic in topics.ALL if topic.replayable)
TRANSACTIONAL_ID: Final = "red-stats-dead-letters"


class _Note(msgspec.Struct, forbid_unknown_fields=True):
    replayed: str


class Letter(NamedTuple):
    """One unreadable record: the position of the letter, that of the record, and the record's bytes."""

    at: str  # partition:offset on red.dead-letters
    time: int  # ms since 1970
    topic: str
    position: str
    reason: str
    key: bytes | None
    value: bytes | None
    replayed: bool = False
    size: int | None = None  # of the whole record, where key and value are cut
    sha256: str | None = None  # of the whole value, where it is cut


class NoSuchLetter(Exception):
    """Raised when a record cannot be replayed; the text says why."""


async def letters(connection: KafkaConnection, partitions: int) -> list[Letter]:
    """Every letter that Kafka still has, oldest first.

    Raises:
        KafkaError: Kafka cannot be reached.
    """
    found: list[Letter] = []
    replayed: set[str] = set()
    for number in range(partitions):
        for record in await read_range(connection, TopicPartition(topics.DEAD_LETTERS, number), 0, None):
            try:
                replayed.add(msgspec.json.decode(record.value or b"", type=_Note).replayed)
            except msgspec.MsgspecError:
                found.append(_letter(record))
    marked = [letter._replace(replayed=letter.at in replayed) for letter in found]
    return sorted(marked, key=lambda letter: letter.time)


async def replay(
    connection: KafkaConnection, partitions: int, letter: Letter, value: bytes | None, audit: AuditRecord
) -> str:
    """Send the record to its topic again, with another value if one is given, and `audit` to red.audit.

    Returns:
        The new position of the record, partition:offset.

    Raises:
        NoSuchLetter: records of its topic cannot be replayed.
        KafkaError: Kafka cannot be reached.
    """
    if letter.topic not in REPLAYABLE:
        raise NoSuchLetter(f"{letter.at} is from {letter.topic!r}, whose records cannot be replayed")
    if value is None and letter.size is not None:
        raise NoSuchLetter(f"{letter.at} has only the beginning of {letter.size} bytes: give --value")
    try:
        dead_letters.refuse_oversize(letter.key, letter.value if value is None else value)
    except InvalidEvent as error:
        raise NoSuchLetter(str(error)) from error
    number = int(letter.position.partition(":")[0])
    if letter.key is not None:
        with contextlib.suppress(UnicodeDecodeError):  # then the record's own partition will do
            number = partition_of(letter.key.decode(), partitions)
    producer = connection.producer(
        transactional_id=TRANSACTIONAL_ID,
        max_request_size=topics.DEAD_LETTER_BYTES,
    )
    async with producer, producer.transaction():
        sent = await producer.send_and_wait(
            letter.topic, letter.value if value is None else value, letter.key, partition=number
        )
        await producer.send_and_wait(topics.AUDIT, msgspec.json.encode(audit))
        at = int(letter.at.partition(":")[0])
        await producer.send_and_wait(
            topics.DEAD_LETTERS, orjson.dumps({"replayed": letter.at}), letter.key, partition=at
        )
    return f"{sent.partition}:{sent.offset}"


def _letter(record: Any) -> Letter:
    at = f"{record.partition}:{record.offset}"
    try:
        letter = msgspec.json.decode(record.value or b"", type=dead_letters.Letter)
        key, value = letter.key, letter.value
    except (msgspec.MsgspecError, ValueError) as error:
        reason = f"this record is not a dead letter: {error}"
        return Letter(at, record.timestamp, topics.DEAD_LETTERS, at, reason, record.key, record.value)
    position = f"{letter.partition}:{letter.offset}"
    return Letter(
        at, record.timestamp, letter.topic, position, letter.reason, key, value,
        size=letter.size, sha256=letter.sha256,
    )  # fmt: skip
